"""Units of codes -> pixels: entropy decoding, network and tiles meet here.

Tiles of one kind run through the network together, as many as memory allows, also tiles of several images; entropy
decoding runs beside the network.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pillow_rnc.codec.batching import TileRef, batches
from pillow_rnc.codec.blending import Canvas
from pillow_rnc.codec.execution import ExecutionOptions, StepCounter
from pillow_rnc.codec.pool import TilePool, pool_threads
from pillow_rnc.codec.prefetch import prefetch
from pillow_rnc.container.records import Coding
from pillow_rnc.entropy.tile_coder import TileDecoder
from pillow_rnc.errors import RncError
from pillow_rnc.models.complexity import bytes_per_pixel
from pillow_rnc.models.reduction import reduced_runtime
from pillow_rnc.models.runtime import releases_lock
from pillow_rnc.models.threads import limit_threads

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from pillow_rnc.codec.execution import OnProgress
    from pillow_rnc.container.records import Header, RncFile, Unit
    from pillow_rnc.container.tile_grid import Region
    from pillow_rnc.models.runtime import TileDecoding
    from pillow_rnc.models.weights import Weights

    Pixels = NDArray[np.uint8]
    Plane = NDArray[np.uint8]


def decode(
    file: RncFile,
    weights: Weights,
    *,
    region: Region | None = None,
    reduction: int = 1,
    execution: ExecutionOptions | None = None,
) -> Pixels:
    """Return the image of one file; see `decode_many`."""
    return decode_many([file], [weights], region=region, reduction=reduction, execution=execution)[0]


def decode_many(
    files: Sequence[RncFile],
    weights: Sequence[Weights],
    *,
    region: Region | None = None,
    reduction: int = 1,
    execution: ExecutionOptions | None = None,
) -> list[Pixels]:
    """Return the image of each file, decoded from all units that its record has.

    Args:
        files: Parsed files, or the parts of them that are wanted.
        weights: The model of each file, see `weights_for`.
        region: Left, top, right, bottom in pixels, of each of them; only the tiles that it touches are decoded.
        reduction: 1, 2, 4 or 8: decode at one over this of the size, see `models.reduction`.
        execution: How to compute; the defaults of `ExecutionOptions` if None.

    Returns:
        uint8 [height, width, 3] each, or [height, width] for modes L and LA; of the region if one is given.

    Raises:
        CorruptError: Codes are damaged; the message names tile and iteration, and a note the file if there are several.
        RncOptionError: The region lies outside the image, or the device cannot be used.
        WeightsError: The model yields numbers that are not finite.
    """
    execution = execution or ExecutionOptions()
    canvases = [Canvas(file.header, region, reduction) for file in files]
    kinds = {
        TileRef(image, index): _kind_of(file, index)
        for image, file in enumerate(files)
        for index in canvases[image].pending
    }
    work = _Work(files, weights, kinds, canvases, reduction)
    progress = StepCounter(sum(kind.iterations for kind in kinds.values()), execution.on_progress)
    if all(releases_lock(model, execution.device) for model in weights):
        _decode_in_pool(work, execution, progress)
    else:
        _decode_in_batches(work, execution, progress)
    return [canvas.pixels for canvas in canvases]


class _Work(NamedTuple):
    """The files to be decoded, the model of each, the kind of each tile that is wanted, and the images."""

    files: Sequence[RncFile]
    weights: Sequence[Weights]
    kinds: Mapping[TileRef, _Kind]
    canvases: Sequence[Canvas]
    reduction: int

    def network(self, refs: Sequence[TileRef], execution: ExecutionOptions) -> TileDecoding:
        """Return the network at work on tiles of one kind."""
        kind = self.kinds[refs[0]]
        model = self.weights[refs[0].image]
        network_for = reduced_runtime(model, execution.device, execution.max_threads, self.reduction)
        return network_for(len(refs), kind.height, kind.width)

    def code_planes(self, ref: TileRef) -> Iterator[Plane]:
        """Yield the code planes of a tile, uint8 [C, h, w] each."""
        return _code_planes(self.files[ref.image], self.weights[ref.image], ref, len(self.files))


def _decode_in_pool(work: _Work, execution: ExecutionOptions, progress: StepCounter) -> None:
    """Decode the tiles one by one, several of them at a time, and add them to their images."""

    def decode_tile(ref: TileRef) -> Generator[None, None, NDArray[np.float32]]:
        network = work.network([ref], execution)
        for plane in work.code_planes(ref):
            network.decode(plane[None])
            yield
        return network.pixels()[0]  # type: ignore[no-any-return]

    pool = TilePool(decode_tile, pool_threads([kind[:2] for kind in work.kinds.values()], execution), progress.add)
    with closing(pool.results(work.kinds)) as tiles:
        for ref, tile in zip(work.kinds, tiles, strict=True):
            work.canvases[ref.image].add(tile)


def _decode_in_batches(work: _Work, execution: ExecutionOptions, progress: StepCounter) -> None:
    """Decode the tiles in batches, and add them to their images."""
    pixel_bytes = max((bytes_per_pixel(one.config) for one in work.weights), default=1)

    def code_planes() -> Iterator[tuple[list[TileRef], Pixels | None]]:
        for batch, _ in batches(work.kinds, execution.batch_memory, pixel_bytes):
            for planes in zip(*(work.code_planes(ref) for ref in batch), strict=True):
                yield batch, np.stack(planes) if len(planes) > 1 else planes[0][None]
            yield batch, None

    network: TileDecoding | None = None
    with (
        limit_threads(execution.max_threads),
        closing(prefetch(code_planes(), threaded=execution.max_threads != 1)) as steps,
    ):
        for batch, planes in steps:
            network = network or work.network(batch, execution)
            if planes is not None:
                network.decode(planes)
                progress.add(len(batch))
                continue
            for ref, tile in zip(batch, network.pixels(), strict=True):
                work.canvases[ref.image].add(tile)
            network = None


def iter_images(
    header: Header,
    units: Iterable[Unit],
    weights: Weights,
    *,
    region: Region | None = None,
    reduction: int = 1,
    execution: ExecutionOptions | None = None,
    progress: StepCounter | None = None,
) -> Iterator[Pixels]:
    """Yield the image after each unit, as soon as the unit is there; all tiles are in memory at once.

    Args:
        header: Header of the file.
        units: Its units in order; an iterator is asked for one at a time.
        weights: The model of the file.
        region: As for `decode_many`.
        reduction: Likewise.
        execution: How to compute; the defaults of `ExecutionOptions` if None. Progress is counted by `progress` alone.
        progress: Counts the steps, see `step_counter`.

    Raises:
        RncError: As for `decode_many`.
    """
    execution = execution or ExecutionOptions()
    network_for = reduced_runtime(weights, execution.device, execution.max_threads, reduction)
    tiles = {}
    for index in Canvas(header, region, reduction).pending:
        tile = header.grid[index]
        tiles[index] = _tile_decoder(header, weights, index), network_for(1, tile.padded_height, tile.padded_width)
    for unit in units:
        canvas = Canvas(header, region, reduction)
        with limit_threads(execution.max_threads):  # but not while the caller has the image
            for index, (decoder, network) in tiles.items():
                plane = decoder.decode_next(unit[index])
                if plane is not None:
                    network.decode(plane[None])
                    if progress is not None:
                        progress.add()
                canvas.add(network.pixels()[0])
        yield canvas.pixels


def step_counter(
    file: RncFile, region: Region | None, on_progress: OnProgress | None, reduction: int = 1
) -> StepCounter:
    """Return a counter of the steps that decoding a file, or a region of it, takes."""
    pending = Canvas(file.header, region, reduction).pending
    return StepCounter(sum(_kind_of(file, index).iterations for index in pending), on_progress)


class _Kind(NamedTuple):
    """What the tiles of a batch have in common: padded size in pixels, model, iterations until they stop."""

    height: int
    width: int
    model_id: bytes
    iterations: int


def _kind_of(file: RncFile, index: int) -> _Kind:
    tile = file.header.grid[index]
    coded = sum(unit[index].coding is not Coding.STOPPED for unit in file.units)
    return _Kind(tile.padded_height, tile.padded_width, file.header.model_id, coded)


def _tile_decoder(header: Header, weights: Weights, index: int) -> TileDecoder:
    shape = header.code_shape(header.grid[index])
    return TileDecoder(weights.entropy_model, shape.height, shape.width, tile=index)


def _code_planes(file: RncFile, weights: Weights, ref: TileRef, count: int) -> Iterator[Plane]:
    """Yield the code planes of a tile, uint8 [C, h, w] each; errors name the file if it is one of several."""
    decoder = _tile_decoder(file.header, weights, ref.tile)
    try:
        for unit in file.units:
            plane = decoder.decode_next(unit[ref.tile])
            if plane is not None:
                yield plane
    except RncError as error:
        if count > 1:
            error.add_note(f"in file {ref.image} of the batch, counted from 0")
        raise
