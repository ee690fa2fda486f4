"""The checksum that a file stores with a segment covers all that makes the image up to there."""

from __future__ import annotations

import io
import zlib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import files

from pillow_rnc.container import chunks, reader, writer
from pillow_rnc.container.checksum import RunningCrc, crc32_combine
from pillow_rnc.container.records import STOPPED_SEGMENT, Coding, Header, RncFile, Segment
from pillow_rnc.container.signature import SIGNATURE
from pillow_rnc.errors import CorruptError

ALPHA = b"\0" + zlib.compress(bytes(128 * 64))
WRONG = "codes CRC 0x[0-9a-f]{8}, expected 0x[0-9a-f]{8}: damaged, or moved from another position or file"


def raw(payload: bytes) -> Segment:
    return Segment(Coding.RAW, payload, zlib.crc32(payload))


def image(first: int, *, alpha: bytes | None = ALPHA) -> RncFile:
    """A file of two equal tiles, three iterations and raw segments: only the checksum distinguishes them."""
    header = Header(128, 64, "RGBA", 3, 3, 16, 64, 0, b"model-id")
    units = tuple((raw(bytes([first + 2 * k]) * 6), raw(bytes([first + 2 * k + 1]) * 6)) for k in range(3))
    return RncFile(header, {"comment": b"x"}, alpha, units)


def parts_of(file: RncFile) -> list[bytes]:
    """The chunks of a file: HEAD, comm, ALPH, ITER, ITER, ITER."""
    data = writer.build(file)
    parts, position = [], len(SIGNATURE)
    while position < len(data):
        size = chunks.chunk_bytes(int.from_bytes(data[position + 4 : position + 8], "little"))
        parts.append(data[position : position + size])
        position += size
    return parts


def stored(data: bytes) -> list[int]:
    """The field of each segment, as it stands in the file."""
    fp = io.BytesIO(data)
    head = reader.read_head(fp)
    found, position = [], head.units_offset
    for size in reader.unit_sizes(fp, head):
        table = data[position + 8 : position + 8 + 13 * len(head.header.grid)]
        found += [entry[3] for entry in chunks.SEGMENT_ENTRY.iter_unpack(table)]
        position += size
    return found


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_crc32_combine_is_the_crc_of_both_and_its_own_inverse(first: bytes, second: bytes) -> None:
    before, own = zlib.crc32(first), zlib.crc32(second)

    assert crc32_combine(before, own, len(second)) == zlib.crc32(first + second)
    assert crc32_combine(before, zlib.crc32(first + second), len(second)) == own


@pytest.mark.parametrize("length", [36_864, 8_355_840])
def test_long_codes_cost_no_more(length: int) -> None:
    assert crc32_combine(1, 2, length) == zlib.crc32(bytes(length), 1) ^ zlib.crc32(bytes(length)) ^ 2


def test_the_reader_undoes_what_the_writer_does() -> None:
    segments = [(7, 3), (0, 0), (2**32 - 1, 100), (9, 1)]
    writer, reader = RunningCrc(5), RunningCrc(5)

    assert [(reader.own(writer.stored(own, length), length), length) for own, length in segments] == segments


def test_the_field_is_the_crc_of_header_alpha_and_all_codes_so_far() -> None:
    file = image(1)
    segments = [segment for unit in file.units for segment in unit]
    start = bytes([1, 0]) + chunks.pack_head(replace(file.header, iterations=1))[2:7] + bytes(1)
    start += chunks.pack_head(file.header)[8:] + ALPHA

    expected = [zlib.crc32(start + b"".join(one.payload for one in segments[: n + 1])) for n in range(6)]

    assert stored(writer.build(file)) == expected


def test_a_stopped_segment_counts_as_one_byte() -> None:
    file = image(1)
    file = replace(file, units=(*file.units[:2], (STOPPED_SEGMENT, raw(b"123456"))))
    fields = stored(writer.build(file))

    assert fields[4] == zlib.crc32(b"\0", fields[3])
    assert fields[5] == zlib.crc32(b"123456", fields[4])


