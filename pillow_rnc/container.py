"""Bytes of an .rnc file to records and back.

Reading unpacks with `struct`, so that opening, checking and cutting a file load no other library.
Writing goes through the declarations of `schema`, which loads construct on first use; a test holds the two equal.
This module knows nothing of codes, pixels or models.  Source: spec, sections "File" to "Truncation".
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from pillow_rnc.errors import (
    CorruptError,
    RncOptionError,
    SignatureError,
    TruncatedError,
    UnsupportedError,
)
from pillow_rnc.records import (
    ALPHA_TYPE,
    FORMAT_MAJOR,
    HEAD_TYPE,
    MAX_METADATA_BYTES,
    MAX_METADATA_TOTAL_BYTES,
    METADATA_TYPES,
    MODES,
    SIGNATURE,
    STOPPED_SEGMENT,
    UNIT_TYPE,
    CodeShape,
    Coding,
    FileHead,
    Header,
    RncFile,
    Segment,
    Unit,
    alpha_faults,
    header_faults,
    max_alpha_bytes,
    metadata_faults,
    pack_dpi,
    unit_faults,
    unpack_dpi,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pillow_rnc.records import Faults

__all__ = [
    "SIGNATURE",
    "STOPPED_SEGMENT",
    "ByteSource",
    "CodeShape",
    "Coding",
    "FileHead",
    "Header",
    "RncFile",
    "Segment",
    "Unit",
    "build",
    "iter_units",
    "pack_dpi",
    "parse",
    "read_head",
    "read_units",
    "truncate",
    "unit_sizes",
    "unpack_dpi",
    "verify",
]

HEAD_FIELDS = struct.Struct("<BBHHBBBBHBB8s")
CHUNK_PREFIX = struct.Struct("<4sI")
CHUNK_CRC = struct.Struct("<I")
SEGMENT_ENTRY = struct.Struct("<BIII")

_READ_BYTES = 1 << 20
"""Longest single read: a length field alone never makes us ask for more memory than this."""
_ANCILLARY_BIT = 0x20
_KEYS = {chunk_type: key for key, chunk_type in METADATA_TYPES.items()}
_ORDER = (HEAD_TYPE, *METADATA_TYPES.values(), ALPHA_TYPE)


class ByteSource(Protocol):
    """What is asked of a binary file object."""

    def read(self, size: int, /) -> bytes | None:
        """Return up to `size` bytes, none at the end."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Move to `offset` and return the new position."""

    def tell(self) -> int:
        """Return the position."""


def parse(data: bytes, *, iterations: int | None = None, allow_truncated: bool = False) -> RncFile:
    """Return the records of a file.

    Args:
        data: The whole file, or a part that holds the iterations asked for.
        iterations: How many units to read; all by default.
        allow_truncated: Accept a file that ends early, if at least one unit is whole, and bytes after its end.

    Raises:
        RncFileError: As `read_head` and `read_units` do.
        RncOptionError: `iterations` is less than 1 or more than the file holds.
    """
    fp = io.BytesIO(data)
    head = read_head(fp)
    units = read_units(fp, head, iterations, allow_truncated=allow_truncated)
    return RncFile(head.header, head.metadata, head.alpha, units)


def build(file: RncFile) -> bytes:
    """Return the bytes of a file; equal records give equal bytes.

    Raises:
        RncOptionError: A record breaks a rule of the format.
    """
    from pillow_rnc import schema

    header = file.header
    _refuse(header_faults(header))
    _refuse(metadata_faults(file.metadata))
    _refuse(alpha_faults(file.alpha, header))
    if len(file.units) != header.iterations:
        raise RncOptionError(f"{len(file.units)} units, the header promises {header.iterations}")
    stopped: set[int] = set()
    for iteration, unit in enumerate(file.units):
        _refuse(unit_faults(unit, header, iteration=iteration, stopped=stopped))
    parts = [SIGNATURE, schema.build_chunk(HEAD_TYPE, schema.build_head(header))]
    for key, chunk_type in METADATA_TYPES.items():
        if key in file.metadata:
            parts.append(schema.build_chunk(chunk_type, file.metadata[key]))
    if file.alpha is not None:
        parts.append(schema.build_chunk(ALPHA_TYPE, file.alpha))
    parts += (schema.build_chunk(UNIT_TYPE, schema.build_unit(unit)) for unit in file.units)
    return b"".join(parts)


