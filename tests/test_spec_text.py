"""The tables and the example of the specification equal the real bytes and the schema."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from pillow_rnc import container, schema
from pillow_rnc.chunks import HEAD_FIELDS
from pillow_rnc.container import Coding, Header, RncFile, Segment

SPEC = (Path(__file__).parent.parent / "spec" / "rnc-format.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", SPEC, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def rows(title: str) -> list[list[str]]:
    """Cells of the table rows of a section that start with a code word or a number."""
    lines = re.findall(r"^\| ((?:`|0x).*) \|$", section(title), re.MULTILINE)
    return [[cell.strip(" `") for cell in re.split(r" \| ", line)] for line in lines]


def example_bytes() -> bytes:
    return bytes.fromhex("".join(re.findall(r"^[0-9a-f]{8}: (.*)$", section("Example"), re.MULTILINE)))


def test_the_example_is_what_the_package_writes_and_reads() -> None:
    codes = b"\xa5\xf0"
    segment = Segment(Coding.RAW, codes, zlib.crc32(codes))
    header = Header(3, 2, "RGB", 1, 4, 8, 64, 0, bytes.fromhex("0123456789abcdef"))
    file = RncFile(header, {"comment": b"hi"}, None, ((segment,),))

    assert container.build(file) == example_bytes()
    assert container.parse(example_bytes()) == file


def test_the_walk_through_the_example_covers_every_byte() -> None:
    position = 0
    for start, length, contents, _ in rows("Example"):
        assert int(start, 16) == position
        assert bytes.fromhex(contents) == example_bytes()[position : position + int(length)]
        position += int(length)

    assert position == len(example_bytes())


def test_the_header_table_is_the_schema() -> None:
    offset = 0
    declared = []
    for field in schema.HEAD.subcons:
        declared.append([field.name, offset, field.sizeof()])
        offset += field.sizeof()

    written = [[name.lower(), int(start), int(length)] for name, start, length, _ in rows("Header")]

    assert written == declared
    assert offset == HEAD_FIELDS.size
    assert f"`HEAD` is {offset} bytes long" in SPEC


def test_the_segment_table_is_the_schema() -> None:
    lengths = [int(length) for _, length, _ in rows("Units")]

    assert lengths == [field.sizeof() for field in schema.SEGMENT_ENTRY.subcons]
    assert f"{sum(lengths)} \u00d7 N" in section("Units")


def test_the_signature_is_the_one_in_the_text() -> None:
    assert container.SIGNATURE.hex(" ") in section("Signature")


def test_the_check_value_of_the_crc_is_right() -> None:
    assert f"{zlib.crc32(b'123456789'):#010x}" in section("Conventions")
