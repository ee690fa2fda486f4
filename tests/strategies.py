"""Hypothesis strategies for the records of a file and for damage to its bytes."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from pillow_rnc.container.records import CODE_STRIDES, MODES, STOPPED_SEGMENT, Coding, Header, RncFile, Segment
from pillow_rnc.container.tile_grid import TileGrid

if TYPE_CHECKING:
    from collections.abc import Callable

    from hypothesis.strategies import DrawFn

    from pillow_rnc.container.records import CodeShape

    Damage = Callable[[bytes], bytes]

SMALL_FILE_BYTES = 400
"""Files up to this size are damaged bit by bit."""


@st.composite
def tile_sizes(draw: DrawFn, largest: int = 4096) -> tuple[int, int]:
    """Tile size and overlap that fit together."""
    tile_size = 16 * draw(st.integers(4, largest // 16))
    overlap = 16 * draw(st.integers(0, min(240, tile_size // 2) // 16))
    return tile_size, overlap


@st.composite
def grids(draw: DrawFn, largest_side: int = 300) -> TileGrid:
    """Grids of a few tiles."""
    tile_size, overlap = draw(tile_sizes(largest=128))
    return TileGrid(draw(st.integers(1, largest_side)), draw(st.integers(1, largest_side)), tile_size, overlap)


@st.composite
def headers(draw: DrawFn, *, largest_side: int = 65_535, largest_tile: int = 4096) -> Header:
    """Headers that keep every rule, of any size."""
    tile_size, overlap = draw(tile_sizes(largest=largest_tile))
    return Header(
        width=draw(st.integers(1, largest_side)),
        height=draw(st.integers(1, largest_side)),
        mode=draw(st.sampled_from(MODES)),
        iterations=draw(st.integers(1, 16)),
        code_channels=draw(st.integers(1, 255)),
        code_stride=draw(st.sampled_from(CODE_STRIDES)),
        tile_size=tile_size,
        overlap=overlap,
        model_id=draw(st.binary(min_size=8, max_size=8)),
        version=(1, draw(st.integers(0, 255))),
    )


@st.composite
def small_headers(draw: DrawFn) -> Header:
    """Headers of a few small tiles, few channels and few iterations, so that complete files stay small."""
    header = draw(headers(largest_side=100, largest_tile=64))
    return Header(
        width=header.width,
        height=header.height,
        mode=header.mode,
        iterations=draw(st.integers(1, 4)),
        code_channels=draw(st.integers(1, 5)),
        code_stride=header.code_stride,
        tile_size=header.tile_size,
        overlap=header.overlap,
        model_id=header.model_id,
        version=header.version,
    )


@st.composite
def segments(draw: DrawFn, shape: CodeShape) -> Segment:
    """Segments that hold codes of `shape`; an entropy-coded payload is any bytes, as the container sees it."""
    words = shape.raw_bytes // 4
    if words and draw(st.booleans()):
        payload = draw(st.binary(min_size=4, max_size=4)) * draw(st.integers(1, words))
        return Segment(Coding.ENTROPY, payload, draw(st.integers(0, 2**32 - 1)))
    codes = draw(st.integers(0, (1 << min(shape.bits, 64)) - 1)) << (8 * shape.raw_bytes - shape.bits)
    payload = codes.to_bytes(shape.raw_bytes, "big") if shape.bits <= 64 else bytes(shape.raw_bytes)
    return Segment(Coding.RAW, payload, zlib.crc32(payload))


@st.composite
def metadata(draw: DrawFn) -> dict[str, bytes]:
    """Any of the metadata values; empty ones are not allowed in a file."""
    values = st.binary(min_size=1, max_size=40)
    word = st.integers(1, 2**32 - 1).map(lambda number: number.to_bytes(4, "little"))
    density = st.lists(word, min_size=4, max_size=4).map(b"".join)
    return draw(
        st.fixed_dictionaries(
            {}, optional={"icc_profile": values, "exif": values, "xmp": values, "comment": values, "dpi": density}
        )
    )


@st.composite
def alpha_data(draw: DrawFn, header: Header) -> bytes:
    """Data of an `ALPH` chunk, valid for the size of the image."""
    values = bytes([draw(st.integers(0, 255))]) * (header.width * header.height)
    return bytes([draw(st.integers(0, 3))]) + zlib.compress(values)


@st.composite
def files(draw: DrawFn) -> RncFile:
    """Complete files, each tile coded, raw or stopped as the rules allow."""
    header = draw(small_headers())
    stops = [draw(st.integers(1, header.iterations + 2)) for _ in header.grid]
    units = tuple(
        tuple(
            STOPPED_SEGMENT if iteration >= stop else draw(segments(header.code_shape(tile)))
            for tile, stop in zip(header.grid, stops, strict=True)
        )
        for iteration in range(header.iterations)
    )
    alpha = draw(st.none() | alpha_data(header)) if header.mode.endswith("A") else None
    return RncFile(header, draw(metadata()), alpha, units)


@st.composite
def _bursts(draw: DrawFn, length: int) -> Damage:
    start = draw(st.integers(0, length - 1))
    burst = draw(st.binary(min_size=1, max_size=8))
    return lambda data: data[:start] + burst + data[start + len(burst) :]


@st.composite
def _swaps(draw: DrawFn, length: int) -> Damage:
    first, second = sorted(draw(st.tuples(st.integers(0, length - 1), st.integers(0, length - 1))))
    size = draw(st.integers(1, 16))
    return lambda data: (
        data[:first]
        + data[second : second + size]
        + data[first + size : second]
        + data[first : first + size]
        + data[second + size :]
    )


@st.composite
def _repeats(draw: DrawFn, length: int) -> Damage:
    start = draw(st.integers(0, length - 1))
    stop = draw(st.integers(start + 1, length))
    return lambda data: data[:stop] + data[start:stop] + data[stop:]


@st.composite
def _gaps(draw: DrawFn, length: int) -> Damage:
    start = draw(st.integers(0, length - 1))
    stop = draw(st.integers(start + 1, length))
    return lambda data: data[:start] + data[stop:]


def corruptions(length: int) -> st.SearchStrategy[Damage]:
    """Functions that damage `length` bytes: bursts, swapped, repeated and missing parts.

    Damage may leave the bytes as they were, when a burst writes what stood there.
    """
    return st.one_of(_bursts(length), _swaps(length), _repeats(length), _gaps(length))
