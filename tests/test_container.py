from __future__ import annotations

import io
import struct
import subprocess
import sys
import tracemalloc
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from construct import Array, ConstructError
from hypothesis import assume, given
from hypothesis import strategies as st
from mutator import reseal
from strategies import SMALL_FILE_BYTES, corruptions, files, headers

from pillow_rnc.container import chunks, reader, records, schema, writer
from pillow_rnc.container.records import METADATA_TYPES, STOPPED_SEGMENT, Coding, Header, RncFile, Segment
from pillow_rnc.container.signature import SIGNATURE
from pillow_rnc.container.validation import unit_violations
from pillow_rnc.errors import (
    CorruptError,
    RncFileError,
    RncOptionError,
    SignatureError,
    TruncatedError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

HEADER = Header(20, 17, "RGBA", 3, 3, 16, 64, 16, b"model-id")
HEAD_AT = len(SIGNATURE)
HEAD_END = HEAD_AT + 12 + chunks.HEAD_FIELDS.size


def raw(payload: bytes) -> Segment:
    return Segment(Coding.RAW, payload, zlib.crc32(payload))


SMALL = RncFile(
    HEADER,
    {"exif": b"Exif", "comment": b"!", "dpi": records.pack_dpi((72, 300.5))},
    b"\0" + zlib.compress(bytes(range(20)) * 17),
    (
        (raw(b"\xa5\xf0"),),
        (raw(b"\x00\x10"),),
        (STOPPED_SEGMENT,),
    ),
)
TILED = RncFile(
    Header(100, 40, "L", 2, 32, 16, 64, 0, bytes(8)),
    units=(
        (Segment(Coding.ENTROPY, b"12345678", 1), raw(bytes(36))),
        (STOPPED_SEGMENT, Segment(Coding.ENTROPY, b"abcd", 2)),
    ),
)

TOO_MUCH_METADATA = dict.fromkeys(["icc_profile", "exif", "xmp", "comment"], bytes(1 << 20)) | {"dpi": b"\x01" * 16}


def chunk(chunk_type: bytes, value: bytes) -> bytes:
    return chunks.pack_chunk(chunk_type, value)


def head(**fields: int) -> bytes:
    """Chunk of a header with any numbers in its fields, checksum correct."""
    value = schema.HEAD.parse(chunks.pack_head(HEADER))
    value.update(fields)
    numbers = [value[name] for name in schema.HEAD._subcons if name != "model_id"]
    return chunk(b"HEAD", struct.pack("<BBHHBBBBHBB", *numbers) + value.model_id)


def unit(*entries: tuple[int, int, int, int], payloads: bytes = b"") -> bytes:
    return chunk(b"ITER", b"".join(struct.pack("<BIII", *entry) for entry in entries) + payloads)


def small_with(*, after_head: bytes = b"", header: bytes = b"", units: bytes | None = None, end: bytes = b"") -> bytes:
    """A valid file of three raw iterations but for the parts given."""
    valid = writer.build(RncFile(HEADER, units=((raw(b"\xa5\xf0"),),) * 3))
    return SIGNATURE + (header or head()) + after_head + (valid[HEAD_END:] if units is None else units) + end


class RecordingFile(io.BytesIO):
    """A file object that remembers which bytes it gave."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.furthest = 0
        self.given = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.given += len(data)
        self.furthest = max(self.furthest, self.tell())
        return data


class ShortReads(io.BytesIO):
    """A file object that gives one byte at a time."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(1, size or 0))


class EmptyReads(io.BytesIO):
    """A file object that claims a length and gives nothing after `given` bytes."""

    def __init__(self, data: bytes, given: int) -> None:
        super().__init__(data)
        self.left = given

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(min(size or 0, self.left))
        self.left -= len(data)
        return data


@given(files())
def test_parse_returns_what_was_built(file: RncFile) -> None:
    data = writer.build(file)

    assert reader.parse(data) == file
    assert writer.build(reader.parse(data)) == data
    assert reader.verify(data).header == file.header


@given(headers())
def test_struct_and_construct_agree_on_the_header(header: Header) -> None:
    packed = chunks.pack_head(header)

    assert schema.build_head(header) == packed
    assert chunks.unpack_head(packed) == header
    parsed = schema.HEAD.parse(packed)
    assert (parsed.format_major, parsed.format_minor) == header.version
    assert all(
        parsed[name] == getattr(header, name)
        for name in (
            "width",
            "height",
            "iterations",
            "code_channels",
            "code_stride",
            "tile_size",
            "overlap",
            "model_id",
        )
    )


@given(files())
def test_construct_alone_reads_the_file_that_struct_reads(file: RncFile) -> None:
    data = writer.build(file)
    stream = io.BytesIO(data[HEAD_AT:])

    parsed = []
    while stream.tell() < len(data) - HEAD_AT:
        parsed.append(schema.CHUNK.parse_stream(stream))
    tables = [
        Array(len(file.header.grid), schema.SEGMENT_ENTRY).parse(part.data) for part in parsed if part.type == b"ITER"
    ]
    progress = chunks.initial_unit_state(file.header, file.alpha)

    assert all(part.crc == zlib.crc32(schema.CHUNK.build(part)[:-4]) for part in parsed)
    assert [
        [(entry.coding, entry.length, entry.payload_crc, entry.codes_crc) for entry in table] for table in tables
    ] == [
        [
            (part.coding, len(part.payload), part.payload_crc, codes_crc)
            for part, codes_crc in zip(segments, chunks.stored_codes_crcs(segments, file.header, progress), strict=True)
        ]
        for segments in file.units
    ]


def test_the_order_of_chunks_is_fixed() -> None:
    types = [part.type for part in Array(8, schema.CHUNK).parse(writer.build(SMALL)[HEAD_AT:])]

    assert types == [b"HEAD", b"exif", b"comm", b"dens", b"ALPH", b"ITER", b"ITER", b"ITER"]
    assert list(METADATA_TYPES.values()) == [b"iccp", b"exif", b"xmpp", b"comm", b"dens"]


@pytest.mark.parametrize("file", [SMALL, TILED])
def test_every_flipped_bit_is_found(file: RncFile) -> None:
    data = writer.build(file)
    assert len(data) < SMALL_FILE_BYTES

    for position in range(len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[position] ^= 1 << bit
            expected = SignatureError if position < HEAD_AT else (CorruptError, TruncatedError)
            with pytest.raises(expected) as caught:
                reader.parse(bytes(flipped))
            # Only a longer length of a metadata chunk looks like an early end; that of a unit is known from its table.
            if caught.type is TruncatedError:
                assert position in metadata_length_positions(data)


def metadata_length_positions(data: bytes) -> set[int]:
    positions: set[int] = set()
    start = HEAD_END
    while data[start : start + 4] != b"ITER":
        positions.update(range(start + 4, start + 8))
        start += chunks.chunk_bytes(int.from_bytes(data[start + 4 : start + 8], "little"))
    return positions


@pytest.mark.parametrize("file", [SMALL, TILED])
def test_every_truncation_is_detected_and_keeps_the_complete_iterations(file: RncFile) -> None:
    data = writer.build(file)
    offset, ends = unit_ends(data)

    for length in range(len(data)):
        truncated = data[:length]
        complete = sum(end <= length for end in ends)
        with pytest.raises(SignatureError if length < HEAD_AT else TruncatedError) as caught:
            reader.parse(truncated)
        assert getattr(caught.value, "decodable_iterations", 0) == complete
        with pytest.raises(RncFileError):
            reader.verify(truncated)
        if complete:
            assert reader.parse(truncated, allow_truncated=True).units == file.units[:complete]
            assert reader.parse(truncated, iterations=complete).units == file.units[:complete]
            assert writer.truncate(truncated, complete) == writer.truncate(data, complete)
        else:
            with pytest.raises(RncFileError):
                reader.parse(truncated, allow_truncated=True)
    assert offset < ends[0]


@given(files(), st.data())
def test_truncation_does_not_check_beyond_what_it_keeps(file: RncFile, data: st.DataObject) -> None:
    assume(len(file.units) > 1)
    kept = data.draw(st.integers(1, len(file.units) - 1))
    valid = writer.build(file)
    end = unit_ends(valid)[1][kept - 1]
    damaged = valid[:end] + bytes(len(valid) - end)

    assert writer.truncate(damaged, kept) == writer.truncate(valid, kept)


def unit_ends(data: bytes) -> tuple[int, list[int]]:
    fp = io.BytesIO(data)
    file_head = reader.read_head(fp)
    sizes = reader.unit_sizes(fp, file_head)
    offset = file_head.units_offset
    return offset, [offset + sum(sizes[: count + 1]) for count in range(len(sizes))]


@given(files(), st.data())
def test_damage_is_a_file_error_and_nothing_else(file: RncFile, data: st.DataObject) -> None:
    valid = writer.build(file)
    damaged = data.draw(corruptions(len(valid)))(valid)
    assume(damaged != valid)

    with pytest.raises(RncFileError):
        reader.parse(damaged)


@given(st.binary(max_size=200), st.booleans(), st.booleans())
def test_any_bytes_are_a_file_error_and_nothing_else(data: bytes, has_signature: bool, tolerant: bool) -> None:
    if has_signature:
        data = SIGNATURE + data

    with pytest.raises(RncFileError):
        reader.parse(data, allow_truncated=tolerant)


@given(st.binary(min_size=22, max_size=22), st.lists(st.binary(max_size=60), max_size=3))
def test_absurd_contents_with_correct_checksums_are_a_file_error(value: bytes, units: list[bytes]) -> None:
    data = SIGNATURE + chunk(b"HEAD", b"\x01" + value[1:]) + b"".join(chunk(b"ITER", part) for part in units)

    with pytest.raises(RncFileError):
        reader.parse(data)


@given(files(), st.lists(st.tuples(st.integers(0, 10_000), st.integers(1, 255)), min_size=1, max_size=3))
def test_damage_with_repaired_checksums_is_a_file_error_or_another_valid_file(
    file: RncFile, flips: list[tuple[int, int]]
) -> None:
    damaged = bytearray(writer.build(file))
    for position, mask in flips:
        damaged[position % len(damaged)] ^= mask
    data = reseal(bytes(damaged))

    try:
        parsed = reader.parse(data)
    except RncFileError:
        return
    assert data == writer.build(parsed) or has_unknown_chunk(data)


def has_unknown_chunk(data: bytes) -> bool:
    known = {b"HEAD", b"ALPH", b"ITER", *METADATA_TYPES.values()}
    start = HEAD_AT
    while start < len(data):
        if data[start : start + 4] not in known:
            return True
        start += chunks.chunk_bytes(int.from_bytes(data[start + 4 : start + 8], "little"))
    return False


@given(files(), st.data())
def test_a_truncated_file_is_that_of_fewer_iterations(file: RncFile, data: st.DataObject) -> None:
    iterations = data.draw(st.integers(1, file.header.iterations))
    shorter = replace(file, header=replace(file.header, iterations=iterations), units=file.units[:iterations])

    truncated = writer.truncate(writer.build(file), iterations)

    assert truncated == writer.build(shorter)


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_reading_some_iterations_reads_only_their_bytes(iterations: int) -> None:
    data = writer.build(SMALL)
    offset, ends = unit_ends(data)
    fp = RecordingFile(data)

    file_head = reader.read_head(fp)
    assert fp.furthest == fp.given == offset + 8
    fp.given = 0
    units = reader.read_units(fp, file_head, iterations)

    assert units == SMALL.units[:iterations]
    assert fp.furthest == ends[iterations - 1]
    assert fp.given == ends[iterations - 1] - offset


def test_units_are_read_when_they_are_asked_for() -> None:
    data = writer.build(SMALL)
    _, ends = unit_ends(data)
    fp = RecordingFile(data)

    furthest = [fp.furthest for _ in reader.iter_units(fp, reader.read_head(fp))]

    assert furthest == ends


def test_unit_sizes_are_known_without_reading_the_payloads() -> None:
    fp = RecordingFile(writer.build(SMALL))
    file_head = reader.read_head(fp)
    fp.given = 0

    sizes = reader.unit_sizes(fp, file_head)

    assert sum(sizes) + file_head.units_offset == len(writer.build(SMALL))
    assert fp.given == 3 * 8


@pytest.mark.parametrize(("extra", "complete"), [(0, 2), (5, 2), (7, 2), (8, 2), (-5, 1), (20, 2)])
def test_unit_sizes_of_a_truncated_file_are_those_of_its_complete_units(extra: int, complete: int) -> None:
    data = writer.build(SMALL)
    _, ends = unit_ends(data)
    fp = io.BytesIO(data[: ends[1] + extra])

    assert len(reader.unit_sizes(fp, reader.read_head(fp))) == complete


def test_unit_sizes_end_with_the_last_unit_whatever_follows() -> None:
    data = writer.build(SMALL)
    for extra in (bytes(20), unit(ENTRY, payloads=b"\xa5\xf0")):
        fp = io.BytesIO(data + extra)
        assert reader.unit_sizes(fp, reader.read_head(fp)) == reader.unit_sizes(
            io.BytesIO(data), reader.read_head(io.BytesIO(data))
        )


def test_unit_sizes_do_not_trust_what_is_not_a_unit() -> None:
    data = writer.build(SMALL)
    _, ends = unit_ends(data)
    fp = io.BytesIO(data[: ends[0]] + chunk(b"exif", b"late") + data[ends[0] :])

    with pytest.raises(CorruptError, match="iteration 1"):
        reader.unit_sizes(fp, reader.read_head(fp))


def test_a_file_may_start_anywhere_in_a_file_object() -> None:
    data = writer.build(SMALL)
    fp = io.BytesIO(b"before" + data)
    fp.seek(6)

    file_head = reader.read_head(fp)

    assert reader.read_units(fp, file_head) == SMALL.units
    assert sum(reader.unit_sizes(fp, file_head)) + file_head.units_offset - 6 == len(data)


def test_short_reads_make_no_difference() -> None:
    data = writer.build(SMALL)

    assert reader.verify(ShortReads(data)).header == HEADER
    fp = ShortReads(data)
    assert reader.read_units(fp, reader.read_head(fp)) == SMALL.units


def test_a_file_object_that_stops_giving_is_a_truncated_file() -> None:
    data = writer.build(SMALL)

    for given_bytes in range(len(data)):
        with pytest.raises(SignatureError if given_bytes < HEAD_AT else TruncatedError):
            reader.verify(EmptyReads(data, given_bytes))


def test_an_error_of_the_file_object_passes_through() -> None:
    class Failing(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise PermissionError("no")

    with pytest.raises(PermissionError):
        reader.verify(Failing())
    closed = io.BytesIO()
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        reader.verify(closed)


def test_verify_takes_bytes_like_objects() -> None:
    data = writer.build(SMALL)

    assert reader.verify(bytearray(data)).header == reader.verify(memoryview(data)).header == HEADER


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"format_major": 0}, UnsupportedError, "version"),
        ({"format_major": 2}, UnsupportedError, "version"),
        ({"mode": 4}, UnsupportedError, "mode"),
        ({"flags": 1}, UnsupportedError, "flags"),
        ({"iterations": 33}, UnsupportedError, "iterations"),
        ({"iterations": 255}, UnsupportedError, "iterations"),
        ({"code_stride": 0}, UnsupportedError, "stride"),
        ({"code_stride": 32}, UnsupportedError, "stride"),
        ({"iterations": 0}, CorruptError, "iterations"),
        ({"width": 0}, CorruptError, "width"),
        ({"height": 0}, CorruptError, "height"),
        ({"code_channels": 0}, CorruptError, "channels"),
        ({"tile_size": 0}, CorruptError, "tile size"),
        ({"tile_size": 1}, CorruptError, "tile size"),
        ({"tile_size": 48}, CorruptError, "tile size"),
        ({"tile_size": 72}, CorruptError, "tile size"),
        ({"tile_size": 4112}, CorruptError, "tile size"),
        ({"overlap": 8}, CorruptError, "overlap"),
        ({"overlap": 48}, CorruptError, "overlap"),
    ],
)
def test_a_header_that_breaks_a_rule_is_rejected(fields: dict[str, int], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        reader.parse(small_with(header=head(**fields)))


@pytest.mark.parametrize(
    "fields",
    [
        {"width": 1, "height": 1},
        {"width": 65_535},
        {"height": 65_535},
        *({"mode": mode} for mode in range(4)),
        {"iterations": 1},
        {"iterations": 16},
        {"code_channels": 1},
        {"code_channels": 255},
        {"code_stride": 8},
        {"code_stride": 16},
        {"tile_size": 64, "overlap": 0},
        {"tile_size": 64, "overlap": 32},
        {"tile_size": 4096, "overlap": 240},
    ],
    ids=str,
)
def test_a_header_at_the_edge_of_the_rules_is_read(fields: dict[str, int]) -> None:
    header = reader.read_head(io.BytesIO(small_with(header=head(**fields)))).header

    assert chunk(b"HEAD", chunks.pack_head(header)) == head(**fields)


def test_a_later_minor_version_is_read() -> None:
    assert reader.parse(small_with(header=head(format_minor=9))).header.version == (1, 9)


def test_a_header_of_another_length_is_corrupt_in_this_version_and_unsupported_in_another() -> None:
    with pytest.raises(CorruptError, match="22"):
        reader.parse(small_with(header=chunk(b"HEAD", b"\x01" + bytes(22))))
    with pytest.raises(UnsupportedError, match="version 2"):
        reader.parse(small_with(header=chunk(b"HEAD", b"\x02" + bytes(40))))
    with pytest.raises(UnsupportedError, match="version 2"):
        reader.parse(small_with(header=chunk(b"HEAD", b"\x02")))
    with pytest.raises(CorruptError):
        reader.parse(small_with(header=chunk(b"HEAD", b"")))


def test_the_first_chunk_must_be_the_header() -> None:
    with pytest.raises(CorruptError, match="first chunk"):
        reader.parse(small_with(header=chunk(b"exif", b"early") + head()))


@pytest.mark.parametrize(
    ("optional", "error", "words"),
    [
        (chunk(b"ABcd", b"?"), UnsupportedError, "critical chunk"),
        (chunk(b"Abcd", b"?"), UnsupportedError, "critical chunk"),
        (chunk(b"HEAD", chunks.pack_head(HEADER)), CorruptError, "repeated"),
        (chunk(b"exif", b"1") + chunk(b"exif", b"1"), CorruptError, "repeated"),
        (chunk(b"exif", b"1") + chunk(b"iccp", b"1"), CorruptError, "out of order"),
        (chunk(b"ALPH", b"1") + chunk(b"exif", b"1"), CorruptError, "out of order"),
        (chunk(b"a\x00cd", b"1"), CorruptError, "letters"),
        (chunk(b"exif", b""), CorruptError, "exif of 0 bytes"),
        (chunk(b"ALPH", b""), CorruptError, "alpha of 0 bytes"),
        (chunk(b"ALPH", bytes(2 * 20 * 17 + 1025)), CorruptError, "must be at most"),
        (chunk(b"iccp", bytes((1 << 20) + 1)), CorruptError, "must be at most"),
        (b"".join(chunk(b"abcd", bytes(1 << 20)) for _ in range(5)), CorruptError, "must be at most"),
        (chunk(b"dens", bytes(16)), CorruptError, "zero"),
        (chunk(b"dens", bytes(15)), CorruptError, "dpi of 15"),
        (struct.pack("<4sI", b"exif", 2**32 - 1), CorruptError, "must be at most"),
        (struct.pack("<4sI", b"exif", 1 << 20), TruncatedError, "0 of 3"),
    ],
)
def test_a_chunk_that_breaks_a_rule_is_rejected(optional: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        reader.parse(small_with(after_head=optional))


def test_there_are_at_most_64_chunks_before_the_first_unit() -> None:
    assert reader.parse(small_with(after_head=64 * chunk(b"abcd", b""))).header == HEADER
    with pytest.raises(CorruptError, match="more than 64 chunks"):
        reader.parse(small_with(after_head=65 * chunk(b"abcd", b"")))
    with pytest.raises(CorruptError, match="more than 64 chunks"):
        reader.parse(small_with(after_head=64 * chunk(b"abcd", b"") + struct.pack("<4sI", b"abcd", 1 << 20)))


def test_verify_checks_the_alpha_stream() -> None:
    data = writer.build(replace(SMALL, alpha=b"\0" + zlib.compress(bytes(20 * 17 - 1))))

    assert reader.parse(data).header == HEADER
    with pytest.raises(CorruptError, match="alpha: the stream does not end after the 340 bytes"):
        reader.verify(data)


@given(st.binary(min_size=4, max_size=4), st.binary(max_size=100))
def test_a_chunk_is_packed_as_the_schema_defines_it(chunk_type: bytes, value: bytes) -> None:
    assert chunks.pack_chunk(chunk_type, value) == schema.build_chunk(chunk_type, value)


def test_alpha_needs_a_mode_with_alpha() -> None:
    with pytest.raises(CorruptError, match="mode RGB"):
        reader.parse(small_with(header=head(mode=2), after_head=chunk(b"ALPH", b"1")))


def test_metadata_of_the_largest_size_is_read() -> None:
    value = bytes(1 << 20)

    assert reader.parse(small_with(after_head=chunk(b"exif", value))).metadata == {"exif": value}


def test_metadata_of_the_largest_sum_is_read() -> None:
    values = b"".join(chunk(kind, bytes(1 << 20)) for kind in (b"iccp", b"exif", b"xmpp", b"comm"))

    assert len(reader.parse(small_with(after_head=values)).metadata) == 4
    with pytest.raises(CorruptError, match="must be at most"):
        reader.parse(small_with(after_head=values + chunk(b"dens", b"\x01" * 16)))


def test_alpha_of_the_largest_size_is_read() -> None:
    value = bytes(2 * 20 * 17 + 1024)

    assert reader.read_head(io.BytesIO(small_with(after_head=chunk(b"ALPH", value)))).alpha == value


def test_unknown_ancillary_chunks_are_ignored_and_copied_when_safe() -> None:
    safe, unsafe = chunk(b"abcd", b"safe"), chunk(b"abcD", b"")
    data = small_with(after_head=safe + chunk(b"exif", b"1") + unsafe)

    assert reader.parse(data).metadata == {"exif": b"1"}
    truncated = writer.truncate(data, 2)
    assert safe in truncated
    assert unsafe not in truncated
    assert writer.truncate(data, 3) == data


RAW_CRC = zlib.crc32(b"\xa5\xf0")
COVERED = struct.pack("<BBHHBBBBHBB8s", 1, 0, 20, 17, 3, 0, 3, 16, 64, 16, 0, b"model-id")
CODES_CRC = zlib.crc32(COVERED + b"\xa5\xf0")
ENTRY = (1, 2, RAW_CRC, CODES_CRC)


@pytest.mark.parametrize(
    ("units", "error", "words"),
    [
        (chunk(b"ITER", b""), CorruptError, "segment table"),
        (unit(ENTRY, ENTRY, payloads=b"\xa5\xf0" * 2), CorruptError, "its segment table gives"),
        (unit((1, 1, RAW_CRC, RAW_CRC), payloads=b"\xa5\xf0"), CorruptError, "its segment table gives"),
        (unit((1, 2**32 - 1, RAW_CRC, RAW_CRC), payloads=b"\xa5\xf0"), CorruptError, "its segment table gives"),
        (unit((1, 2, 0, RAW_CRC), payloads=b"\xa5\xf0"), CorruptError, "tile 0, iteration 0: payload CRC"),
        (unit((1, 2, RAW_CRC, 0), payloads=b"\xa5\xf0"), CorruptError, "codes CRC"),
        (unit((3, 2, RAW_CRC, 0), payloads=b"\xa5\xf0"), UnsupportedError, "coding 3"),
        (unit((0, 2, RAW_CRC, 0), payloads=b"\xa5\xf0"), CorruptError, "entropy-coded payload of 2"),
        (unit((0, 0, 0, 0)), CorruptError, "entropy-coded payload of 0"),
        (unit((1, 0, 0, 0)), CorruptError, "raw payload of 0"),
        (unit((2, 0, 0, 0)), CorruptError, "first iteration"),
        (unit((1, 2, zlib.crc32(b"12"), zlib.crc32(b"12")), payloads=b"12"), CorruptError, "padding bits"),
        (
            struct.pack("<4sI", b"ITER", 2**32 - 1) + struct.pack("<BIII", *ENTRY),
            CorruptError,
            "its segment table gives",
        ),
        (chunk(b"exif", b"1")[:8], TruncatedError, "0 of 3"),
        (unit(ENTRY, payloads=b"\xa5\xf0") + chunk(b"exif", b"late"), CorruptError, "iteration 1: chunk"),
        (unit(ENTRY, payloads=b"\xa5\xf0") + unit((2, 0, 0, 0)), CorruptError, "iteration 1: codes CRC"),
        (
            unit(ENTRY, payloads=b"\xa5\xf0") + unit((2, 1, 0xD202EF8D, CODES_CRC), payloads=b"\0"),
            CorruptError,
            "iteration 1: stopped segment has a payload of 1 bytes",
        ),
        (
            unit(ENTRY, payloads=b"\xa5\xf0")
            + unit((2, 0, 0, zlib.crc32(b"\0", CODES_CRC)))
            + unit(ENTRY, payloads=b"\xa5\xf0"),
            CorruptError,
            "tile 0, iteration 2: segment has codes, but",
        ),
    ],
)
def test_a_unit_that_breaks_a_rule_is_rejected(units: bytes, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        reader.parse(small_with(units=units))


@pytest.mark.parametrize("missing", range(1, 5))
def test_a_unit_that_ends_within_its_crc_is_truncated_even_if_a_payload_is_damaged(missing: int) -> None:
    data = bytearray(writer.build(SMALL))
    end = len(writer.truncate(bytes(data), 2))
    data[end - 5] ^= 1  # the last byte before the Crc
    cut = bytes(data[: end - missing])

    with pytest.raises(TruncatedError) as caught:
        reader.parse(cut)
    assert caught.value.decodable_iterations == 1
    assert reader.parse(cut, allow_truncated=True).units == SMALL.units[:1]
    with pytest.raises(CorruptError, match="tile 0, iteration 1: payload CRC"):
        reader.parse(bytes(data))


def test_an_entropy_coded_payload_is_never_longer_than_the_raw_one() -> None:
    def of(words: int) -> RncFile:
        return replace(TILED, units=((Segment(Coding.ENTROPY, bytes(4 * words), 0), raw(bytes(36))), TILED.units[1]))

    # One tile of 64 x 40 pixels has 32 * 4 * 3 / 8 = 48 raw bytes.
    assert reader.parse(writer.build(of(12))) == of(12)
    with pytest.raises(RncOptionError, match="entropy-coded payload of 52"):
        writer.build(of(13))


def test_bytes_after_the_end_are_an_error_that_a_tolerant_reader_and_truncation_ignore() -> None:
    data = writer.build(SMALL)

    with pytest.raises(CorruptError, match="trailing bytes"):
        reader.parse(data + b"\x00")
    with pytest.raises(CorruptError, match="trailing bytes"):
        reader.verify(data + b"\x00")
    head = reader.read_head(io.BytesIO(data))
    assert reader.read_units(io.BytesIO(data + b"\x00"), head, allow_trailing=True) == SMALL.units
    assert writer.truncate(data + b"\x00", 3) == data
    assert reader.parse(data + b"\x00", allow_truncated=True) == SMALL
    assert reader.parse(data + b"\x00", iterations=2).units == SMALL.units[:2]


def test_damage_after_a_complete_iteration_is_not_taken_for_an_early_end() -> None:
    data = bytearray(writer.build(SMALL))
    data[-1] ^= 1

    with pytest.raises(CorruptError, match="iteration 2"):
        reader.parse(bytes(data), allow_truncated=True)


@pytest.mark.parametrize("damage", [b"\x0aRNC\r\n\x1a\n", b"\x8aRNC\n\x1a\n", b"\x8aRNC\r\r\n\x1a\r\n", b"RNC\x01"])
def test_a_signature_damaged_by_text_mode_or_of_others_is_not_ours(damage: bytes) -> None:
    with pytest.raises(SignatureError):
        reader.parse(damage + writer.build(SMALL)[HEAD_AT:])


@pytest.mark.parametrize("iterations", [-1, 0, 4])
@pytest.mark.parametrize("call", [lambda data, k: reader.parse(data, iterations=k), writer.truncate])
def test_an_iteration_count_that_the_file_lacks_is_rejected(
    call: Callable[[bytes, int], object], iterations: int
) -> None:
    with pytest.raises(RncOptionError, match="the file has 3"):
        call(writer.build(SMALL), iterations)


@pytest.mark.parametrize(
    "file",
    [
        replace(SMALL, header=replace(HEADER, width=0)),
        replace(SMALL, header=replace(HEADER, mode="CMYK")),
        replace(SMALL, header=replace(HEADER, mode="RGB")),
        replace(SMALL, header=replace(HEADER, iterations=2)),
        replace(SMALL, header=replace(HEADER, model_id=b"short")),
        replace(SMALL, header=replace(HEADER, version=(1, 256))),
        replace(SMALL, header=replace(HEADER, version=(2, 0))),
        replace(SMALL, metadata={"exif": b""}),
        replace(SMALL, metadata={"camera": b"x"}),
        replace(SMALL, metadata=TOO_MUCH_METADATA),
        replace(SMALL, metadata={"exif": bytes((1 << 20) + 1)}),
        replace(SMALL, metadata={"dpi": bytes(16)}),
        replace(SMALL, alpha=b""),
        replace(SMALL, units=SMALL.units[:2]),
        replace(SMALL, units=(SMALL.units[0], (), SMALL.units[2])),
        replace(SMALL, units=(SMALL.units[2], *SMALL.units[1:])),
        replace(SMALL, units=(SMALL.units[0], SMALL.units[2], SMALL.units[1])),
        replace(SMALL, units=((Segment(Coding.RAW, b"\xa5\xf0", 0),), *SMALL.units[1:])),
        replace(TILED, units=((replace(TILED.units[0][0], codes_crc=2**32), TILED.units[0][1]), TILED.units[1])),
    ],
)
def test_records_that_break_a_rule_are_not_built(file: RncFile) -> None:
    with pytest.raises(RncOptionError):
        writer.build(file)


def test_a_unit_of_another_length_has_no_further_faults() -> None:
    faults = list(unit_violations((), HEADER, iteration=0, stopped=set()))

    assert faults == [(CorruptError, "iteration 0: 0 segments, the grid has 1 tiles")]


def test_construct_shows_its_errors_to_no_one() -> None:
    with pytest.raises(RncOptionError) as caught:
        writer.build(replace(SMALL, header=replace(HEADER, version=(1, 256))))

    assert isinstance(caught.value.__cause__, ConstructError)


def test_a_header_that_promises_the_largest_image_costs_no_memory() -> None:
    data = SIGNATURE + head(width=65_535, height=65_535, tile_size=64, overlap=32, iterations=16)
    data += struct.pack("<4sI", b"ITER", 2**32 - 1)
    file_head = reader.read_head(io.BytesIO(data))
    tracemalloc.start()
    try:
        assert len(reader.read_head(io.BytesIO(data)).header.grid) == 2047**2
        for allow_truncated in (False, True):
            with pytest.raises(TruncatedError):
                reader.read_units(io.BytesIO(data), file_head, allow_truncated=allow_truncated)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak < 64 << 10


def test_a_segment_table_longer_than_the_file_is_not_looped_over() -> None:
    header = head(width=65_535, height=65_535, tile_size=64, overlap=32)
    table_bytes = 13 * 2047**2

    with pytest.raises(CorruptError, match="segment table"):
        reader.parse(SIGNATURE + header + struct.pack("<4sI", b"ITER", table_bytes - 1))
    with pytest.raises(TruncatedError):
        reader.parse(SIGNATURE + header + struct.pack("<4sI", b"ITER", table_bytes) + bytes(1000))


@pytest.mark.parametrize("dpi", [(72, 72), (300.5, 0.25), (71.9836, 118.11), (1 / 65536, 65535)])
def test_dpi_comes_back(dpi: tuple[float, float]) -> None:
    assert records.unpack_dpi(records.pack_dpi(dpi)) == pytest.approx(dpi, rel=1e-9)


@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf"), 65536, 1e-9])
def test_a_dpi_without_meaning_is_rejected(value: float) -> None:
    with pytest.raises(RncOptionError, match="dpi"):
        records.pack_dpi((72, value))


def test_reading_verifying_and_truncating_load_no_other_library() -> None:
    script = (
        "import sys, io; from pillow_rnc.container import reader as c, writer as w; "
        "data = sys.stdin.buffer.read(); c.verify(data);"
        "w.truncate(data, 2); c.parse(data); fp = io.BytesIO(data); c.unit_sizes(fp, c.read_head(fp));"
        "print({'numpy', 'torch', 'construct'} & set(sys.modules))"
    )

    printed = subprocess.run(
        [sys.executable, "-c", script], input=writer.build(SMALL), capture_output=True, check=True
    ).stdout

    assert printed.strip() == b"set()"
