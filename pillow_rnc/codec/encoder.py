"""Pixels -> units of codes: tiles, network and entropy coding meet here.

Every tile is coded on its own. The encoder contains the decoder, so each code is computed from what the decoder will
have at that point. Tiles of one size run through the network together, as many as memory allows, also tiles of several
images; entropy coding runs beside the network.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.codec.batching import TileRef, batches
from pillow_rnc.codec.blending import padded_tile
from pillow_rnc.codec.execution import ExecutionOptions, StepCounter
from pillow_rnc.codec.prefetch import prefetch
from pillow_rnc.container.records import DEFAULT_OVERLAP, DEFAULT_TILE_SIZE, Header
from pillow_rnc.entropy.tile_coder import TileEncoder, decode_tile
from pillow_rnc.errors import CorruptError, RncError, RncOptionError
from pillow_rnc.models.complexity import bytes_per_pixel
from pillow_rnc.models.runtime import runtime
from pillow_rnc.models.threads import limit_threads

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pillow_rnc.container.records import Segment, Unit
    from pillow_rnc.models.weights import Weights

    Pixels = NDArray[np.uint8]
    Plane = NDArray[np.uint8]
    EncodedImage = tuple[Header, tuple[Unit, ...]]


def encode(
    pixels: Pixels,
    weights: Weights,
    *,
    iterations: int,
    tile_size: int = DEFAULT_TILE_SIZE,
    overlap: int = DEFAULT_OVERLAP,
    verify: bool = False,
    execution: ExecutionOptions | None = None,
) -> EncodedImage:
    """Return the header and the units of one image; see `encode_many`."""
    return encode_many(
        [pixels],
        weights,
        iterations=iterations,
        tile_size=tile_size,
        overlap=overlap,
        verify=verify,
        execution=execution,
    )[0]


def encode_many(
    images: Sequence[Pixels],
    weights: Weights,
    *,
    iterations: int,
    tile_size: int = DEFAULT_TILE_SIZE,
    overlap: int = DEFAULT_OVERLAP,
    verify: bool = False,
    execution: ExecutionOptions | None = None,
) -> list[EncodedImage]:
    """Return the header, with mode RGB, and the units of each image.

    Args:
        images: uint8 [height, width, 3] each.
        weights: The model.
        iterations: How many iterations to code, 1 to those of the model.
        tile_size: Side of a tile in pixels.
        overlap: Pixels that neighbouring tiles share.
        verify: Decode all codes, as a reader will, and compare them; takes about a third more time.
        execution: How to compute; the defaults of `ExecutionOptions` if None.

    Raises:
        RncOptionError: The device cannot be used, or the model has fewer iterations.
        WeightsError: The weights do not fit the configuration of their model.
        RncError: With `verify`, the codes do not decode to what was encoded.
    """
    execution = execution or ExecutionOptions()
    config = weights.config
    if not 1 <= iterations <= config.iterations:
        msg = f"iterations {iterations}, allowed are 1 to {config.iterations} with model {weights.name!r}"
        raise RncOptionError(msg)
    network_for = runtime(weights, execution.device, execution.max_threads)
    coding = (iterations, config.code_channels, config.code_stride, tile_size, overlap, weights.model_id)
    headers = [Header(pixels.shape[1], pixels.shape[0], "RGB", *coding) for pixels in images]
    sizes = {
        TileRef(image, index): (tile.padded_height, tile.padded_width)
        for image, header in enumerate(headers)
        for index, tile in enumerate(header.grid)
    }

    def code_planes() -> Iterator[tuple[list[TileRef], Pixels]]:
        for batch, size in batches(sizes, execution.max_memory, bytes_per_pixel(config)):
            network = network_for(len(batch), *size)
            tiles = [padded_tile(headers[ref.image].grid, images[ref.image], ref.tile) for ref in batch]
            network.set_target(np.stack(tiles))
            for _ in range(iterations):
                yield batch, network.encode()
            del network  # its memory is needed for the next one

    segments: dict[TileRef, list[Segment]] = {ref: [] for ref in sizes}
    coders: dict[TileRef, _TileCoder] = {}
    progress = StepCounter(len(sizes) * iterations, execution.on_progress)
    with (
        limit_threads(execution.max_threads),
        closing(prefetch(code_planes(), threaded=execution.max_threads != 1)) as steps,
    ):
        for batch, planes in steps:
            for ref, plane in zip(batch, planes, strict=True):
                coder = coders.pop(ref, None) or _TileCoder(weights, plane.shape, ref.tile, verify=verify)
                segments[ref].append(coder.encode_next(plane))
                if len(segments[ref]) < iterations:
                    coders[ref] = coder
                elif verify:
                    coder.verify(segments[ref])
                progress.add()
    return [
        (header, tuple(zip(*(segments[TileRef(image, index)] for index in range(len(header.grid))), strict=True)))
        for image, header in enumerate(headers)
    ]


class _TileCoder:
    """Codes the planes of one tile, and can verify afterwards that they decode.

    Args:
        weights: The model.
        shape: Shape of a code plane.
        tile: Index of the tile, for error messages.
        verify: Keep the planes for `verify`.
    """

    def __init__(self, weights: Weights, shape: tuple[int, ...], tile: int, *, verify: bool) -> None:
        self._weights, self._tile = weights, tile
        self._encoder = TileEncoder(weights.entropy_model, *shape[1:])
        self._planes: list[Plane] | None = [] if verify else None

    def encode_next(self, plane: Plane) -> Segment:
        """Return the segment of the next iteration, from its code plane uint8 [C, h, w]."""
        if self._planes is not None:
            self._planes.append(plane)
        return self._encoder.encode_next(plane)

    def verify(self, segments: list[Segment]) -> None:
        """Raise `RncError` unless the segments decode to the planes that they were made from."""
        assert self._planes is not None
        grid = self._planes[0].shape[1], self._planes[0].shape[2]
        try:
            decoded = decode_tile(segments, self._weights.entropy_model, grid, tile=self._tile)
        except CorruptError as error:
            msg = f"verification failed, nothing was saved: the encoded data cannot be decoded: {error}"
            raise RncError(msg) from error
        if not np.array_equal(decoded, self._planes):
            msg = f"verification failed, nothing was saved: tile {self._tile} decodes to other codes"
            raise RncError(msg)
