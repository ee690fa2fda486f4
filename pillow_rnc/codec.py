"""Pictures <-> codes: the place where tiles, network and entropy coding meet.

Only here do 8-bit samples become the network's numbers and back. A tile is coded on its own; the encoder runs the
decoder, and every code it emits is the one that the decoder will read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.codestream import TileDecoder, TileEncoder, decode_tile
from pillow_rnc.errors import CorruptError, RncError, RncOptionError, UnsupportedError, WeightsError
from pillow_rnc.inference import runtime
from pillow_rnc.records import Header, RncFile
from pillow_rnc.tiling import Blender
from pillow_rnc.weights import Weights, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from pillow_rnc.inference import Runtime
    from pillow_rnc.records import Segment, Unit
    from pillow_rnc.tiling import Tile

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def encode(
    pixels: NDArray[np.uint8],
    *,
    iterations: int,
    model: str = "auto",
    tile_size: int = 768,
    overlap: int = 32,
    device: str = "cpu",
    verify: bool = False,
) -> tuple[Header, tuple[Unit, ...]]:
    """Return the header (of mode RGB) and the units of a picture.

    Args:
        pixels: uint8 [height, width, 3].
        iterations: How many iterations to code, 1 to those of the model.
        model: Name of a model, or "auto".
        tile_size: Side of a tile in pixels.
        overlap: Pixels that neighbouring tiles share.
        device: What runs the network, see `inference`.
        verify: Decode all codes, as a reader will, and compare; about a third more time.

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
    height, width, _ = pixels.shape
    header = Header(
        width, height, "RGB", iterations, config.code_channels, config.code_stride, tile_size, overlap, weights.model_id
    )
    network_for = runtime(weights, device)
    by_tile = []
    for index, tile in enumerate(header.grid):
        network = network_for(1, tile.padded_height, tile.padded_width)
        network.set_target(header.grid.cut(pixels, index)[None])
        shape = header.code_shape(tile)
        encoder = TileEncoder(weights.entropy_model, shape.height, shape.width)
        planes = [network.encode()[0] for _ in range(iterations)]
        by_tile.append([encoder.encode_next(plane) for plane in planes])
        if verify:
            _verify(by_tile[-1], planes, weights, index)
    return header, tuple(tuple(unit) for unit in zip(*by_tile, strict=True))


def decode(
    file: RncFile,
    *,
    iterations: int | None = None,
    region: tuple[int, int, int, int] | None = None,
    device: str = "cpu",
    on_iteration: Callable[[int, int, NDArray[np.uint8]], None] | None = None,
) -> NDArray[np.uint8]:
    """Return the picture of a file.

    Args:
        file: A parsed file, or as many of its units as are wanted.
        iterations: How many of the units to decode; all by default.
        region: Left, top, right, bottom in pixels; only the tiles that it touches are decoded.
        device: What runs the network, see `inference`.
        on_iteration: Called with (done, total, picture) after each iteration; all tiles are then held at once.

    Returns:
        uint8 [height, width, 3], or [height, width] for modes L and LA; of the region if one is given.

    Raises:
        UnsupportedError: No installed model has the file's id, or the header does not fit the model.
        CorruptError: The codes are damaged; the message names tile and iteration.
        RncOptionError: The region lies outside the picture, or the device cannot be used.
        WeightsError: The weights are missing or altered, or make numbers that are not finite.
    """
    header = file.header
    weights = load(header.model_id)
    _check_fit(header, weights)
    units = file.units if iterations is None else file.units[:iterations]
    network_for = runtime(weights, device)
    if on_iteration is None:
        blender = Blender(header.grid, region)
        rows = []
        for index in blender.pending:
            decoder = _TilePicture(header, weights, index, network_for)
            for unit in units:
                decoder.decode_next(unit)
            rows.append(_samples(blender, decoder.pixels(), header.mode))
        return np.concatenate(rows)
    picture = np.empty(0, np.uint8)
    for done, picture in enumerate(pictures(header, units, region=region, device=device), 1):
        on_iteration(done, len(units), picture)
    return picture


def pictures(
    header: Header,
    units: Iterable[Unit],
    *,
    region: tuple[int, int, int, int] | None = None,
    device: str = "cpu",
) -> Iterator[NDArray[np.uint8]]:
    """Yield the picture after each unit, as soon as the unit is there; all tiles are held at once.

    Args:
        header: Header of the file.
        units: Its units in order; a generator is asked for one at a time.
        region: As for `decode`.
        device: What runs the network, see `inference`.

    Raises:
        RncError: As `decode`.
    """
    weights = load(header.model_id)
    _check_fit(header, weights)
    network_for = runtime(weights, device)
    decoders = {
        index: _TilePicture(header, weights, index, network_for) for index in Blender(header.grid, region).pending
    }
    for unit in units:
        blender = Blender(header.grid, region)
        rows = []
        for index in blender.pending:
            decoders[index].decode_next(unit)
            rows.append(_samples(blender, decoders[index].pixels(), header.mode))
        yield np.concatenate(rows)


def _verify(segments: list[Segment], planes: list[NDArray[np.uint8]], weights: Weights, index: int) -> None:
    """Raise unless the segments of a tile decode to the planes that they were made of."""
    try:
        same = np.array_equal(decode_tile(segments, weights.entropy_model, planes[0].shape[1:], tile=index), planes)
    except CorruptError as error:
        msg = f"what was just encoded cannot be decoded, nothing is saved: {error}"
        raise RncError(msg) from error
    if not same:
        msg = f"tile {index}: what was just encoded decodes to other codes, nothing is saved"
        raise RncError(msg)


class _TilePicture:
    """One tile on its way from segments to pixels."""

    def __init__(self, header: Header, weights: Weights, index: int, network_for: Runtime) -> None:
        tile: Tile = header.grid[index]
        shape = header.code_shape(tile)
        self._index = index
        self._codes = TileDecoder(weights.entropy_model, shape.height, shape.width, tile=index)
        self._network = network_for(1, tile.padded_height, tile.padded_width)

    def decode_next(self, unit: Unit) -> None:
        plane = self._codes.decode_next(unit[self._index])
        if plane is not None:
            self._network.decode(plane[None])

    def pixels(self) -> NDArray[np.float32]:
        picture: NDArray[np.float32] = self._network.pixels()[0]
        return picture


def _check_fit(header: Header, weights: Weights) -> None:
    config = weights.config
    found = (header.code_channels, header.code_stride)
    if found != (config.code_channels, config.code_stride) or header.iterations > config.iterations:
        msg = (
            f"{header.code_channels} code channels at stride {header.code_stride}, {header.iterations} iterations; "
            f"model {weights.name!r} has {config.code_channels} at {config.code_stride}, {config.iterations}"
        )
        raise UnsupportedError(msg)


@np.errstate(all="ignore")
def _samples(blender: Blender, tile: NDArray[np.float32], mode: str) -> NDArray[np.uint8]:
    """Add a tile float32 [h, w, 3]; return the rows that are final as 8-bit samples, luma alone for grey modes."""
    if not np.isfinite(tile).all():
        raise WeightsError("the model's samples are not finite numbers")
    pixels = blender.add(tile)
    if mode in ("L", "LA"):
        pixels = pixels @ _LUMA
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
