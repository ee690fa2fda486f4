"""Pixels -> units of codes: tiles, network and entropy coding meet here.

A tile is coded on its own; the encoder runs the decoder, and every code it emits is the one that the decoder will
read. Tiles of one size work together, as many as memory allows, also those of several images; and entropy coding works
beside the network.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.codec.batching import MAX_MEMORY, Place, groups
from pillow_rnc.codec.blending import cut
from pillow_rnc.codec.prefetch import work_ahead
from pillow_rnc.codec.progress import Progress
from pillow_rnc.container.records import DEFAULT_OVERLAP, DEFAULT_TILE_SIZE, Header
from pillow_rnc.entropy.tile_coder import TileEncoder, decode_tile
from pillow_rnc.errors import CorruptError, RncError, RncOptionError
from pillow_rnc.models.runtime import runtime
from pillow_rnc.models.threads import at_most
from pillow_rnc.models.weights import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pillow_rnc.codec.progress import OnProgress
    from pillow_rnc.container.records import Segment, Unit
    from pillow_rnc.models.weights import Weights

    Pixels = NDArray[np.uint8]
    Plane = NDArray[np.uint8]
    Encoded = tuple[Header, tuple[Unit, ...]]


def encode(
    pixels: Pixels,
    *,
    iterations: int,
    model: str = "auto",
    tile_size: int = DEFAULT_TILE_SIZE,
    overlap: int = DEFAULT_OVERLAP,
    device: str = "cpu",
    verify: bool = False,
    max_memory: int = MAX_MEMORY,
    max_threads: int = 0,
    on_progress: OnProgress | None = None,
) -> Encoded:
    """Return the header and the units of one picture; see `encode_batch`."""
    return encode_batch(
        [pixels],
        iterations=iterations,
        model=model,
        tile_size=tile_size,
        overlap=overlap,
        device=device,
        verify=verify,
        max_memory=max_memory,
        max_threads=max_threads,
        on_progress=on_progress,
    )[0]


def encode_batch(
    pictures: Sequence[Pixels],
    *,
    iterations: int,
    model: str = "auto",
    tile_size: int = DEFAULT_TILE_SIZE,
    overlap: int = DEFAULT_OVERLAP,
    device: str = "cpu",
    verify: bool = False,
    max_memory: int = MAX_MEMORY,
    max_threads: int = 0,
    on_progress: OnProgress | None = None,
) -> list[Encoded]:
    """Return the header (of mode RGB) and the units of each picture.

    Args:
        pictures: uint8 [height, width, 3] each.
        iterations: How many iterations to code, 1 to those of the model.
        model: Name of a model, or "auto".
        tile_size: Side of a tile in pixels.
        overlap: Pixels that neighbouring tiles share.
        device: What runs the network, see `inference`.
        verify: Decode all codes, as a reader will, and compare; about a third more time.
        max_memory: Bytes that tiles at work may take together; one alone may take more.
        max_threads: Threads that compute at a time, see `thread_limit`; 0 for as many as are of use.
        on_progress: Called as the work goes on, see `progress`.

    Raises:
        RncOptionError: The model or device is unknown, or the model has fewer iterations.
        WeightsError: The weights are missing or altered.
        RncError: The codes do not decode to what was encoded.
    """
    weights = load(model)
    config = weights.config
    if not 1 <= iterations <= config.iterations:
        msg = f"iterations {iterations}, allowed are 1 to {config.iterations} with model {weights.name!r}"
        raise RncOptionError(msg)
    network_for = runtime(weights, device, max_threads)
    coding = (iterations, config.code_channels, config.code_stride, tile_size, overlap, weights.model_id)
    headers = [Header(pixels.shape[1], pixels.shape[0], "RGB", *coding) for pixels in pictures]
    sizes = {
        Place(picture, index): (tile.padded_height, tile.padded_width)
        for picture, header in enumerate(headers)
        for index, tile in enumerate(header.grid)
    }

    def codes() -> Iterator[tuple[list[Place], Pixels]]:
        for group, size in groups(sizes, max_memory):
            network = network_for(len(group), *size)
            network.set_target(np.stack([cut(headers[at.picture].grid, pictures[at.picture], at.tile) for at in group]))
            for _ in range(iterations):
                yield group, network.encode()
            del network  # before there is another

    segments: dict[Place, list[Segment]] = {at: [] for at in sizes}
    at_work: dict[Place, TileWriter] = {}
    progress = Progress(len(sizes) * iterations, on_progress)
    with at_most(max_threads), closing(work_ahead(codes(), alone=max_threads == 1)) as steps:
        for group, planes in steps:
            for at, plane in zip(group, planes, strict=True):
                writer = at_work.pop(at, None) or TileWriter(weights, plane.shape, at.tile, verify=verify)
                segments[at].append(writer.encode_next(plane))
                if len(segments[at]) < iterations:
                    at_work[at] = writer
                elif verify:
                    writer.verify(segments[at])
                progress.add()
    return [
        (header, tuple(zip(*(segments[Place(picture, index)] for index in range(len(header.grid))), strict=True)))
        for picture, header in enumerate(headers)
    ]


class TileWriter:
    """One tile on its way from codes to segments.

    Args:
        weights: The model.
        shape: Shape of its code planes.
        tile: Its number, for messages.
        verify: Keep what is needed to verify it in the end.
    """

    def __init__(self, weights: Weights, shape: tuple[int, ...], tile: int, *, verify: bool) -> None:
        self._weights, self._tile = weights, tile
        self._encoder = TileEncoder(weights.entropy_model, *shape[1:])
        self._planes: list[Plane] | None = [] if verify else None

    def encode_next(self, plane: Plane) -> Segment:
        """Return the segment of the next iteration; see `codestream.TileEncoder`."""
        if self._planes is not None:
            self._planes.append(plane)
        return self._encoder.encode_next(plane)

    def verify(self, segments: list[Segment]) -> None:
        """Raise unless the segments decode to the planes that they were made of."""
        assert self._planes is not None
        grid = self._planes[0].shape[1], self._planes[0].shape[2]
        try:
            decoded = decode_tile(segments, self._weights.entropy_model, grid, tile=self._tile)
        except CorruptError as error:
            msg = f"what was just encoded cannot be decoded, nothing is saved: {error}"
            raise RncError(msg) from error
        if not np.array_equal(decoded, self._planes):
            msg = f"tile {self._tile}: what was just encoded decodes to other codes, nothing is saved"
            raise RncError(msg)
