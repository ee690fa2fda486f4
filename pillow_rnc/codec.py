"""Pictures <-> codes: the place where tiles, network and entropy coding meet.

Only here do 8-bit samples become the network's numbers and back. A tile is coded on its own; the encoder runs the
decoder, and every code it emits is the one that the decoder will read. Tiles of one size work together, as many as
memory allows, also those of several pictures; and entropy coding works beside the network.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.canvas import Canvas
from pillow_rnc.errors import RncOptionError
from pillow_rnc.inference import runtime
from pillow_rnc.lookahead import work_ahead
from pillow_rnc.progress import Progress
from pillow_rnc.records import Coding, Header, RncFile
from pillow_rnc.thread_limit import at_most
from pillow_rnc.tile_codes import TileWriter, decoder_of, planes_of, weights_for
from pillow_rnc.tile_groups import MAX_MEMORY, Place, groups
from pillow_rnc.weights import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from pillow_rnc.inference import TileNetwork
    from pillow_rnc.progress import OnProgress
    from pillow_rnc.records import Segment, Unit
    from pillow_rnc.tiling import Region

    Pixels = NDArray[np.uint8]
    Encoded = tuple[Header, tuple[Unit, ...]]


def encode(
    pixels: Pixels,
    *,
    iterations: int,
    model: str = "auto",
    tile_size: int = 768,
    overlap: int = 32,
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
    tile_size: int = 768,
    overlap: int = 32,
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
            network.set_target(np.stack([headers[at.picture].grid.cut(pictures[at.picture], at.tile) for at in group]))
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
                yield group, np.stack(planes)
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
