"""The tables and the example of the specification equal the real bytes and the schema."""

from __future__ import annotations

import json
import math
import re
import struct
import zlib
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference_decoder
import reference_embedded
import reference_operations
import reference_weights

from pillow_rnc.container import reader, records, schema, validation, writer
from pillow_rnc.container.chunks import HEAD_FIELDS
from pillow_rnc.container.records import Coding, Header, RncFile, Segment
from pillow_rnc.container.signature import SIGNATURE
from pillow_rnc.entropy import tables
from pillow_rnc.entropy.schedule import NO_LEVEL
from pillow_rnc.errors import WeightsError
from pillow_rnc.models import basis
from pillow_rnc.models.config import EmbeddedConfig, RecurrentConfig, config_from_mapping

FOLDER = Path(__file__).parent.parent / "spec"
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
    codes = b"\xa5\x84"
    segment = Segment(Coding.RAW, codes, zlib.crc32(codes))
    header = Header(3, 2, "RGB", 1, 4, 8, 64, 0, bytes.fromhex("0123456789abcdef"))
    file = RncFile(header, {"comment": b"hi"}, None, ((segment,),))

    assert writer.build(file) == example_bytes()
    assert reader.parse(example_bytes()) == file


def test_the_walk_through_the_example_covers_every_byte() -> None:
    position = 0
    for start, length, contents, _ in rows("Example"):
        assert int(start, 16) == position
        assert bytes.fromhex(contents) == example_bytes()[position : position + int(length)]
        position += int(length)

    assert position == len(example_bytes())


def test_the_checksums_of_the_example_are_of_the_bytes_that_the_walk_names() -> None:
    data = example_bytes()
    found = 0
    for start, _, _, text in rows("Example"):
        named = re.findall(r"0x([0-9a-f]{2})\.\.0x([0-9a-f]{2})", text)
        if named:
            covered = b"".join(data[int(first, 16) : int(last, 16) + 1] for first, last in named)
            if "with 0 at 0x17" in text:
                covered = covered[:7] + b"\0" + covered[8:]
            assert int.from_bytes(data[int(start, 16) : int(start, 16) + 4], "little") == zlib.crc32(covered)
            found += 1

    assert found == 2


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


def test_the_density_table_is_what_is_packed() -> None:
    table = [row for row in rows("Metadata") if row[0].endswith("ator")]

    assert [(int(start), int(length)) for _, start, length, _ in table] == [(0, 4), (4, 4), (8, 4), (12, 4)]
    packed = struct.unpack("<4I", records.pack_dpi((72, 300.5)))
    assert dict(zip((row[0] for row in table), packed, strict=True)) == {
        "X_Numerator": 72,
        "X_Denominator": 1,
        "Y_Numerator": 601,
        "Y_Denominator": 2,
    }


def test_the_signature_is_the_one_in_the_text() -> None:
    assert SIGNATURE.hex(" ") in section("Signature")


def test_the_check_value_of_the_crc_is_right() -> None:
    assert f"{zlib.crc32(b'123456789'):#010x}" in section("Conventions")


def test_the_example_is_valid_for_the_reference_decoder() -> None:
    source = reference_decoder.Input(example_bytes())
    header = reference_decoder.read_header(source)
    assert reference_decoder.read_optional_chunks(source, header) == {b"comm": b"hi"}
    (unit,) = reference_decoder.read_units(source, header, b"", tolerant=False)
    first, second, third, fourth = reference_decoder.unpack_bits(unit[0].payload, 4, 4)

    assert (first, second, third, fourth) == ([1, 0, 1, 0], [0, 1, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0])


def test_the_tables_of_the_entropy_network_are_those_of_the_package() -> None:
    for name, table in (("SIGMOID", tables.SIGMOID), ("TANH", tables.TANH), ("PROBABILITY", tables.PROBABILITY)):
        found = re.search(rf"^`{name}\[i\]`.*\n.*\n\n((?:    .*\n)+)", section("Tables"), re.MULTILINE)
        assert found is not None
        assert [int(word) for word in found[1].split()] == table.tolist()
        assert f"{zlib.crc32(table.tobytes()):#010X}".replace("0X", "0x") in section("Tables")


def test_the_steps_and_colours_of_the_coefficients_are_those_of_the_network() -> None:
    text = section("Coefficients")
    table = re.findall(r"^ +((?:\d+ +){7}\d+)$", text, re.MULTILINE)
    rows_of_steps = tuple(tuple(map(int, row.split())) for row in table)
    colours = [
        tuple(float(sign + number) for sign, number in re.findall(r"(-?) ?(\d\.\d+) +[RGB]", line.replace("+", "")))
        for line in re.findall(r"^    [YC][br ]? += (.*)$", text, re.MULTILINE)
    ]

    assert rows_of_steps == basis.LUMINANCE_STEPS == reference_embedded.STEPS
    assert tuple(colours) == basis.YCBCR


