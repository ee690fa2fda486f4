"""Pixels -> units of codes: tiles, network and entropy coding meet here.

Every tile is coded on its own. The encoder contains the decoder, so each code is computed from what the decoder will
have at that point. Tiles of one size run through the network together, as many as memory allows, also tiles of several
images; entropy coding runs beside the network.
"""

from __future__ import annotations

import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.codec.batching import TileRef, batches
from pillow_rnc.codec.blending import padded_tile
from pillow_rnc.codec.execution import ExecutionOptions, StepCounter
from pillow_rnc.codec.pool import TilePool, pool_threads
from pillow_rnc.codec.prefetch import prefetch
from pillow_rnc.container.records import DEFAULT_OVERLAP, DEFAULT_TILE_SIZE, Header
from pillow_rnc.entropy.tile_coder import TileEncoder, decode_tile
from pillow_rnc.errors import CorruptError, RncError
from pillow_rnc.fork_safety import ObjectLock
from pillow_rnc.models.complexity import bytes_per_pixel
from pillow_rnc.models.runtime import releases_lock, runtime
from pillow_rnc.models.threads import limit_threads
from pillow_rnc.models.weights import check_iterations

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from numpy.typing import NDArray

    from pillow_rnc.container.records import Segment, Unit
    from pillow_rnc.models.runtime import Runtime, TileNetwork
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
    limits: Sequence[int] | None = None,
    execution: ExecutionOptions | None = None,
) -> list[EncodedImage]:
    """Return the header, with mode RGB, and the units of each image.

    Args:
        images: uint8 [height, width, 3] each.
        weights: The model.
        iterations: How many iterations to code, 1 to those of the model.
        tile_size: Side of a tile in pixels.
        overlap: Pixels that neighbouring tiles share.
        verify: Decode all codes, as a reader will, and compare them, which takes more time.
        limits: Bytes of the payloads of each image: iterations beyond the first with which they exceed that may be
            left out.
        execution: How to compute; the defaults of `ExecutionOptions` if None.

    Raises:
        RncOptionError: The device cannot be used, or the model has fewer iterations.
        WeightsError: The weights do not fit the configuration of their model.
        RncError: With `verify`, the codes do not decode to what was encoded.
    """
    execution = execution or ExecutionOptions()
    config = weights.config
    check_iterations(iterations, weights)
    network_for = runtime(weights, execution.device, execution.max_threads)
    coding = (iterations, config.code_channels, config.code_stride, tile_size, overlap, weights.model_id)
    headers = [Header(pixels.shape[1], pixels.shape[0], "RGB", *coding) for pixels in images]
    work = _Work(images, headers, weights, network_for, verify=verify)
    rates = [_Rate(iterations, limit) for limit in limits or [sys.maxsize] * len(images)]
    progress = StepCounter(len(work.sizes) * iterations, execution.on_progress)
    if releases_lock(weights, execution.device):
        segments = _encode_in_pool(work, rates, execution, progress)
    else:
        segments = _encode_in_batches(work, execution, progress)
    encoded = []
    for image, (header, rate) in enumerate(zip(headers, rates, strict=True)):
        tiles = [segments[TileRef(image, index)][: rate.iterations] for index in range(len(header.grid))]
        encoded.append((replace(header, iterations=rate.iterations), tuple(zip(*tiles, strict=True))))
    return encoded


class _Rate:
    """How many iterations of an image are of use, as far as it is known; for several threads.

    Args:
        iterations: The most.
        limit: Bytes that its payloads may take.

    Attributes:
        iterations: With more of them, the tiles so far exceed the limit.
    """

    def __init__(self, iterations: int, limit: int) -> None:
        self.iterations, self._limit = iterations, limit
        self._sizes = [0] * iterations  # of the payloads so far, by the last iteration
        self._lock = ObjectLock()

    def add(self, iteration: int, size: int) -> None:
        """Count the payloads of a tile from the first iteration to this one, in bytes."""
        with self._lock.held():  # the number never rises again: tiles that end with it have no segments beyond it
            self._sizes[iteration] += size
            if self._sizes[iteration] > self._limit:
                self.iterations = max(1, min(self.iterations, iteration))


