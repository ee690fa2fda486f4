"""Bytes of an .rnc file -> records: parse, read in parts, verify.

Unpacks with `struct`, so that opening and checking a file load no other library; a test holds it equal to `schema`.
This module knows nothing of codes, pixels or models.  Source: spec, sections "File" to "Units".
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from pillow_rnc.container.alpha import check_alpha
from pillow_rnc.container.chunks import (
    CHUNK_PREFIX,
    ByteSource,
    Reader,
    check_unknown,
    chunk_bytes,
    read_header,
    read_unit,
    read_value,
    start_of_units,
)
from pillow_rnc.container.records import (
    ALPHA_TYPE,
    HEAD_TYPE,
    MAX_METADATA_BYTES,
    MAX_METADATA_TOTAL_BYTES,
    MAX_OPTIONAL_CHUNKS,
    METADATA_TYPES,
    SIGNATURE,
    UNIT_TYPE,
    FileHead,
    Header,
    RncFile,
    Unit,
)
from pillow_rnc.container.validation import (
    alpha_faults,
    max_alpha_bytes,
    metadata_faults,
    reject,
)
from pillow_rnc.errors import CorruptError, RncOptionError, SignatureError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Iterator

CHUNK_ORDER = (HEAD_TYPE, *METADATA_TYPES.values(), ALPHA_TYPE)


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


def read_head(fp: ByteSource) -> FileHead:
    """Return everything before the first unit, read from the position of `fp`.

    Reads eight bytes of the first unit to know it, and no more.

    Raises:
        SignatureError: The bytes do not start an .rnc file.
        UnsupportedError: The version, a critical chunk or a reserved value is unknown.
        CorruptError: A chunk breaks a rule of the format.
        TruncatedError: The bytes end before the first unit; no iteration can be decoded.
    """
    reader = Reader(fp)
    if reader.up_to(len(SIGNATURE)) != SIGNATURE:
        raise SignatureError("not an .rnc file: the signature differs")
    header = read_header(reader)
    values, units_offset = _read_optional_chunks(reader, header)
    metadata = {key: values[chunk_type] for key, chunk_type in METADATA_TYPES.items() if chunk_type in values}
    alpha = values.get(ALPHA_TYPE)
    reject(metadata_faults(metadata))
    reject(alpha_faults(alpha, header))
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
    return _generate_units(fp, head, stored if iterations is None else iterations, allow_truncated=allow_truncated)


def unit_sizes(fp: ByteSource, head: FileHead, iterations: int | None = None) -> tuple[int, ...]:
    """Return the length in bytes of each whole unit, framing included, without reading their contents.

    With `iterations` it looks at so many units, and not at what follows them.

    A file cut after k units has `head.units_offset` plus the first k lengths.
    A truncated file gives fewer lengths than its header promises iterations; checksums are not looked at.

    Raises:
        CorruptError: Something else stands where a unit is due.
    """
    sizes: list[int] = []
    end = fp.seek(0, io.SEEK_END)
    position = head.units_offset
    wanted = head.header.iterations if iterations is None else iterations
    while len(sizes) < wanted and position + CHUNK_PREFIX.size <= end:
        fp.seek(position)
        chunk_type, length = CHUNK_PREFIX.unpack(Reader(fp).take(CHUNK_PREFIX.size))
        if chunk_type != UNIT_TYPE:
            raise CorruptError(f"iteration {len(sizes)}: chunk {chunk_type!r}, expected {UNIT_TYPE!r}")
        size = chunk_bytes(length)
        position += size
        if position > end:
            break
        sizes.append(size)
    return tuple(sizes)


def verify(source: bytes | bytearray | memoryview | ByteSource) -> Header:
    """Check every checksum and length of a file, holding one unit at a time, and return its header.

    The codes are not decoded, so their checksums are compared for raw segments only.

    Raises:
        RncFileError: As `read_head` and `iter_units` do.
    """
    fp = io.BytesIO(source) if isinstance(source, (bytes, bytearray, memoryview)) else source
    head = read_head(fp)
    verify_body(fp, head)
    return head.header


def verify_body(fp: ByteSource, head: FileHead) -> None:
    """Check the units and the alpha stream of a file whose head has been read; see `verify`.

    Raises:
        RncFileError: As for `iter_units`.
        CorruptError: The alpha stream is damaged.
    """
    for _ in iter_units(fp, head):
        pass
    if head.alpha is not None:
        check_alpha(head.alpha, head.header.width, head.header.height)


def _read_optional_chunks(reader: Reader, header: Header) -> tuple[dict[bytes, bytes], int]:
    """Return the values of the known chunks between header and units by type, and where the units begin."""
    values: dict[bytes, bytes] = {}
    last_place = total_bytes = count = 0
    while True:
        units_offset = reader.position
        prefix = reader.take(CHUNK_PREFIX.size)
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
                f"chunk {chunk_type!r} of {length} bytes, allowed are {limit} and {MAX_METADATA_TOTAL_BYTES} in all"
            )
        value = read_value(reader, prefix, length)
        if chunk_type in CHUNK_ORDER:
            place = CHUNK_ORDER.index(chunk_type)
            if place <= last_place:
                raise CorruptError(f"chunk {chunk_type!r} is repeated or out of order")
            last_place = place
            values[chunk_type] = value
        else:
            check_unknown(chunk_type)


def _generate_units(fp: ByteSource, head: FileHead, iterations: int, *, allow_truncated: bool) -> Iterator[Unit]:
    fp.seek(head.units_offset)
    reader = Reader(fp)
    reader.promised = head.header.iterations
    progress = start_of_units(head.header, head.alpha)
    for iteration in range(iterations):
        try:
            unit = read_unit(reader, head.header, iteration, progress)
        except TruncatedError:
            if allow_truncated and iteration:
                return
            raise
        reader.whole += 1
        if reader.whole == reader.promised and not allow_truncated and reader.up_to(1):
            raise CorruptError("spare bytes after the last iteration")
        yield unit