def test_the_filter_across_borders_undoes_that_of_the_network() -> None:
    line = np.random.default_rng(5).normal(size=24)
    expected = line.copy()
    for border in (8, 16):
        part = slice(border - 4, border + 4)
        expected[part] = np.linalg.solve(basis.overlap_filter(), expected[part])

    np.testing.assert_allclose(reference_operations.filtered(line.tolist()), expected, atol=1e-12)
    assert f"f(0) = 1 / {reference_operations.SCALES[0]}," in section("Coefficients")


def weights_header(name: str) -> dict[str, Any]:
    data = (FOLDER / "vectors" / name).read_bytes()
    description: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return description


def test_a_pair_is_idle_at_the_level_of_the_package() -> None:
    assert NO_LEVEL == reference_weights.IDLE
    assert f"*idle* if `level[t, p]` is {NO_LEVEL:.0f};" in section("Iteration schedule")


def test_the_config_table_lists_every_member() -> None:
    names = {name for name, _, _ in rows("Weights file")} - {"dtype", "shape", "data_offsets"}
    recurrent = {"framework", "network", "encoder_channels", "paper_divisor"}

    assert names == {"family", *(field.name for field in fields(EmbeddedConfig))} | recurrent
    assert names - {"decoder_steps"} == {"family", *(field.name for field in fields(RecurrentConfig))}
    names -= recurrent
    assert names == set(json.loads(weights_header("complete.safetensors")["__metadata__"]["config"]))


def test_the_ranges_of_the_config_table_are_those_of_the_package_and_the_reference() -> None:
    found = {name: re.match(r"(?:even )?integer, (\d+) to (\d+)$", kind) for name, kind, _ in rows("Weights file")}
    ranges = {name: (int(one[1]), int(one[2])) for name, one in found.items() if one}
    for name, (low, high) in ranges.items():
        family = "recurrent" if name == "encoder_channels" else "embedded"
        for value in (low, high):
            assert getattr(config_from_mapping({"family": family, name: value}), name) == value
        for value in (low - 1, high + 1):
            with pytest.raises(WeightsError, match=name):
                config_from_mapping({"family": family, name: value})
    channels = (reference_weights.CHANNELS[0], reference_weights.CHANNELS[-1])
    assert {name for name in ranges if ranges[name] == channels} == {
        *("entropy_state_channels", "entropy_hidden_channels"),
        *("decoder_channels", "context_channels", "encoder_channels"),
    }
    assert ranges.keys() > {"iterations", "code_channels", "decoder_steps"}