class _Work:
    """The tiles to be encoded.

    Args:
        images: uint8 [height, width, 3] each.
        headers: Of each.
        weights: The model.
        network_for: Makes its networks.
        verify: Decode all codes afterwards.

    Attributes:
        sizes: Padded height and width of each tile in pixels.
    """

    def __init__(
        self,
        images: Sequence[Pixels],
        headers: Sequence[Header],
        weights: Weights,
        network_for: Runtime,
        *,
        verify: bool,
    ) -> None:
        self._images, self._headers, self._weights, self._network_for = images, headers, weights, network_for
        self.verify = verify
        self.sizes = {
            TileRef(image, index): (tile.padded_height, tile.padded_width)
            for image, header in enumerate(headers)
            for index, tile in enumerate(header.grid)
        }

    @property
    def iterations(self) -> int:
        """Number of iterations to code; there is an image at least."""
        return self._headers[0].iterations

    @property
    def bytes_per_pixel(self) -> int:
        """Bytes that the network takes for each pixel of a tile."""
        return bytes_per_pixel(self._weights.config)

    def network(self, refs: Sequence[TileRef]) -> TileNetwork:
        """Return the network at work on tiles of one size, which are its target."""
        network = self._network_for(len(refs), *self.sizes[refs[0]])
        tiles = [padded_tile(self._headers[ref.image].grid, self._images[ref.image], ref.tile) for ref in refs]
        network.set_target(np.stack(tiles))
        return network

    def coder(self, ref: TileRef) -> _TileCoder:
        """Return the coder of a tile."""
        header = self._headers[ref.image]
        shape = header.code_shape(header.grid[ref.tile])
        return _TileCoder(self._weights, shape, ref.tile, verify=self.verify)


def _encode_in_pool(
    work: _Work, rates: Sequence[_Rate], execution: ExecutionOptions, progress: StepCounter
) -> dict[TileRef, list[Segment]]:
    """Return the segments of each tile; tiles are coded one by one, several of them at a time."""

    def encode(ref: TileRef) -> Generator[None, None, list[Segment]]:
        network = work.network([ref])
        coder = work.coder(ref)
        segments: list[Segment] = []
        size, rate = 0, rates[ref.image]
        for iteration in range(work.iterations):
            if iteration < rate.iterations:
                (plane,) = network.encode()
                segments.append(coder.encode_next(plane))
                size += len(segments[-1].payload)
                rate.add(iteration, size)
            yield
        if work.verify:
            coder.verify(segments)
        return segments

    pool = TilePool(encode, pool_threads(work.sizes.values(), execution), progress.add)
    with closing(pool.results(work.sizes)) as tiles:
        return dict(zip(work.sizes, tiles, strict=True))


def _encode_in_batches(work: _Work, execution: ExecutionOptions, progress: StepCounter) -> dict[TileRef, list[Segment]]:
    """Return the segments of each tile; tiles of one size run through the network together."""

    def code_planes() -> Iterator[tuple[list[TileRef], Pixels]]:
        for batch, _ in batches(work.sizes, execution.batch_memory, work.bytes_per_pixel):
            network = work.network(batch)
            for _ in range(work.iterations):
                yield batch, network.encode()
            del network  # its memory is needed for the next one

    segments: dict[TileRef, list[Segment]] = {ref: [] for ref in work.sizes}
    coders: dict[TileRef, _TileCoder] = {}
    with (
        limit_threads(execution.max_threads),
        closing(prefetch(code_planes(), threaded=execution.max_threads != 1)) as steps,
    ):
        for batch, planes in steps:
            for ref, plane in zip(batch, planes, strict=True):
                coder = coders.pop(ref, None) or work.coder(ref)
                segments[ref].append(coder.encode_next(plane))
                if len(segments[ref]) < work.iterations:
                    coders[ref] = coder
                elif work.verify:
                    coder.verify(segments[ref])
                progress.add()
    return segments


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
