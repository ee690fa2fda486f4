"""Units of codes -> pixels: entropy decoding, network and tiles meet here.

Tiles of one size work together, as many as memory allows, also those of several images; and entropy decoding works
beside the network.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.codec.batching import MAX_MEMORY, Place, groups
from pillow_rnc.codec.blending import Canvas
from pillow_rnc.codec.prefetch import work_ahead
from pillow_rnc.codec.progress import Progress
from pillow_rnc.container.records import Coding, Header, RncFile
from pillow_rnc.entropy.tile_coder import TileDecoder
from pillow_rnc.errors import RncError
from pillow_rnc.models.runtime import runtime
from pillow_rnc.models.threads import at_most
from pillow_rnc.models.weights import weights_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from pillow_rnc.codec.progress import OnProgress
    from pillow_rnc.container.records import Unit
    from pillow_rnc.container.tile_grid import Region
    from pillow_rnc.models.runtime import TileNetwork
    from pillow_rnc.models.weights import Weights

    Pixels = NDArray[np.uint8]
    Plane = NDArray[np.uint8]


def decode(
    file: RncFile,
    *,
    iterations: int | None = None,
    region: Region | None = None,
    device: str = "cpu",
    on_iteration: Callable[[int, int, Pixels], None] | None = None,
    max_memory: int = MAX_MEMORY,
    max_threads: int = 0,
    on_progress: OnProgress | None = None,
) -> Pixels:
    """Return the picture of a file.

    Args:
        file: A parsed file, or as many of its units as are wanted.
        iterations: How many of the units to decode; all by default.
        region: Left, top, right, bottom in pixels; only the tiles that it touches are decoded.
        device: What runs the network, see `inference`.
        on_iteration: Called with (done, total, picture) after each iteration; all tiles are then held at once.
        max_memory: As for `decode_batch`.
        max_threads: As for `encode_batch`.
        on_progress: As for `encode_batch`.

    Returns:
        uint8 [height, width, 3], or [height, width] for modes L and LA; of the region if one is given.

    Raises:
        UnsupportedError: No installed model has the file's id, or the header does not fit the model.
        CorruptError: The codes are damaged; the message names tile and iteration.
        RncOptionError: The region lies outside the picture, or the device cannot be used.
        WeightsError: The weights are missing or altered, or make numbers that are not finite.
    """
    units = file.units if iterations is None else file.units[:iterations]
    whole = RncFile(file.header, units=units)
    if on_iteration is None:
        limits = {"max_memory": max_memory, "max_threads": max_threads}
        return decode_batch([whole], region=region, device=device, on_progress=on_progress, **limits)[0]
    picture = np.empty(0, np.uint8)
    steps = sum(_kind_of(whole, index)[-1] for index in Canvas(file.header, region).pending)
    progress = Progress(steps, on_progress)
    shown = pictures(file.header, units, region=region, device=device, max_threads=max_threads, progress=progress)
    for done, picture in enumerate(shown, 1):
        on_iteration(done, len(units), picture)
    return picture


def decode_batch(
    files: Sequence[RncFile],
    *,
    region: Region | None = None,
    device: str = "cpu",
    max_memory: int = MAX_MEMORY,
    max_threads: int = 0,
    on_progress: OnProgress | None = None,
) -> list[Pixels]:
    """Return the picture of each file, with as many iterations as it has units.

    Args:
        files: Parsed files.
        region: As for `decode`, of each of them.
        device: What runs the network, see `inference`.
        max_memory: Bytes that tiles at work may take together; one alone may take more.
        max_threads: As for `encode_batch`.
        on_progress: As for `encode_batch`.

    Raises:
        RncError: As `decode`; a note names the file if there are several.
    """
    canvases = [Canvas(file.header, region) for file in files]
    weights = [weights_for(file.header) for file in files]
    sizes = {
        Place(picture, index): _kind_of(file, index)
        for picture, file in enumerate(files)
        for index in canvases[picture].pending
    }

    several = len(files) > 1

    def codes() -> Iterator[tuple[list[Place], Pixels | None]]:
        for group, _ in groups(sizes, max_memory):
            readers = [
                planes_of(files[at.picture], weights[at.picture], at.tile, number=at.picture if several else None)
                for at in group
            ]
            for planes in zip(*readers, strict=True):
                yield group, np.stack(planes) if len(planes) > 1 else planes[0][None]
            yield group, None

    progress = Progress(sum(running for *_, running in sizes.values()), on_progress)
    network: TileNetwork | None = None
    with at_most(max_threads), closing(work_ahead(codes(), alone=max_threads == 1)) as steps:
        for group, planes in steps:
            if network is None:
                network = runtime(weights[group[0].picture], device, max_threads)(len(group), *sizes[group[0]][:2])
            if planes is not None:
                network.decode(planes)
                progress.add(len(group))
                continue
            for at, tile in zip(group, network.pixels(), strict=True):
                canvases[at.picture].add(tile)
            network = None
    return [canvas.pixels for canvas in canvases]


def pictures(
    header: Header,
    units: Iterable[Unit],
    *,
    region: Region | None = None,
    device: str = "cpu",
    max_threads: int = 0,
    progress: Progress | None = None,
) -> Iterator[Pixels]:
    """Yield the picture after each unit, as soon as the unit is there; all tiles are held at once.

    Args:
        header: Header of the file.
        units: Its units in order; a generator is asked for one at a time.
        region: As for `decode`.
        device: What runs the network, see `inference`.
        max_threads: As for `encode_batch`.
        progress: What counts the steps.

    Raises:
        RncError: As `decode`.
    """
    weights = weights_for(header)
    network_for = runtime(weights, device, max_threads)
    tiles = {}
    for index in Canvas(header, region).pending:
        tile = header.grid[index]
        tiles[index] = decoder_of(header, weights, index), network_for(1, tile.padded_height, tile.padded_width)
    for unit in units:
        canvas = Canvas(header, region)
        with at_most(max_threads):  # and not while the caller has the picture
            for index, (decoder, network) in tiles.items():
                plane = decoder.decode_next(unit[index])
                if plane is not None:
                    network.decode(plane[None])
                    if progress is not None:
                        progress.add()
                canvas.add(network.pixels()[0])
        yield canvas.pixels


def _kind_of(file: RncFile, index: int) -> tuple[int, int, bytes, int]:
    """Return what tiles that work together have in common: size, model, and how many iterations they run."""
    tile = file.header.grid[index]
    running = sum(unit[index].coding is not Coding.STOPPED for unit in file.units)
    return tile.padded_height, tile.padded_width, file.header.model_id, running


def decoder_of(header: Header, weights: Weights, index: int) -> TileDecoder:
    """Return what decodes a tile, by its number; the weights are those of the header."""
    shape = header.code_shape(header.grid[index])
    return TileDecoder(weights.entropy_model, shape.height, shape.width, tile=index)


def planes_of(file: RncFile, weights: Weights, tile: int, *, number: int | None = None) -> Iterator[Plane]:
    """Yield the planes of a tile, uint8 [C, h, w] each; errors name the file by its number, if it has one."""
    decoder = decoder_of(file.header, weights, tile)
    try:
        for unit in file.units:
            plane = decoder.decode_next(unit[tile])
            if plane is not None:
                yield plane
    except RncError as error:
        if number is not None:
            error.add_note(f"in file {number} of the batch, counted from 0")
        raise
