"""The records that a file consists of, and the constants of the format.

Frozen values only: this module neither reads nor writes files and depends on neither construct nor numpy.
The rules that the values must satisfy are in `validation`.
Source: spec, sections "Header", "Metadata" and "Units".
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field
from enum import IntEnum
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

from pillow_rnc.container.tile_grid import TILE_ALIGNMENT, TileGrid
from pillow_rnc.errors import RncOptionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pillow_rnc.container.tile_grid import Tile

HEAD_TYPE = b"HEAD"
ALPHA_TYPE = b"ALPH"
UNIT_TYPE = b"ITER"
MODES = ("L", "LA", "RGB", "RGBA")
"""Pillow modes in the order of their numbers in the header."""
CODE_STRIDES = (8, 16)
FORMAT_MAJOR = 1
MAX_SIDE = 65_535
MAX_CODE_CHANNELS = 255
MAX_OVERLAP = 240
DEFAULT_TILE_SIZE = 768
"""Tile size in pixels that the encoder uses by default; not part of the format."""
DEFAULT_OVERLAP = 32
"""Overlap in pixels that the encoder uses by default; not part of the format."""
MAX_ITERATIONS = 32
TILE_SIZES = range(64, 4096 + 1, TILE_ALIGNMENT)
MAX_METADATA_BYTES = 1 << 20
MAX_METADATA_TOTAL_BYTES = 4 << 20
MAX_OPTIONAL_CHUNKS = 64
MODEL_ID_BYTES = 8
DENSITY_BYTES = 16
MAX_DENSITY = 65_535
MAX_DENSITY_DENOMINATOR = 65_536
ENTROPY_WORD_BYTES = 4

METADATA_TYPES = {"icc_profile": b"iccp", "exif": b"exif", "xmp": b"xmpp", "comment": b"comm", "dpi": b"dens"}
"""Key of `RncFile.metadata` to chunk type, in the order of the chunks in a file."""


class Coding(IntEnum):
    """How the payload of a segment represents the codes."""

    ENTROPY = 0
    RAW = 1
    STOPPED = 2


@dataclass(frozen=True, slots=True)
class Header:
    """Contents of the `HEAD` chunk.

    Attributes:
        width: Image width in pixels, 1 to 65535.
        height: Image height in pixels, 1 to 65535.
        mode: One of `MODES`.
        iterations: Iterations stored, 1 to 32.
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
        """Number of code bits."""
        return self.channels * self.height * self.width

    @property
    def raw_bytes(self) -> int:
        """Length in bytes of the packed code plane, eight codes to a byte."""
        return -(-self.bits // 8)


@dataclass(frozen=True, slots=True)
class Segment:
    """The codes of one tile and iteration, as stored.

    Attributes:
        coding: How `payload` represents the codes.
        payload: The coded bytes; empty if stopped.
        codes_crc: CRC-32 of the packed code plane of this segment alone; 0 if stopped. (A file stores a running CRC
            instead, see `checksum`.)
    """

    coding: Coding
    payload: bytes
    codes_crc: int

    @property
    def payload_crc(self) -> int:
        """CRC-32 of the payload; 0 if stopped."""
        return zlib.crc32(self.payload)


STOPPED_SEGMENT = Segment(Coding.STOPPED, b"", 0)

Unit = tuple[Segment, ...]
"""One iteration: a segment for each tile, in grid order."""


@dataclass(frozen=True, slots=True)
class RncFile:
    """A complete file.

    Attributes:
        header: The header as stored, even if `units` holds fewer iterations than it declares.
        metadata: Values by the keys of `METADATA_TYPES`; "dpi" as packed by `pack_dpi`.
        alpha: Data of the `ALPH` chunk, or None if every pixel is opaque.
        units: Segments by iteration, then tile.
    """

    header: Header
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    alpha: bytes | None = None
    units: tuple[Unit, ...] = ()


@dataclass(frozen=True, slots=True)
class FileHead:
    """Everything that precedes the first unit of a file.

    Attributes:
        header: The header.
        metadata: As in `RncFile`.
        alpha: As in `RncFile`.
        units_offset: Position of the first unit in the file object, as passed to `seek`.
    """

    header: Header
    metadata: Mapping[str, bytes]
    alpha: bytes | None
    units_offset: int


def pack_dpi(dpi: tuple[float, float]) -> bytes:
    """Return the value of `metadata["dpi"]`.

    Args:
        dpi: Pixels per inch, horizontal and vertical; fractions with denominators up to 65536 are stored exactly.

    Raises:
        RncOptionError: A value is not a finite number from 1/65536 to 65535.
    """
    words: list[int] = []
    for value in dpi:
        number = float(value)
        if not (math.isfinite(number) and 1 / MAX_DENSITY_DENOMINATOR <= number <= MAX_DENSITY):
            raise RncOptionError(f"dpi {value}, must be 1/65536 to 65535")
        ratio = Fraction(number).limit_denominator(MAX_DENSITY_DENOMINATOR)
        words += ratio.numerator, ratio.denominator
    return b"".join(word.to_bytes(4, "little") for word in words)


def unpack_dpi(value: bytes) -> tuple[float, float]:
    """Return the pixels per inch, horizontal and vertical, of `metadata["dpi"]`."""
    x, x_divisor, y, y_divisor = density_words(value)
    return x / x_divisor, y / y_divisor


def density_words(value: bytes) -> list[int]:
    """Return the four integers of `metadata["dpi"]`: horizontal numerator and denominator, then vertical."""
    return [int.from_bytes(value[start : start + 4], "little") for start in range(0, len(value), 4)]
