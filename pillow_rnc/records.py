"""The records that a file consists of, and the rules that each must keep.

Frozen values only: this module reads and writes no bytes, and knows neither construct nor numpy.
A rule is a generator of faults, so that a reader can raise the class that the specification names and a writer `RncOptionError`.
Source: spec, sections "Header", "Metadata chunks" and "Units".
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field
from enum import IntEnum
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from pillow_rnc.errors import CorruptError, RncFileError, RncOptionError, UnsupportedError
from pillow_rnc.tiling import TILE_ALIGNMENT, Tile, TileGrid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TypeAlias

    Faults: TypeAlias = Iterator[tuple[type[RncFileError], str]]
    """The class and message of each rule that a record breaks."""

SIGNATURE = b"\x8aRNC\r\n\x1a\n"
"""The first bytes of every file: a high bit and line ends, which careless transfers damage."""
HEAD_TYPE = b"HEAD"
ALPHA_TYPE = b"ALPH"
UNIT_TYPE = b"ITER"
MODES = ("L", "LA", "RGB", "RGBA")
"""Pillow modes in the order of their numbers in the header."""
CODE_STRIDES = (8, 16)
FORMAT_MAJOR = 1
MAX_SIDE = 65_535
MAX_ITERATIONS = 16
TILE_SIZES = range(64, 4096 + 1, TILE_ALIGNMENT)
MAX_METADATA_BYTES = 1 << 20
MAX_METADATA_TOTAL_BYTES = 4 << 20
MODEL_ID_BYTES = 8
DENSITY_BYTES = 16
ENTROPY_WORD_BYTES = 4

METADATA_TYPES = {"icc_profile": b"iccp", "exif": b"exif", "xmp": b"xmpp", "comment": b"comm", "dpi": b"dens"}
"""Key of `RncFile.metadata` to chunk type, in the order of the chunks in a file."""


class Coding(IntEnum):
    """How the payload of a segment holds the codes."""

    ENTROPY = 0
    RAW = 1
    STOPPED = 2


@dataclass(frozen=True, slots=True)
class Header:
    """What the `HEAD` chunk says.

    Attributes:
        width: Image width in pixels, 1 to 65535.
        height: Image height in pixels, 1 to 65535.
        mode: One of `MODES`.
        iterations: Iterations stored, 1 to 16.
        code_channels: Channels of the binary code, 1 to 255.
        code_stride: Pixels along each side of a code cell, 8 or 16.
        tile_size: Side of a tile in pixels, a multiple of 16, 64 to 4096.
        overlap: Pixels shared by neighbouring tiles, a multiple of 16, 0 to 240 and at most half a tile.
        model_id: First 8 bytes of the SHA-256 of the weights file.
        version: Major and minor version of the format.
    """

    width: int
    height: int
    mode: str
    iterations: int
    code_channels: int
    code_stride: int
    tile_size: int
    overlap: int
    model_id: bytes
    version: tuple[int, int] = (FORMAT_MAJOR, 0)

    @property
    def grid(self) -> TileGrid:
        """The tiles of the image."""
        return TileGrid(self.width, self.height, self.tile_size, self.overlap)

    def code_shape(self, tile: Tile) -> CodeShape:
        """Return the shape of one iteration's codes of `tile`."""
        stride = self.code_stride
        return CodeShape(self.code_channels, tile.padded_height // stride, tile.padded_width // stride)


class CodeShape(NamedTuple):
    """Shape of the code plane of one tile and iteration."""

    channels: int
    height: int
    width: int

    @property
    def bits(self) -> int:
        """Number of codes."""
        return self.channels * self.height * self.width

    @property
    def raw_bytes(self) -> int:
        """Length of the codes when packed eight to a byte."""
        return -(-self.bits // 8)


@dataclass(frozen=True, slots=True)
class Segment:
    """The codes of one tile and iteration, as stored.

    Attributes:
        coding: How `payload` holds the codes.
        payload: The coded bytes; empty when stopped.
        codes_crc: CRC-32 of the codes packed eight to a byte; 0 when stopped.
    """

    coding: Coding
    payload: bytes
    codes_crc: int

    @property
    def payload_crc(self) -> int:
        """CRC-32 of the payload; 0 when stopped."""
        return zlib.crc32(self.payload)


STOPPED_SEGMENT = Segment(Coding.STOPPED, b"", 0)

Unit = tuple[Segment, ...]
"""One iteration: a segment for each tile, in the order of the grid."""


@dataclass(frozen=True, slots=True)
class RncFile:
    """A whole file.

    Attributes:
        header: The header as stored, also when `units` holds fewer iterations than it promises.
        metadata: Values by the keys of `METADATA_TYPES`; "dpi" as `pack_dpi` makes it.
        alpha: The opaque alpha blob, or None when every pixel is opaque.
        units: Segments by iteration, then tile.
    """

    header: Header
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    alpha: bytes | None = None
    units: tuple[Unit, ...] = ()


@dataclass(frozen=True, slots=True)
class FileHead:
    """Everything of a file that stands before its first unit.

    Attributes:
        header: The header.
        metadata: As in `RncFile`.
        alpha: As in `RncFile`.
        units_offset: Position of the first unit in the file object, as `seek` takes it.
    """

    header: Header
    metadata: Mapping[str, bytes]
    alpha: bytes | None
    units_offset: int


def header_faults(header: Header) -> Faults:
    """Yield the class and message of each rule that `header` breaks."""
    if header.version[0] != FORMAT_MAJOR:
        yield UnsupportedError, f"format version {header.version[0]}.{header.version[1]}, known is {FORMAT_MAJOR}"
    if header.mode not in MODES:
        yield UnsupportedError, f"mode {header.mode}, allowed are {', '.join(MODES)}"
    if header.iterations > MAX_ITERATIONS:
        yield UnsupportedError, f"{header.iterations} iterations, at most {MAX_ITERATIONS} are supported"
    if header.code_stride not in CODE_STRIDES:
        yield UnsupportedError, f"code stride {header.code_stride}, allowed are 8 and 16"
    if header.iterations < 1:
        yield CorruptError, f"{header.iterations} iterations, at least 1 is needed"
    for side, length in (("width", header.width), ("height", header.height)):
        if not 1 <= length <= MAX_SIDE:
            yield CorruptError, f"{side} {length}, allowed are 1 to {MAX_SIDE}"
    if not 1 <= header.code_channels <= 255:
        yield CorruptError, f"{header.code_channels} code channels, allowed are 1 to 255"
    if header.tile_size not in TILE_SIZES:
        yield CorruptError, f"tile size {header.tile_size}, allowed are multiples of 16 from 64 to 4096"
    largest = min(240, header.tile_size // 2)
    if not 0 <= header.overlap <= largest or header.overlap % TILE_ALIGNMENT:
        yield CorruptError, f"overlap {header.overlap}, allowed are multiples of 16 up to {largest}"
    if len(header.model_id) != MODEL_ID_BYTES:
        yield CorruptError, f"model id of {len(header.model_id)} bytes, {MODEL_ID_BYTES} are needed"


def metadata_faults(metadata: Mapping[str, bytes]) -> Faults:
    """Yield the class and message of each rule that the values of `metadata` break."""
    for key, value in metadata.items():
        if key not in METADATA_TYPES:
            yield CorruptError, f"metadata {key}, allowed are {', '.join(METADATA_TYPES)}"
        if not 1 <= len(value) <= MAX_METADATA_BYTES:
            yield CorruptError, f"{key} of {len(value)} bytes, allowed are 1 to {MAX_METADATA_BYTES}"
    if sum(map(len, metadata.values())) > MAX_METADATA_TOTAL_BYTES:
        yield CorruptError, f"metadata of more than {MAX_METADATA_TOTAL_BYTES} bytes"
    density = metadata.get("dpi")
    if density is not None and len(density) != DENSITY_BYTES:
        yield CorruptError, f"dpi of {len(density)} bytes, {DENSITY_BYTES} are needed"
    elif density is not None and 0 in _words(density):
        yield CorruptError, "dpi with a zero in it"


def alpha_faults(alpha: bytes | None, header: Header) -> Faults:
    """Yield the class and message of each rule that the alpha blob breaks."""
    if alpha is None:
        return
    if not header.mode.endswith("A"):
        yield CorruptError, f"alpha in a file of mode {header.mode}"
    if not 1 <= len(alpha) <= max_alpha_bytes(header):
        yield CorruptError, f"alpha of {len(alpha)} bytes, allowed are 1 to {max_alpha_bytes(header)}"


def max_alpha_bytes(header: Header) -> int:
    """Return the greatest length of the alpha blob: two bytes for a pixel, and 1024."""
    return 2 * header.width * header.height + 1024


def segment_faults(segment: Segment, shape: CodeShape, *, may_stop: bool, may_run: bool) -> Faults:
    """Yield the class and message of each rule that `segment` breaks.

    Args:
        segment: The segment.
        shape: Shape of its codes.
        may_stop: The segment does not belong to the first iteration.
        may_run: The tile was not stopped by an earlier iteration.
    """
    length = len(segment.payload)
    if segment.coding is Coding.STOPPED:
        if length or segment.codes_crc:
            yield CorruptError, "stopped, but not empty"
        if not may_stop:
            yield CorruptError, "stopped in the first iteration"
        return
    if not may_run:
        yield CorruptError, "codes after the tile was stopped"
    if segment.coding is Coding.RAW:
        spare_bits = 8 * shape.raw_bytes - shape.bits
        if length != shape.raw_bytes:
            yield CorruptError, f"raw payload of {length} bytes, {shape.raw_bytes} are needed"
        elif segment.payload[-1] & ((1 << spare_bits) - 1):
            yield CorruptError, "raw payload with spare bits set"
        if segment.codes_crc != segment.payload_crc:
            yield CorruptError, f"codes CRC {segment.codes_crc:#010x}, expected {segment.payload_crc:#010x}"
    elif length % ENTROPY_WORD_BYTES or not ENTROPY_WORD_BYTES <= length <= shape.raw_bytes:
        yield (
            CorruptError,
            f"entropy-coded payload of {length} bytes, allowed are multiples of 4 up to {shape.raw_bytes}",
        )


def unit_faults(unit: Unit, header: Header, *, iteration: int, stopped: set[int]) -> Faults:
    """Yield the class and message of each rule that `unit` breaks.

    Args:
        unit: A segment for each tile.
        header: The header of the file.
        iteration: Index of the unit.
        stopped: Tiles that earlier units stopped; those that this one stops are added.
    """
    grid = header.grid
    if len(unit) != len(grid):
        yield CorruptError, f"iteration {iteration}: {len(unit)} segments, the grid has {len(grid)} tiles"
        return
    for index, (tile, segment) in enumerate(zip(grid, unit, strict=True)):
        shape = header.code_shape(tile)
        for kind, message in segment_faults(segment, shape, may_stop=iteration > 0, may_run=index not in stopped):
            yield kind, f"tile {index}, iteration {iteration}: {message}"
        if segment.coding is Coding.STOPPED:
            stopped.add(index)


def pack_dpi(dpi: tuple[float, float]) -> bytes:
    """Return the value of `metadata["dpi"]`.

    Args:
        dpi: Pixels per inch, horizontal and vertical; kept exactly when they are fractions with small denominators.

    Raises:
        RncOptionError: A value is not a finite number from 1/65536 to 65535.
    """
    words: list[int] = []
    for value in dpi:
        number = float(value)
        if not (math.isfinite(number) and 1 / 65536 <= number <= 65535):
            raise RncOptionError(f"dpi {value}, allowed are 1/65536 to 65535")
        ratio = Fraction(number).limit_denominator(65536)
        words += ratio.numerator, ratio.denominator
    return b"".join(word.to_bytes(4, "little") for word in words)


def unpack_dpi(value: bytes) -> tuple[float, float]:
    """Return the pixels per inch, horizontal and vertical, of `metadata["dpi"]`."""
    x, x_divisor, y, y_divisor = _words(value)
    return x / x_divisor, y / y_divisor


def _words(value: bytes) -> list[int]:
    return [int.from_bytes(value[start : start + 4], "little") for start in range(0, len(value), 4)]