def read_head(fp: ByteSource) -> FileHead:
    """Return everything before the first unit, read from the position of `fp`.

    Reads eight bytes of the first unit to know it, and no more.

    Raises:
        SignatureError: The bytes do not start an .rnc file.
        UnsupportedError: The version, a critical chunk or a reserved value is unknown.
        CorruptError: A chunk breaks a rule of the format.
        TruncatedError: The bytes end before the first unit; no iteration can be decoded.
    """
    reader = _Reader(fp)
    if reader.up_to(len(SIGNATURE)) != SIGNATURE:
        raise SignatureError("not an .rnc file: the signature differs")
    header = _read_header(reader)
    metadata: dict[str, bytes] = {}
    alpha = None
    last_place = 0
    total_bytes = 0
    while True:
        units_offset = reader.position
        prefix = reader.take(CHUNK_PREFIX.size)
        chunk_type, length = CHUNK_PREFIX.unpack(prefix)
        if chunk_type == UNIT_TYPE:
            break
        if not chunk_type.isalpha():
            raise CorruptError(f"chunk type {chunk_type!r}, four letters are needed")
        total_bytes += 0 if chunk_type == ALPHA_TYPE else length
        limit = max_alpha_bytes(header) if chunk_type == ALPHA_TYPE else MAX_METADATA_BYTES
        if length > limit or total_bytes > MAX_METADATA_TOTAL_BYTES:
            raise CorruptError(
                f"chunk {chunk_type!r} of {length} bytes, allowed are {limit} and {MAX_METADATA_TOTAL_BYTES} in all"
            )
        value = _read_value(reader, prefix, length)
        if chunk_type in _ORDER:
            if _ORDER.index(chunk_type) <= last_place:
                raise CorruptError(f"chunk {chunk_type!r} is repeated or out of order")
            last_place = _ORDER.index(chunk_type)
        elif not chunk_type[0] & _ANCILLARY_BIT:
            raise UnsupportedError(f"critical chunk {chunk_type!r} is unknown")
        if chunk_type == ALPHA_TYPE:
            alpha = value
        elif chunk_type in _KEYS:
            metadata[_KEYS[chunk_type]] = value
    _reject(metadata_faults(metadata))
    _reject(alpha_faults(alpha, header))
    return FileHead(header, metadata, alpha, units_offset)


def read_units(
    fp: ByteSource, head: FileHead, iterations: int | None = None, *, allow_truncated: bool = False
) -> tuple[Unit, ...]:
    """Return the first `iterations` units, all by default; see `iter_units`."""
    return tuple(iter_units(fp, head, iterations, allow_truncated=allow_truncated))


def iter_units(
    fp: ByteSource, head: FileHead, iterations: int | None = None, *, allow_truncated: bool = False
) -> Iterator[Unit]:
    """Return an iterator over the units, which reads each when it is asked for.

    Reads only the bytes of these units; after the last one of the file also tries one byte, which must not exist.

    Args:
        fp: The file object that `head` was read from; it is moved.
        head: What `read_head` returned.
        iterations: How many units to read; all by default.
        allow_truncated: End quietly where the file ends, if at least one unit is whole; ignore bytes after the end.

    Raises:
        CorruptError: A unit breaks a rule of the format.
        UnsupportedError: A segment has an unknown coding.
        TruncatedError: The bytes end within these units.
        RncOptionError: `iterations` is less than 1 or more than the file holds.
    """
    stored = head.header.iterations
    if iterations is not None and not 1 <= iterations <= stored:
        raise RncOptionError(f"{iterations} iterations, the file has {stored}")
    return _generate_units(fp, head, stored if iterations is None else iterations, allow_truncated)


def unit_sizes(fp: ByteSource, head: FileHead) -> tuple[int, ...]:
    """Return the length in bytes of each whole unit, framing included, without reading their contents.

    A file cut after k units has `head.units_offset` plus the first k lengths.
    A truncated file gives fewer lengths than its header promises iterations; checksums are not looked at.

    Raises:
        CorruptError: Something else stands where a unit is due.
    """
    sizes: list[int] = []
    end = fp.seek(0, io.SEEK_END)
    position = head.units_offset
    while len(sizes) < head.header.iterations and position + CHUNK_PREFIX.size <= end:
        fp.seek(position)
        chunk_type, length = CHUNK_PREFIX.unpack(_Reader(fp).take(CHUNK_PREFIX.size))
        if chunk_type != UNIT_TYPE:
            raise CorruptError(f"iteration {len(sizes)}: chunk {chunk_type!r}, expected {UNIT_TYPE!r}")
        size = CHUNK_PREFIX.size + length + CHUNK_CRC.size
        position += size
        if position > end:
            break
        sizes.append(size)
    return tuple(sizes)


