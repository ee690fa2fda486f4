"""Chunks of an .rnc file as bytes: exact reading, checksums, and the header and units unpacked with `struct`.

This module knows the layout of a chunk, not which chunks make a file; that is `container`.
Source: spec, sections "Chunks", "Header" and "Units".
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from pillow_rnc.container.checksum import RunningCrc
from pillow_rnc.container.records import (
    FORMAT_MAJOR,
    HEAD_TYPE,
    MAX_METADATA_BYTES,
    MODES,
    UNIT_TYPE,
    Coding,
    Header,
    Segment,
)
from pillow_rnc.container.validation import header_faults, reject, unit_faults
from pillow_rnc.errors import CorruptError, TruncatedError, UnsupportedError

if TYPE_CHECKING:
    from pillow_rnc.container.records import CodeShape, Unit

HEAD_FIELDS = struct.Struct("<BBHHBBBBHBB8s")
CHUNK_PREFIX = struct.Struct("<4sI")
CHUNK_CRC = struct.Struct("<I")
SEGMENT_ENTRY = struct.Struct("<BIII")

_LOWER_CASE = 0x20
"""Bit 5 of a letter."""
_READ_BYTES = 1 << 20
"""Longest single read: a length field alone never makes us ask for more memory than this."""


class ByteSource(Protocol):
    """What is asked of a binary file object."""

    def read(self, size: int, /) -> bytes | None:
        """Return up to `size` bytes, none at the end."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to `offset` and return the new position."""

    def tell(self) -> int:
        """Return the position."""


class Reader:
    """Reads exact lengths from a file object that may give less than asked."""

    def __init__(self, fp: ByteSource) -> None:
        self._fp = fp
        self.position = fp.tell()
        self.whole = 0
        self.promised: int | None = None

    def up_to(self, count: int) -> bytes:
        """Return `count` bytes, or fewer at the end."""
        blocks: list[bytes] = []
        while count > 0:
            block = self._fp.read(min(count, _READ_BYTES))
            if not block:
                break
            blocks.append(block)
            count -= len(block)
            self.position += len(block)
        return b"".join(blocks)

    def take(self, count: int) -> bytes:
        """Return `count` bytes, or raise `TruncatedError`."""
        data = self.up_to(count)
        if len(data) == count:
            return data
        found = "no header" if self.promised is None else f"{self.whole} of {self.promised} iterations"
        raise TruncatedError(f"image file is truncated ({found})", decodable_iterations=self.whole)


def read_header(reader: Reader) -> Header:
    """Return the header, the first chunk, and let `reader` know how many iterations it promises.

    Raises:
        UnsupportedError: The version or a reserved value is unknown.
        CorruptError: The chunk is another one, or breaks a rule.
        TruncatedError: The bytes end.
    """
    prefix = reader.take(CHUNK_PREFIX.size)
    chunk_type, length = CHUNK_PREFIX.unpack(prefix)
    if chunk_type != HEAD_TYPE or not 1 <= length <= MAX_METADATA_BYTES:
        raise CorruptError(f"first chunk {chunk_type!r} of {length} bytes, expected {HEAD_TYPE!r}")
    major = reader.take(1)
    if major[0] == FORMAT_MAJOR and length != HEAD_FIELDS.size:
        raise CorruptError(f"header of {length} bytes, expected {HEAD_FIELDS.size}")
    value = read_value(reader, prefix, length, major)
    if major[0] != FORMAT_MAJOR:
        raise UnsupportedError(f"format version {major[0]}, known is {FORMAT_MAJOR}")
    header = unpack_head(value)
    reject(header_faults(header))
    reader.promised = header.iterations
    return header


def read_value(reader: Reader, prefix: bytes, length: int, start: bytes = b"") -> bytes:
    """Return the data of a chunk, of which `start` is read already, and check its CRC."""
    value = start + reader.take(length - len(start))
    _check_crc(reader, zlib.crc32(value, zlib.crc32(prefix)), f"chunk {prefix[:4]!r}")
    return value


def _check_crc(reader: Reader, expected: int, place: str) -> None:
    (crc,) = CHUNK_CRC.unpack(reader.take(CHUNK_CRC.size))
    if crc != expected:
        raise CorruptError(f"{place}: CRC {crc:#010x}, expected {expected:#010x}")


@dataclass(frozen=True, slots=True)
class Progress:
    """What the units of a file leave for the next one.

    Attributes:
        codes_crc: Stands after their last segment.
        stopped: Tiles that they stopped.
    """

    codes_crc: RunningCrc
    stopped: set[int] = field(default_factory=set)


def start_of_units(header: Header, alpha: bytes | None) -> Progress:
    """Return what there is before the first unit: the parts of the picture that are no codes, and no stopped tile."""
    head = pack_head(replace(header, version=(header.version[0], 0), iterations=0))
    return Progress(RunningCrc(zlib.crc32(alpha or b"", zlib.crc32(head))))


