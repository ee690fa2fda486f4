"""Chunks of an .rnc file as bytes: exact reading, checksums, and headers and units unpacked with `struct`.

`schema` defines the layout. The `struct` formats here repeat it because opening, verifying and truncating a file must
not load construct; a test holds them equal. Which chunks make up a file is decided in `reader` and `writer`.
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
from pillow_rnc.container.validation import header_violations, raise_file_error, unit_violations
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
"""Longest single read: a length field alone never causes a larger allocation."""


class ByteSource(Protocol):
    """The methods required of a binary file object."""

    def read(self, size: int, /) -> bytes | None:
        """Return up to `size` bytes; none at the end."""

    def seek(self, offset: int, whence: int = 0, /) -> object:
        """Move to `offset`."""

    def tell(self) -> int:
        """Return the position."""


class Reader:
    """Reads exact lengths from a file object whose reads may be short.

    Attributes:
        position: Position in the file object.
        complete: Number of complete iterations read so far.
        declared: Number of iterations that the header declares, None before the header is read.
    """

    def __init__(self, fp: ByteSource) -> None:
        self._fp = fp
        self.position = fp.tell()
        self.complete = 0
        self.declared: int | None = None

    def read_at_most(self, count: int) -> bytes:
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

    def read_exact(self, count: int) -> bytes:
        """Return `count` bytes, or raise `TruncatedError`."""
        data = self.read_at_most(count)
        if len(data) == count:
            return data
        found = "no header" if self.declared is None else f"{self.complete} of {self.declared} iterations"
        raise TruncatedError(f"image file is truncated ({found})", decodable_iterations=self.complete)


def read_header(reader: Reader) -> Header:
    """Return the header, which is the first chunk, and record its iteration count in `reader`.

    Raises:
        UnsupportedError: The version or a reserved value is not supported.
        CorruptError: The chunk is not a header, or violates a rule.
        TruncatedError: The data end early.
    """
    prefix = reader.read_exact(CHUNK_PREFIX.size)
    chunk_type, length = CHUNK_PREFIX.unpack(prefix)
    if chunk_type != HEAD_TYPE or not 1 <= length <= MAX_METADATA_BYTES:
        raise CorruptError(f"first chunk {chunk_type!r} of {length} bytes, expected {HEAD_TYPE!r}")
    major = reader.read_exact(1)
    if major[0] == FORMAT_MAJOR and length != HEAD_FIELDS.size:
        raise CorruptError(f"header of {length} bytes, expected {HEAD_FIELDS.size}")
    value = read_value(reader, prefix, length, major)
    if major[0] != FORMAT_MAJOR:
        raise UnsupportedError(f"format version {major[0]}, supported is {FORMAT_MAJOR}")
    header = unpack_head(value)
    raise_file_error(header_violations(header))
    reader.declared = header.iterations
    return header


def read_value(reader: Reader, prefix: bytes, length: int, start: bytes = b"") -> bytes:
    """Return the data of a chunk, of which `start` has been read already, and check its CRC."""
    value = start + reader.read_exact(length - len(start))
    _check_crc(_read_crc(reader), zlib.crc32(value, zlib.crc32(prefix)), f"chunk {prefix[:4]!r}")
    return value


def _read_crc(reader: Reader) -> int:
    (crc,) = CHUNK_CRC.unpack(reader.read_exact(CHUNK_CRC.size))
    return int(crc)


def _check_crc(crc: int, expected: int, place: str) -> None:
    if crc != expected:
        raise CorruptError(f"{place}: CRC {crc:#010x}, expected {expected:#010x}")


@dataclass(frozen=True, slots=True)
class UnitState:
    """The state that reading or writing one unit passes on to the next.

    Attributes:
        codes_crc: Running CRC up to the last segment.
        stopped: Indices of the tiles stopped so far.
    """

    codes_crc: RunningCrc
    stopped: set[int] = field(default_factory=set)


def initial_unit_state(header: Header, alpha: bytes | None) -> UnitState:
    """Return the state before the first unit: the CRC of the header and alpha data, and no stopped tile."""
    head = pack_head(replace(header, version=(header.version[0], 0), iterations=0))
    return UnitState(RunningCrc(zlib.crc32(alpha or b"", zlib.crc32(head))))


def read_unit(reader: Reader, header: Header, iteration: int, state: UnitState) -> Unit:
    """Return the unit of index `iteration` after checking all its checksums.

    The table is checked against the length of the unit before the payloads are read.

    Args:
        reader: Positioned at the unit.
        header: The header of the file.
        iteration: Index of the unit.
        state: The state after the units before; updated.

    Raises:
        CorruptError: A checksum or length differs, or a rule is violated.
        UnsupportedError: A segment has an unknown coding.
        TruncatedError: The data end early.
    """
    prefix = reader.read_exact(CHUNK_PREFIX.size)
    chunk_type, length = CHUNK_PREFIX.unpack(prefix)
    if chunk_type != UNIT_TYPE:
        raise CorruptError(f"iteration {iteration}: chunk {chunk_type!r}, expected {UNIT_TYPE!r}")
    table_bytes = len(header.grid) * SEGMENT_ENTRY.size
    if length < table_bytes:
        raise CorruptError(f"iteration {iteration}: unit of {length} bytes, its segment table needs {table_bytes}")
    table = reader.read_exact(table_bytes)
    expected = table_bytes + sum(entry[1] for entry in SEGMENT_ENTRY.iter_unpack(table))
    if length != expected:
        raise CorruptError(f"iteration {iteration}: unit of {length} bytes, its segment table gives {expected}")
    payloads = reader.read_exact(length - table_bytes)
    stored_crc = _read_crc(reader)  # a unit that ends early is truncated, whatever its payloads are
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
    _check_crc(stored_crc, crc, f"iteration {iteration}")
    unit = tuple(
        _segment(entry, part, header.code_shape(tile), state, f"tile {index}, iteration {iteration}")
        for index, (tile, part, entry) in enumerate(
            zip(header.grid, parts, SEGMENT_ENTRY.iter_unpack(table), strict=True)
        )
    )
    raise_file_error(unit_violations(unit, header, iteration=iteration, stopped=state.stopped))
    return unit


def stored_codes_crcs(unit: Unit, header: Header, state: UnitState) -> list[int]:
    """Return `Codes_Crc` of each segment of a unit; `state` is updated."""
    return [
        state.codes_crc.stored(segment.codes_crc, _codes_bytes(segment.coding, header.code_shape(tile)))
        for tile, segment in zip(header.grid, unit, strict=True)
    ]


def _segment(
    entry: tuple[int, int, int, int], payload: bytes, shape: CodeShape, state: UnitState, place: str
) -> Segment:
    """Return a segment from its table entry."""
    try:
        coding = Coding(entry[0])
    except ValueError as error:
        raise UnsupportedError(f"{place}: coding {entry[0]}, must be 0 to {max(Coding)}") from error
    return Segment(coding, payload, state.codes_crc.own(entry[3], _codes_bytes(coding, shape)))


def _codes_bytes(coding: Coding, shape: CodeShape) -> int:
    """Return the length of the packed code plane of a segment."""
    return 0 if coding is Coding.STOPPED else shape.raw_bytes


def unpack_head(value: bytes) -> Header:
    """Return the header encoded in the 22 data bytes of a `HEAD` chunk.

    Raises:
        UnsupportedError: The flags or the mode are unknown.
    """
    major, minor, width, height, mode, iterations, channels, stride, tile_size, overlap, flags, model_id = (
        HEAD_FIELDS.unpack(value)
    )
    if flags:
        raise UnsupportedError(f"header flags {flags:#04x}, must be 0")
    if mode >= len(MODES):
        raise UnsupportedError(f"mode {mode}, must be 0 to {len(MODES) - 1}")
    return Header(
        width, height, MODES[mode], iterations, channels, stride, tile_size, overlap, model_id, (major, minor)
    )


def pack_head(header: Header) -> bytes:
    """Return the data of the `HEAD` chunk, equal to `schema.build_head`."""
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
        CorruptError: The type does not consist of letters.
        UnsupportedError: The chunk is critical.
    """
    if not chunk_type.isalpha():
        raise CorruptError(f"chunk type {chunk_type!r}, must be four letters")
    if not chunk_type[0] & _LOWER_CASE:
        raise UnsupportedError(f"unknown critical chunk {chunk_type!r}")


def is_safe_to_copy(chunk_type: bytes) -> bool:
    """Return whether an unknown ancillary chunk remains correct when the file is truncated."""
    return bool(chunk_type[3] & _LOWER_CASE)


def chunk_bytes(length: int) -> int:
    """Return the size in bytes of a chunk with `length` bytes of data."""
    return CHUNK_PREFIX.size + length + CHUNK_CRC.size


def pack_chunk(chunk_type: bytes, value: bytes) -> bytes:
    """Return a complete chunk, equal to `schema.build_chunk`."""
    start = CHUNK_PREFIX.pack(chunk_type, len(value)) + value
    return start + CHUNK_CRC.pack(zlib.crc32(start))
