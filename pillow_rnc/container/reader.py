"""Bytes of an .rnc file -> records: parse, read in parts, verify.

Uses `struct` through `chunks`, so that opening and verifying a file load no other library.
This module knows neither codes nor pixels or models.  Source: spec, sections "File" to "Units".
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pillow_rnc.container.alpha_stream import unpack_alpha
from pillow_rnc.container.chunks import (
    CHUNK_PREFIX,
    ByteSource,
    Reader,
    check_unknown,
    chunk_bytes,
    initial_unit_state,
    read_header,
    read_unit,
    read_value,
)
from pillow_rnc.container.records import (
    ALPHA_TYPE,
    HEAD_TYPE,
    MAX_METADATA_BYTES,
    MAX_METADATA_TOTAL_BYTES,
    MAX_OPTIONAL_CHUNKS,
    METADATA_TYPES,
    UNIT_TYPE,
    FileHead,
    Header,
    RncFile,
    Unit,
)
from pillow_rnc.container.signature import SIGNATURE
from pillow_rnc.container.validation import (
    alpha_violations,
    max_alpha_bytes,
    metadata_violations,
    raise_file_error,
)
from pillow_rnc.errors import CorruptError, RncOptionError, SignatureError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pillow_rnc.container.validation import Violations

CHUNK_ORDER = (HEAD_TYPE, *METADATA_TYPES.values(), ALPHA_TYPE)
_METADATA_KEYS = {chunk_type: key for key, chunk_type in METADATA_TYPES.items()}


def parse(data: bytes, *, iterations: int | None = None, allow_truncated: bool = False) -> RncFile:
    """Return the records of a file.

    Args:
        data: The complete file, or a prefix that contains the requested iterations.
        iterations: Number of units to read; all by default.
        allow_truncated: Accept a file that ends early if at least one unit is complete, and ignore trailing bytes.

    Raises:
        RncFileError: As for `read_head` and `read_units`.
        RncOptionError: `iterations` is less than 1 or more than the file has.
    """
    fp = io.BytesIO(data)
    head = read_head(fp)
    units = read_units(fp, head, iterations, allow_truncated=allow_truncated)
    return RncFile(head.header, head.metadata, head.alpha, units)


def read_head(fp: ByteSource) -> FileHead:
    """Return everything before the first unit, read from the current position of `fp`.

    Of the first unit, only the eight bytes of its type and length are read.

    Raises:
        SignatureError: The data do not start with the signature of an .rnc file.
        UnsupportedError: The version, a critical chunk or a reserved value is not supported.
        CorruptError: A chunk violates a rule of the format.
        TruncatedError: The data end before the first unit, so no iteration can be decoded.
    """
    reader = Reader(fp)
    if reader.read_at_most(len(SIGNATURE)) != SIGNATURE:
        raise SignatureError("not an .rnc file: wrong signature")
    header = read_header(reader)
    values, units_offset = _read_optional_chunks(reader, header)
    metadata = {key: values[chunk_type] for key, chunk_type in METADATA_TYPES.items() if chunk_type in values}
    return FileHead(header, metadata, values.get(ALPHA_TYPE), units_offset)


def read_units(
    fp: ByteSource,
    head: FileHead,
    iterations: int | None = None,
    *,
    allow_truncated: bool = False,
    allow_trailing: bool = False,
) -> tuple[Unit, ...]:
    """Return the first `iterations` units, all by default; see `iter_units`."""
    units = iter_units(fp, head, iterations, allow_truncated=allow_truncated, allow_trailing=allow_trailing)
    return tuple(units)


def iter_units(
    fp: ByteSource,
    head: FileHead,
    iterations: int | None = None,
    *,
    allow_truncated: bool = False,
    allow_trailing: bool = False,
) -> Iterator[Unit]:
    """Return an iterator that reads one unit at a time.

    Only the bytes of these units are read; unless trailing bytes are allowed, one more is read after the last unit of
    the file, which must not exist.

    Args:
        fp: The file object that `head` was read from; its position changes.
        head: Result of `read_head`.
        iterations: Number of units to read; all by default.
        allow_truncated: Stop without an error where the file ends if at least one unit is complete, and ignore
            trailing bytes.
        allow_trailing: Ignore trailing bytes; `fp` is then at the first of them after the last unit.

    Raises:
        CorruptError: A unit violates a rule of the format.
        UnsupportedError: A segment has an unknown coding.
        TruncatedError: The data end within these units.
        RncOptionError: `iterations` is less than 1 or more than the file has.
    """
    stored = head.header.iterations
    if iterations is not None and not 1 <= iterations <= stored:
        raise RncOptionError(f"{iterations} iterations, the file has {stored}")
    return _generate_units(
        fp,
        head,
        stored if iterations is None else iterations,
        allow_truncated=allow_truncated,
        allow_trailing=allow_trailing or allow_truncated,
    )


def unit_sizes(fp: ByteSource, head: FileHead, iterations: int | None = None) -> tuple[int, ...]:
    """Return the length in bytes of each complete unit, framing included, without reading the contents.

    A file truncated after k units has `head.units_offset` plus the first k lengths in bytes.
    For a truncated file the result has fewer lengths than the header declares iterations. Checksums are not checked.

    Args:
        fp: The file object that `head` was read from; its position changes.
        head: Result of `read_head`.
        iterations: Number of units to look at; all by default.

    Raises:
        CorruptError: Another chunk stands in place of a unit.
    """
    sizes: list[int] = []
    end = end_position(fp)
    position = head.units_offset
    wanted = head.header.iterations if iterations is None else iterations
    while len(sizes) < wanted and position + CHUNK_PREFIX.size <= end:
        fp.seek(position)
        chunk_type, length = CHUNK_PREFIX.unpack(Reader(fp).read_exact(CHUNK_PREFIX.size))
        if chunk_type != UNIT_TYPE:
            raise CorruptError(f"iteration {len(sizes)}: chunk {chunk_type!r}, expected {UNIT_TYPE!r}")
        size = chunk_bytes(length)
        position += size
        if position > end:
            break
        sizes.append(size)
    return tuple(sizes)


def end_position(fp: ByteSource) -> int:
    """Move to the end of a file object and return its position."""
    fp.seek(0, io.SEEK_END)
    return fp.tell()  # `seek` of an mmap returns nothing before Python 3.13


def trailing_bytes(fp: ByteSource, head: FileHead, sizes: tuple[int, ...]) -> int:
    """Return the number of bytes after the last unit, 0 if the file is truncated.

    Args:
        fp: The file object that `head` was read from; its position changes.
        head: Result of `read_head`.
        sizes: Result of `unit_sizes` for all units.
    """
    if len(sizes) < head.header.iterations:
        return 0
    return end_position(fp) - head.units_offset - sum(sizes)


def verify(source: bytes | bytearray | memoryview | ByteSource) -> FileHead:
    """Check all of a file that can be checked without its model, one unit at a time, and return its head.

    That is every length and checksum, every rule of the format, and the alpha stream. The codes are not decoded, so
    `Codes_Crc` is compared for raw and stopped segments only.

    Args:
        source: The complete file, or a file object, which is read from its current position.

    Raises:
        RncFileError: As for `read_head` and `verify_body`.
    """
    fp = io.BytesIO(source) if isinstance(source, (bytes, bytearray, memoryview)) else source
    head = read_head(fp)
    verify_body(fp, head)
    return head


def verify_body(fp: ByteSource, head: FileHead) -> None:
    """Check the units and the alpha stream of a file whose head has been read; see `verify`.

    Raises:
        RncFileError: As for `iter_units`.
        CorruptError: The alpha stream is damaged.
    """
    for _ in iter_units(fp, head):
        pass
    if head.alpha is not None:
        unpack_alpha(head.alpha, head.header.width * head.header.height)


def _read_optional_chunks(reader: Reader, header: Header) -> tuple[dict[bytes, bytes], int]:
    """Return the data of the known chunks between header and units, by type, and the position of the first unit."""
    values: dict[bytes, bytes] = {}
    last_place = total_bytes = count = 0
    while True:
        units_offset = reader.position
        prefix = reader.read_exact(CHUNK_PREFIX.size)
        chunk_type, length = CHUNK_PREFIX.unpack(prefix)
        if chunk_type == UNIT_TYPE:
            return values, units_offset
        count += 1
        if count > MAX_OPTIONAL_CHUNKS:
            raise CorruptError(f"more than {MAX_OPTIONAL_CHUNKS} chunks before the first iteration")
        limit = MAX_METADATA_BYTES
        if chunk_type == ALPHA_TYPE:
            limit = max_alpha_bytes(header)
        else:
            total_bytes += length
        if length > limit or total_bytes > MAX_METADATA_TOTAL_BYTES:
            raise CorruptError(
                f"chunk {chunk_type!r} of {length} bytes, must be at most {limit}, in all {MAX_METADATA_TOTAL_BYTES}"
            )
        value = read_value(reader, prefix, length)
        if chunk_type in CHUNK_ORDER:
            place = CHUNK_ORDER.index(chunk_type)
            if place <= last_place:
                raise CorruptError(f"chunk {chunk_type!r} is repeated or out of order")
            last_place = place
            values[chunk_type] = value
            raise_file_error(_value_violations(chunk_type, value, header))
        else:
            check_unknown(chunk_type)


def _value_violations(chunk_type: bytes, value: bytes, header: Header) -> Violations:
    """Yield the violations of the rules for the data of a known chunk."""
    if chunk_type == ALPHA_TYPE:
        yield from alpha_violations(value, header)
    else:
        yield from metadata_violations({_METADATA_KEYS[chunk_type]: value})


def _generate_units(
    fp: ByteSource, head: FileHead, iterations: int, *, allow_truncated: bool, allow_trailing: bool
) -> Iterator[Unit]:
    fp.seek(head.units_offset)
    reader = Reader(fp)
    reader.declared = head.header.iterations
    state = initial_unit_state(head.header, head.alpha)
    for iteration in range(iterations):
        try:
            unit = read_unit(reader, head.header, iteration, state)
        except TruncatedError:
            if allow_truncated and iteration:
                return
            raise
        reader.complete += 1
        if reader.complete == reader.declared and not allow_trailing and reader.read_at_most(1):
            raise CorruptError("trailing bytes after the last iteration; opening the image ignores them")
        yield unit