def truncate(data: bytes, iterations: int) -> bytes:
    """Return the file cut after `iterations` units; nothing is decoded, what is copied is checked.

    Ancillary chunks that are unknown are copied when their fourth letter is lower case.

    Raises:
        RncFileError: The part that is kept breaks a rule of the format, or is not there.
        RncOptionError: `iterations` is less than 1 or more than the file holds.
    """
    fp = io.BytesIO(data)
    head = read_head(fp)
    read_units(fp, head, iterations)
    end = head.units_offset + sum(unit_sizes(fp, head)[:iterations])
    if iterations == head.header.iterations:
        return data[:end]
    parts = [SIGNATURE, _chunk(HEAD_TYPE, _packed(replace(head.header, iterations=iterations)))]
    position = len(SIGNATURE)
    while position < head.units_offset:
        chunk_type, length = CHUNK_PREFIX.unpack_from(data, position)
        size = CHUNK_PREFIX.size + length + CHUNK_CRC.size
        safe_to_copy = chunk_type in _ORDER or chunk_type[3] & _ANCILLARY_BIT
        if safe_to_copy and chunk_type != HEAD_TYPE:
            parts.append(data[position : position + size])
        position += size
    parts.append(data[head.units_offset : end])
    return b"".join(parts)


def verify(source: bytes | ByteSource) -> Header:
    """Check every checksum and length of a file, holding one unit at a time, and return its header.

    The codes are not decoded, so their checksums are compared for raw segments only.

    Raises:
        RncFileError: As `read_head` and `iter_units` do.
    """
    fp = io.BytesIO(source) if isinstance(source, (bytes, bytearray, memoryview)) else source
    head = read_head(fp)
    for _ in iter_units(fp, head):
        pass
    return head.header


class _Reader:
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


def _read_header(reader: _Reader) -> Header:
    prefix = reader.take(CHUNK_PREFIX.size)
    chunk_type, length = CHUNK_PREFIX.unpack(prefix)
    if chunk_type != HEAD_TYPE or not 1 <= length <= MAX_METADATA_BYTES:
        raise CorruptError(f"first chunk {chunk_type!r} of {length} bytes, expected {HEAD_TYPE!r}")
    major = reader.take(1)
    if major[0] == FORMAT_MAJOR and length != HEAD_FIELDS.size:
        raise CorruptError(f"header of {length} bytes, expected {HEAD_FIELDS.size}")
    value = _read_value(reader, prefix, length, major)
    if major[0] != FORMAT_MAJOR:
        raise UnsupportedError(f"format version {major[0]}, known is {FORMAT_MAJOR}")
    header = _unpacked(value)
    _reject(header_faults(header))
    reader.promised = header.iterations
    return header


def _read_value(reader: _Reader, prefix: bytes, length: int, start: bytes = b"") -> bytes:
    """Return the data of a chunk, of which `start` is read already, and check its CRC."""
    value = start + reader.take(length - len(start))
    _check_crc(reader, zlib.crc32(value, zlib.crc32(prefix)), f"chunk {prefix[:4]!r}")
    return value


def _check_crc(reader: _Reader, expected: int, place: str) -> None:
    (crc,) = CHUNK_CRC.unpack(reader.take(CHUNK_CRC.size))
    if crc != expected:
        raise CorruptError(f"{place}: CRC {crc:#010x}, expected {expected:#010x}")


def _generate_units(fp: ByteSource, head: FileHead, iterations: int, allow_truncated: bool) -> Iterator[Unit]:
    fp.seek(head.units_offset)
    reader = _Reader(fp)
    reader.promised = head.header.iterations
    stopped: set[int] = set()
    for iteration in range(iterations):
        try:
            unit = _read_unit(reader, head.header, iteration, stopped)
        except TruncatedError:
            if allow_truncated and iteration:
                return
            raise
        reader.whole += 1
        if reader.whole == reader.promised and not allow_truncated and reader.up_to(1):
            raise CorruptError("spare bytes after the last iteration")
        yield unit


def _read_unit(reader: _Reader, header: Header, iteration: int, stopped: set[int]) -> Unit:
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
        Segment(_coding(coding, tile, iteration), part, codes_crc)
        for tile, (part, (coding, _, _, codes_crc)) in enumerate(
            zip(parts, SEGMENT_ENTRY.iter_unpack(table), strict=True)
        )
    )
    _reject(unit_faults(unit, header, iteration=iteration, stopped=stopped))
    return unit


def _unpacked(value: bytes) -> Header:
    """Return the header of a `HEAD` chunk's 22 bytes."""
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


def _packed(header: Header) -> bytes:
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


def _chunk(chunk_type: bytes, value: bytes) -> bytes:
    start = CHUNK_PREFIX.pack(chunk_type, len(value)) + value
    return start + CHUNK_CRC.pack(zlib.crc32(start))


def _coding(number: int, tile: int, iteration: int) -> Coding:
    try:
        return Coding(number)
    except ValueError as error:
        raise UnsupportedError(
            f"tile {tile}, iteration {iteration}: coding {number}, allowed are 0 to {max(Coding)}"
        ) from error


def _reject(faults: Faults) -> None:
    """Raise the first of `faults` as the reader of a file."""
    for kind, message in faults:
        raise kind(message)


def _refuse(faults: Faults) -> None:
    """Raise the first of `faults` as the writer of a file."""
    for _, message in faults:
        raise RncOptionError(message)