def test_the_limit_of_passes_is_that_of_the_package_and_the_reference() -> None:
    assert "list of 1 to 64 lists" in section("Weights file")
    for count in (64, 66):
        passes = [[lattice, channel, channel + 1] for channel in range(count // 2) for lattice in (0, 1)]
        table = {"family": "recurrent", "code_channels": count // 2, "passes": passes}
        if count == 64:
            assert len(config_from_mapping(table).passes) == count
            reference_weights.check_passes(passes, count // 2, dense=True)
        else:
            with pytest.raises(WeightsError, match="passes is"):
                config_from_mapping(table)
            with pytest.raises(reference_weights.ModelError, match="passes is"):
                reference_weights.check_passes(passes, count // 2, dense=True)


@pytest.mark.parametrize("name", ["complete.safetensors", "odd.safetensors"])
def test_the_tables_of_tensors_are_those_of_a_weights_file(name: str) -> None:
    description = weights_header(name)
    config = json.loads(description.pop("__metadata__")["config"])
    sizes = {"C": config["code_channels"], "K": config["entropy_state_channels"], "T": config["iterations"]}
    sizes |= {"F": config["entropy_hidden_channels"], "P": len(config["passes"]), "G": config["code_channels"] // 2}
    sizes["M"] = sizes["G"]
    sizes |= {"D": config["decoder_channels"], "E": config["context_channels"]}
    sizes["S"] = description["entropy.accumulator.weight"]["shape"][2]
    found = {tensor: entry["shape"] for tensor, entry in description.items() if "encoder" not in tensor}

    expected = {tensor: shape_of(shape, sizes) for tensor, _, shape in rows("Tensors")}
    expected |= {tensor: shape_of(shape, sizes) for tensor, shape in rows("Iteration schedule")}
    if any(tensor.startswith("network.decoder.") for tensor in found):
        table = [row for row in rows("Tensors of the decoder") if len(row) == 2]
        for tensor, shape in table:
            for t in range(sizes["T"]) if ".t." in tensor else (0,):
                expected[tensor.replace(".t.", f".{t}.")] = shape_of(shape, sizes)
        cells = re.findall(r"^\| `(\.\w+[^`]*)` \| ([^|]*) \| [^|]* \|$", SPEC, re.MULTILINE)
        for cell, n in (("context", sizes["E"]), ("detail", sizes["D"])):
            expected |= {f"network.decoder.{cell}{name}": shape_of(shape, {"n": n}) for name, shape in cells}

    types = {tensor: kind for tensor, kind, _ in rows("Tensors")}

    assert expected == found
    assert {types.get(tensor, "F32").replace("int", "I") for tensor in found} <= set(
        re.findall(r"`([IF]\d+)`", section("Weights file"))
    )
    assert {tensor: description[tensor]["dtype"] for tensor in types} == {
        tensor: kind.replace("int", "I") for tensor, kind in types.items()
    }


def shape_of(text: str, sizes: dict[str, int]) -> list[int]:
    """Return the sizes of a text such as `T - 1, 2K, 3, 3`; of `-`, none."""
    if text == "-":
        return []
    terms = [re.sub(r"(\d)([A-Zn])", r"\1 * \2", term) for term in text.split(", ")]
    return [product_minus(term, sizes) for term in terms]


def product_minus(term: str, sizes: dict[str, int]) -> int:
    term, *divisors = term.split(" / ")
    product, *less = term.split(" - ")
    factors = [sizes[word] if word in sizes else int(word) for word in product.split(" * ")]
    return (int(np.prod(factors)) - sum(map(int, less))) // math.prod(map(int, divisors))


@pytest.mark.parametrize("field", ["Width", "Height", "Iterations", "Code_Channels", "Tile_Size", "Overlap"])
def test_the_ranges_of_the_header_table_are_those_of_the_package(field: str) -> None:
    text = next(row[-1] for row in rows("Header") if row[0] == field)
    found = re.match(r"(\d+)\.\.(\d+)(?:, a multiple of (\d+))?", text)
    assert found is not None
    low, high, step = int(found[1]), int(found[2]), int(found[3] or 1)
    header = Header(100, 100, "RGB", 1, 8, 8, 512, 0, bytes(8))

    def is_valid(value: int) -> bool:
        return not list(validation.header_violations(replace(header, **{field.lower(): value})))  # type: ignore[arg-type]

    assert [is_valid(value) for value in (low, low + step, high)] == [True] * 3
    assert not any(is_valid(value) for value in (low - step, high + step))
    assert step == 1 or not is_valid(low + step // 2)


def test_the_header_table_has_the_modes_and_strides_of_the_package() -> None:
    ranges = {row[0]: row[-1] for row in rows("Header")}

    assert ranges["Code_Stride"] == " or ".join(map(str, records.CODE_STRIDES))
    assert ranges["Mode"] == f"0..{len(records.MODES) - 1}"
    assert ranges["Overlap"].endswith("at most `Tile_Size` / 2")
    assert not list(validation.header_violations(Header(9, 9, "L", 1, 8, 8, 64, 32, bytes(8))))
    assert list(validation.header_violations(Header(9, 9, "L", 1, 8, 8, 64, 48, bytes(8))))


def test_the_limits_of_the_text_are_those_of_the_package() -> None:
    assert f"more than {records.MAX_OPTIONAL_CHUNKS} chunks" in section("Chunks")
    factor, constant = re.findall(r"1 to (\d) \S `Width` \S `Height` \+ (\d+)", section("Alpha"))[0]
    largest = validation.max_alpha_bytes(Header(30, 20, "LA", 1, 8, 8, 64, 0, bytes(8)))
    assert int(factor) * 30 * 20 + int(constant) == largest
    for number in (records.MAX_METADATA_BYTES, records.MAX_METADATA_TOTAL_BYTES):
        assert f"{number:,}".replace(",", " ") in section("Metadata")
        assert f"{number:,}".replace(",", " ") in section("Chunks")


def test_every_fault_is_a_class_of_both_decoders() -> None:
    faults = [name for name, _ in rows("Conventions")]

    assert sorted(faults) == sorted(one.fault for one in reference_decoder.Rejected.__subclasses__())
    assert all(f'"{name}"' in (FOLDER / "decoder.c").read_text(encoding="utf-8") for name in faults)


def test_chunks_of_the_text_are_those_of_the_package_in_their_order() -> None:
    types = [row[0].encode() for row in rows("Chunks") if row[-1] in ("yes", "no") or "times" in row[-1]]

    assert types == [records.HEAD_TYPE, *records.METADATA_TYPES.values(), records.ALPHA_TYPE, records.UNIT_TYPE]


def test_every_must_is_written_in_capitals() -> None:
    normative = SPEC[: SPEC.index("## Commentary")].replace(section("Encoding"), "")

    assert re.findall(r".*\b(?:must|shall|should)\b.*", normative) == []
