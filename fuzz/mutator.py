"""Damage as by an attacker: mutations keep the structure of a file and recompute its checksums.

Otherwise every mutation would be rejected at the first checksum, and nothing beyond it would be tested. Only the CRC of
codes cannot be recomputed without decoding: it stays with its payload, at whatever position or file that is moved to.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from pillow_rnc.container.chunks import (
    CHUNK_CRC,
    CHUNK_PREFIX,
    HEAD_FIELDS,
    SEGMENT_ENTRY,
    initial_unit_state,
    pack_chunk,
    unpack_head,
)
from pillow_rnc.container.records import ALPHA_TYPE, HEAD_TYPE, UNIT_TYPE, Coding
from pillow_rnc.container.signature import SIGNATURE
from pillow_rnc.container.validation import header_violations, raise_file_error
from pillow_rnc.errors import RncError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from pillow_rnc.container.checksum import RunningCrc
    from pillow_rnc.container.records import Header

    Chunk = tuple[bytes, bytes]
    """Type and data."""
    Segment = tuple[int, int, bytes]
    """Coding, CRC of the codes and payload."""

EDGES = (0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 63, 64, 127, 128, 255, 256, 4096, 65_535, 65_536, 2**31 - 1, 2**32 - 1)
MAX_TILES = 10_000
"""Tables of larger grids are not changed; they do not fit into the inputs of a fuzzer."""


def split(data: bytes) -> tuple[list[Chunk], bytes]:
    """Return the chunks of a file whatever their checksums, and the bytes after the last complete one."""
    chunks: list[Chunk] = []
    position = len(SIGNATURE)
    while position + CHUNK_PREFIX.size <= len(data):
        chunk_type, length = CHUNK_PREFIX.unpack_from(data, position)
        start = position + CHUNK_PREFIX.size
        if start + length + CHUNK_CRC.size > len(data):
            break
        chunks.append((chunk_type, data[start : start + length]))
        position = start + length + CHUNK_CRC.size
    return chunks, data[position:]


def join(chunks: list[Chunk], rest: bytes = b"") -> bytes:
    """Return a file of these chunks with correct checksums of chunks; their data are not changed."""
    return SIGNATURE + b"".join(pack_chunk(*one) for one in chunks) + rest


def opened(chunks: list[Chunk]) -> list[Chunk]:
    """Return chunks in which each segment has the CRC of its own codes alone."""

    def entry(running: RunningCrc, segment: Segment, codes_bytes: int) -> bytes:
        coding, codes_crc, payload = segment
        return SEGMENT_ENTRY.pack(coding, len(payload), 0, running.own(codes_crc, codes_bytes))

    return _with_tables(chunks, entry)


def sealed(chunks: list[Chunk]) -> list[Chunk]:
    """Return opened chunks as stored in a file, with all checksums within them correct."""

    def entry(running: RunningCrc, segment: Segment, codes_bytes: int) -> bytes:
        coding, codes_crc, payload = segment
        crc = zlib.crc32(payload)
        own = crc if coding == Coding.RAW else codes_crc
        return SEGMENT_ENTRY.pack(coding, len(payload), crc, running.stored(own, codes_bytes))

    return _with_tables(chunks, entry)


def reseal(data: bytes) -> bytes:
    """Return `data` with all checksums correct, as far as it consists of chunks."""
    chunks, rest = split(data)
    return join(sealed(opened(chunks)), rest)


def mutate(data: bytes, source: random.Random, alter: Callable[[bytes], bytes] | None = None) -> bytes:
    """Return another file like `data`.

    Args:
        data: A file, valid or not.
        source: Random generator of all choices.
        alter: Changes some bytes, such as the mutations of the fuzzing engine; random ones by default.
    """
    alter = alter or (lambda part: _random_bytes(part, source))
    chunks, rest = split(data)
    if not chunks or source.random() < 0.1:
        return alter(data)
    chunks = opened(chunks)
    for _ in range(source.choice((1, 1, 1, 2, 3))):
        if chunks:
            _mutate_chunks(chunks, source, alter)
    if source.random() < 0.05:
        rest = alter(rest)
    return join(sealed(chunks), rest)


def _mutate_chunks(chunks: list[Chunk], source: random.Random, alter: Callable[[bytes], bytes]) -> None:
    """Change one thing in place."""
    index = source.randrange(len(chunks))
    chunk_type, value = chunks[index]
    action = source.randrange(8)
    if action == 0:
        chunks.insert(source.randrange(len(chunks) + 1), chunks[index])
    elif action == 1:
        del chunks[index]
    elif action == 2:
        other = source.randrange(len(chunks))
        chunks[index], chunks[other] = chunks[other], chunks[index]
    elif action == 3:
        letters = bytearray(chunk_type)
        letters[source.randrange(4)] ^= source.choice((0x20, 1, 0x80))
        chunks[index] = bytes(letters), value
    elif chunk_type == HEAD_TYPE and len(value) == HEAD_FIELDS.size:
        fields = list(HEAD_FIELDS.unpack(value))
        place = source.randrange(len(fields) - 1)
        limit = 65_536 if place in (2, 3, 8) else 256
        fields[place] = source.choice((source.choice(EDGES), fields[place] + 1, fields[place] - 1, 16)) % limit
        chunks[index] = chunk_type, HEAD_FIELDS.pack(*fields)
    elif chunk_type == UNIT_TYPE and len(value) >= SEGMENT_ENTRY.size and action != 7:
        chunks[index] = chunk_type, _mutated_unit(value, chunks, source, alter)
    else:
        chunks[index] = chunk_type, alter(value)


def _mutated_unit(value: bytes, chunks: list[Chunk], source: random.Random, alter: Callable[[bytes], bytes]) -> bytes:
    """Change a payload or a table entry of a unit; lengths in the table follow those of payloads."""
    header = _header(chunks)
    segments = segments_of(value, len(header.grid) if header else 1)
    if not segments:
        return alter(value)
    index = source.randrange(len(segments))
    coding, codes_crc, payload = segments[index]
    action = source.randrange(6)
    if action == 0:
        coding = source.choice((0, 1, 2, 3, 255))
    elif action == 1:
        codes_crc = source.choice((0, codes_crc ^ 1, 2**32 - 1))
    elif action == 2:
        payload = payload[: source.randrange(len(payload) + 1)]
    elif action == 3:
        payload += bytes(source.choice((1, 4, 8)))
    elif action == 4:
        coding, codes_crc, payload = source.choice(segments)
    else:
        payload = alter(payload)
    segments[index] = coding, codes_crc, payload
    table = b"".join(SEGMENT_ENTRY.pack(kind, len(part), 0, crc) for kind, crc, part in segments)
    return table + b"".join(part for _, _, part in segments)


def segments_of(value: bytes, tiles: int) -> list[Segment]:
    """Return coding, CRC of the codes and payload of each segment, or nothing if the table is inconsistent."""
    start = tiles * SEGMENT_ENTRY.size
    if tiles > MAX_TILES or start > len(value):
        return []
    segments = []
    for coding, length, _, codes_crc in SEGMENT_ENTRY.iter_unpack(value[:start]):
        segments.append((coding, codes_crc, value[start : start + length]))
        start += length
    return segments if start == len(value) else []


def _with_tables(chunks: list[Chunk], entry: Callable[[RunningCrc, Segment, int], bytes]) -> list[Chunk]:
    """Return chunks with other tables in their units; inconsistent units are not changed."""
    header = _header(chunks)
    if header is None or len(header.grid) > MAX_TILES:
        return list(chunks)
    units = [segments_of(value, len(header.grid)) if kind == UNIT_TYPE else [] for kind, value in chunks]
    # Most mutated grids fit no unit, and listing the tiles of a large one takes long.
    lengths = [header.code_shape(tile).raw_bytes for tile in header.grid] if any(units) else []
    running = initial_unit_state(header, dict(chunks).get(ALPHA_TYPE)).codes_crc
    changed = []
    for (chunk_type, value), segments in zip(chunks, units, strict=True):
        table = b""
        if segments:
            sizes = [0 if one[0] == Coding.STOPPED else length for one, length in zip(segments, lengths, strict=True)]
            table = b"".join(entry(running, one, size) for one, size in zip(segments, sizes, strict=True))
        changed.append((chunk_type, table + value[len(table) :]))
    return changed


def _header(chunks: list[Chunk]) -> Header | None:
    """Return the header, if the first chunk is a valid one."""
    chunk_type, value = chunks[0] if chunks else (b"", b"")
    if chunk_type != HEAD_TYPE or len(value) != HEAD_FIELDS.size:
        return None
    try:
        header = unpack_head(value)
        raise_file_error(header_violations(header))
    except RncError:
        return None
    return header


def _random_bytes(part: bytes, source: random.Random) -> bytes:
    """Flip, write, insert or drop some bytes."""
    altered = bytearray(part)
    place = source.randrange(len(altered) + 1)
    action = source.randrange(4)
    if action == 0 and altered:
        altered[place % len(altered)] ^= 1 << source.randrange(8)
    elif action == 1:
        burst = source.randbytes(source.randrange(1, 9))
        altered[place : place + len(burst)] = burst
    elif action == 2:
        altered[place:place] = source.randbytes(source.randrange(1, 9))
    else:
        del altered[place : place + source.randrange(1, 9)]
    return bytes(altered)