def test_a_stopped_segment_fits_in_no_other_place() -> None:
    """Nor where it would take the last iteration from another tile."""
    file = image(1)
    file = replace(file, units=(*file.units[:2], (STOPPED_SEGMENT, raw(bytes(6)))))
    parts = parts_of(file)
    entry = parts[5][8 : 8 + chunks.SEGMENT_ENTRY.size]
    parts[5] = chunks.pack_chunk(b"ITER", entry + entry)

    with pytest.raises(CorruptError, match=f"^tile 1, iteration 2: {WRONG}"):
        reader.verify(SIGNATURE + b"".join(parts))


@given(files(), st.integers(0, 255))
def test_metadata_minor_version_and_number_of_iterations_are_not_covered(file: RncFile, minor: int) -> None:
    other = replace(file, metadata={"comment": b"other"}, header=replace(file.header, version=(1, minor)))
    truncated = writer.truncate(writer.build(file), 1)

    assert stored(writer.build(other)) == stored(writer.build(file))
    assert stored(truncated) == stored(writer.build(file))[: len(file.header.grid)]


OTHER = 100


@pytest.mark.parametrize(
    ("order", "place"),
    [
        ("HCA132", "tile 0, iteration 1"),
        ("HCA213", "tile 0, iteration 0"),
        ("HCA113", "tile 0, iteration 1"),
        ("HCA12b", "tile 0, iteration 2"),
        ("HCA1b3", "tile 0, iteration 1"),
        ("HCAa23", "tile 0, iteration 1"),
        ("HC123", "tile 0, iteration 0"),
        ("HCX123", "tile 0, iteration 0"),
    ],
)
def test_complete_chunks_in_another_place_or_file_are_rejected(order: str, place: str) -> None:
    """Capitals and digits are chunks of one file, small letters units of another of the same size, X another alpha."""
    own, other = parts_of(image(1)), parts_of(image(OTHER))
    named = dict(zip("HCA123", own, strict=True)) | dict(zip("..xabc", other, strict=True))
    named["X"] = chunks.pack_chunk(b"ALPH", b"\1" + ALPHA[1:])
    data = SIGNATURE + b"".join(named[letter] for letter in order)

    with pytest.raises(CorruptError, match=f"^{place}: {WRONG}"):
        reader.verify(data)
    reader.verify(SIGNATURE + b"".join(own))


@pytest.mark.parametrize(
    "fields", [{"width": 127}, {"height": 63}, {"mode": "LA"}, {"model_id": b"model-ie"}, {"overlap": 16, "width": 112}]
)
def test_the_header_of_another_file_is_rejected(fields: dict[str, int | str | bytes]) -> None:
    parts = parts_of(image(1))
    head = replace(image(1).header, **fields)  # type: ignore[arg-type]
    parts[0] = chunks.pack_chunk(b"HEAD", chunks.pack_head(head))

    with pytest.raises(CorruptError, match=f"^tile 0, iteration 0: {WRONG}"):
        reader.verify(SIGNATURE + b"".join(parts))


def test_tiles_exchanged_within_their_unit_are_rejected() -> None:
    parts = parts_of(image(1))
    value = parts[4][8:-4]
    entry = chunks.SEGMENT_ENTRY.size
    swapped = value[entry : 2 * entry] + value[:entry] + value[2 * entry + 6 :] + value[2 * entry : 2 * entry + 6]
    parts[4] = chunks.pack_chunk(b"ITER", swapped)

    with pytest.raises(CorruptError, match=f"^tile 0, iteration 1: {WRONG}"):
        reader.verify(SIGNATURE + b"".join(parts))


def test_equal_codes_in_two_places_are_distinguished() -> None:
    """Of an image with equal units, two may not be exchanged either: they are not equal bytes."""
    file = image(1)
    file = replace(file, units=(file.units[0],) * 3)
    parts = parts_of(file)

    assert len(set(stored(writer.build(file)))) == 6
    with pytest.raises(CorruptError, match=WRONG):
        reader.verify(SIGNATURE + b"".join([*parts[:3], parts[4], parts[3], parts[5]]))


def test_a_file_without_its_last_units_stays_valid() -> None:
    file = image(1)
    data = writer.build(file)

    for iterations in (1, 2, 3):
        truncated = writer.truncate(data, iterations)
        assert reader.parse(truncated).units == file.units[:iterations]
        assert truncated.endswith(b"".join(parts_of(file)[3 : 3 + iterations]))