def read_unit(reader: Reader, header: Header, iteration: int, progress: Progress) -> Unit:
    """Return the unit of index `iteration`, every checksum compared.

    The table is compared with the length of the unit before the payloads are asked for.

    Args:
        reader: Stands at the unit.
        header: The header of the file.
        iteration: Index of the unit.
        progress: What earlier units left; it moves on.

    Raises:
        CorruptError: A checksum, a length or a rule is broken.
        UnsupportedError: A segment has an unknown coding.
        TruncatedError: The bytes end.
    """
    prefix = reader.take(CHUNK_PREFIX.size)
    chunk_type, length = CHUNK_PREFIX.unpack(prefix)
    if chunk_type != UNIT_TYPE:
        raise CorruptError(f"iteration {iteration}: chunk {chunk_type!r}, expected {UNIT_TYPE!r}")
    table_bytes = len(header.grid) * SEGMENT_ENTRY.size
    if length < table_bytes:
        raise CorruptError(f"iteration {iteration}: unit of {length} bytes, the segment table has {table_bytes}")
    table = reader.take(table_bytes)
    promised = table_bytes + sum(entry[1] for entry in SEGMENT_ENTRY.iter_unpack(table))
    if length != promised:
        raise CorruptError(f"iteration {iteration}: unit of {length} bytes, its segments make {promised}")
    payloads = reader.take(length - table_bytes)
    crc = zlib.crc32(payloads, zlib.crc32(table, zlib.crc32(prefix)))
    parts: list[bytes] = []
    start = 0
    for tile, (_, size, payload_crc, _) in enumerate(SEGMENT_ENTRY.iter_unpack(table)):
        parts.append(payloads[start : start + size])
        start += size
        found = zlib.crc32(parts[-1])
        if found != payload_crc:
            raise CorruptError(
                f"tile {tile}, iteration {iteration}: payload CRC {found:#010x}, expected {payload_crc:#010x}"
            )
    _check_crc(reader, crc, f"iteration {iteration}")
    unit = tuple(
        _segment(entry, part, header.code_shape(tile), progress, f"tile {index}, iteration {iteration}")
        for index, (tile, part, entry) in enumerate(
            zip(header.grid, parts, SEGMENT_ENTRY.iter_unpack(table), strict=True)
        )
    )
    reject(unit_faults(unit, header, iteration=iteration, stopped=progress.stopped))
    return unit


def stored_codes_crcs(unit: Unit, header: Header, progress: Progress) -> list[int]:
    """Return what the table of a unit says of the codes of its segments; `progress` moves on."""
    return [
        progress.codes_crc.stored(segment.codes_crc, _codes_bytes(segment.coding, header.code_shape(tile)))
        for tile, segment in zip(header.grid, unit, strict=True)
    ]


def _segment(
    entry: tuple[int, int, int, int], payload: bytes, shape: CodeShape, progress: Progress, place: str
) -> Segment:
    """Return a segment from its entry of the table."""
    try:
        coding = Coding(entry[0])
    except ValueError as error:
        raise UnsupportedError(f"{place}: coding {entry[0]}, allowed are 0 to {max(Coding)}") from error
    return Segment(coding, payload, progress.codes_crc.own(entry[3], _codes_bytes(coding, shape)))


def _codes_bytes(coding: Coding, shape: CodeShape) -> int:
    """Return how many bytes the codes of a segment make when packed."""
    return 0 if coding is Coding.STOPPED else shape.raw_bytes


def unpack_head(value: bytes) -> Header:
    """Return the header of a `HEAD` chunk's 22 bytes.

    Raises:
        UnsupportedError: It has flags, or a mode, that are not known here.
    """
    major, minor, width, height, mode, iterations, channels, stride, tile_size, overlap, flags, model_id = (
        HEAD_FIELDS.unpack(value)
    )
    if flags:
        raise UnsupportedError(f"header flags {flags:#04x}, allowed is 0")
    if mode >= len(MODES):
        raise UnsupportedError(f"mode {mode}, allowed are 0 to {len(MODES) - 1}")
    return Header(
        width, height, MODES[mode], iterations, channels, stride, tile_size, overlap, model_id, (major, minor)
    )


def pack_head(header: Header) -> bytes:
    """Return the data of the `HEAD` chunk, as `schema.build_head` does."""
    return HEAD_FIELDS.pack(
        *header.version,
        header.width,
        header.height,
        MODES.index(header.mode),
        header.iterations,
        header.code_channels,
        header.code_stride,
        header.tile_size,
        header.overlap,
        0,
        header.model_id,
    )


def check_unknown(chunk_type: bytes) -> None:
    """Raise unless a chunk of this unknown type may be ignored.

    Raises:
        CorruptError: It is not made of letters.
        UnsupportedError: It is critical.
    """
    if not chunk_type.isalpha():
        raise CorruptError(f"chunk type {chunk_type!r}, four letters are needed")
    if not chunk_type[0] & _LOWER_CASE:
        raise UnsupportedError(f"critical chunk {chunk_type!r} is unknown")


def is_safe_to_copy(chunk_type: bytes) -> bool:
    """Whether an unknown ancillary chunk stays true when the file is cut."""
    return bool(chunk_type[3] & _LOWER_CASE)


def chunk_bytes(length: int) -> int:
    """Return the size of a chunk with `length` bytes of data."""
    return CHUNK_PREFIX.size + length + CHUNK_CRC.size


def pack_chunk(chunk_type: bytes, value: bytes) -> bytes:
    """Return a whole chunk, as `schema.build_chunk` does."""
    start = CHUNK_PREFIX.pack(chunk_type, len(value)) + value
    return start + CHUNK_CRC.pack(zlib.crc32(start))
