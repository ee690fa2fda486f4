"""The reference decoder and the package agree: on codes, and on which files are rejected and why."""

from __future__ import annotations

import ast
import json
import struct
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import numpy as np
import pytest
import reference_decoder
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from vectors.assemble import Draft, Plan, code_units, read_model
from vectors.make_weights import ODD_CONFIG, code_weights, complete_weights, odd_weights

from pillow_rnc.container import reader, records, writer
from pillow_rnc.container.records import Coding, Header, Segment
from pillow_rnc.entropy import tables
from pillow_rnc.entropy.tile_coder import decode_tile
from pillow_rnc.errors import RncFileError, UnsupportedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

WEIGHTS = complete_weights(11)
MODEL = read_model(WEIGHTS).entropy_model
BASE = Header(1, 1, "RGB", 1, 8, 8, 64, 16, read_model(WEIGHTS).model_id)


def _file(seed: int, width: int, height: int, *, iterations: int = 2, plan: Plan | None = None) -> bytes:
    """Return a file of random codes."""
    header = replace(BASE, width=width, height=height, iterations=iterations)
    units = code_units(header, MODEL, Random(seed), plan or Plan())  # noqa: S311 -- to be repeated
    return Draft(header, (), units).bytes()


def _package_codes(data: bytes) -> list[NDArray[np.uint8]]:
    file = reader.parse(data)
    header = file.header
    fits = (header.code_channels, header.code_stride) == (MODEL.code_channels, 8)
    if not fits or header.iterations > MODEL.iterations:
        raise UnsupportedError("as `codec` does, which knows the model")
    decoded = []
    for index, tile in enumerate(header.grid):
        segments = [unit[index] for unit in file.units]
        decoded.append(decode_tile(segments, MODEL, header.code_shape(tile)[1:], tile=index))
    return decoded


def _both_accept(data: bytes) -> bool:
    """Return whether both decoders accept, after checking that they agree on class or codes."""
    try:
        expected = _package_codes(data)
    except RncFileError as error:
        with pytest.raises(reference_decoder.Rejected) as caught:
            reference_decoder.decode(data, WEIGHTS)
        same_class = caught.type.__name__ == type(error).__name__
        assert same_class, (error, caught.value)  # noqa: PT017
        return False
    _, codes = reference_decoder.decode(data, WEIGHTS)
    assert [len(planes) for planes in codes] == [len(planes) for planes in expected]
    for planes, one in zip(codes, expected, strict=True):
        assert planes == one.reshape(*one.shape[:2], -1).tolist()
    return True


PLANS = [Plan(rule, raw=raw) for rule in ("likely", "surest", "noise", "ones") for raw in ("none", "odd")]


@settings(max_examples=12)
@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 60), st.integers(1, 6), st.sampled_from(PLANS))
def test_both_decode_the_same_codes(seed: int, width: int, height: int, iterations: int, plan: Plan) -> None:
    assert _both_accept(_file(seed, width, height, iterations=iterations, plan=plan))


def test_both_decode_the_same_codes_of_many_tiles() -> None:
    assert _both_accept(_file(1, 150, 70, iterations=3, plan=Plan(stops={0: 2, 3: 1})))


def test_both_decode_the_same_codes_at_the_size_of_a_real_model() -> None:
    passes = [[2, 0, 24], [3, 0, 24], [1, 0, 24]]
    sizes = {"code_channels": 48, "entropy_state_channels": 64, "entropy_hidden_channels": 64}
    weights = code_weights(ODD_CONFIG | sizes | {"iterations": 3, "passes": passes}, 4, accumulators=40)
    model = read_model(weights)
    header = Header(64, 64, "RGB", 3, 48, 16, 64, 0, model.model_id)
    units = code_units(header, model.entropy_model, Random(4), Plan())  # noqa: S311 -- to be repeated
    _, (planes,) = reference_decoder.decode(Draft(header, (), units).bytes(), weights)

    assert [entry.coding for (entry,) in units] == [Coding.ENTROPY] * 3
    assert [zlib.crc32(reference_decoder.pack_bits(plane)) for plane in planes] == [
        entry.codes_crc for (entry,) in units
    ]
    assert sum(map(sum, planes[2][24:])) > 0, "no sign in the third iteration"


def test_both_accept_files_with_metadata() -> None:
    file = reader.parse(_file(2, 20, 20))
    metadata = {"comment": b"x", "dpi": records.pack_dpi((72, 72)), "icc_profile": b"profile"}

    assert _both_accept(writer.build(replace(file, metadata=metadata)))


def _entropy_coded_file() -> bytes:
    data = _file(3, 48, 40)
    assert any(segment.coding is Coding.ENTROPY for unit in reader.parse(data).units for segment in unit)
    return data


DAMAGED = _entropy_coded_file()


@settings(max_examples=150)
@given(st.integers(0, 8 * len(DAMAGED) - 1))
def test_both_reject_a_flipped_bit_alike(position: int) -> None:
    data = bytearray(DAMAGED)
    data[position // 8] ^= 1 << position % 8

    assert not _both_accept(bytes(data))


def test_both_reject_every_truncation_alike() -> None:
    for length in range(len(DAMAGED)):
        assert not _both_accept(DAMAGED[:length])
    assert not _both_accept(DAMAGED + b"\0")


@settings(max_examples=60)
@given(st.integers(0, 21), st.integers(0, 255))
def test_both_treat_a_changed_header_alike(position: int, value: int) -> None:
    """With the CRC repaired, so that the rules of the fields are reached."""
    data = bytearray(DAMAGED)
    if position < 14:  # the model id is checked later than in the package
        data[16 + position] = value
    data[38:42] = zlib.crc32(data[8:38]).to_bytes(4, "little")

    _both_accept(bytes(data))


@settings(max_examples=100)
@given(st.binary(max_size=60), st.integers(0, 2**32 - 1), st.booleans())
def test_both_treat_a_forged_payload_alike(payload: bytes, seed: int, keep_crc: bool) -> None:
    """All checksums repaired, so that the range coder itself must decide."""
    file = reader.parse(DAMAGED)
    first = file.units[0][0]
    if seed % 2:
        words = bytearray(first.payload)
        words[seed % len(words)] ^= 1 << seed % 8
        payload = bytes(words)
    payload = payload[: min(len(payload), len(first.payload)) // 4 * 4] or bytes(4)
    forged = Segment(Coding.ENTROPY, payload, first.codes_crc if keep_crc else seed)

    _both_accept(writer.build(replace(file, units=((forged,), file.units[1]))))


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(0, 8 * 36 - 1))
def test_both_treat_a_changed_raw_bit_alike(seed: int, position: int) -> None:
    """All checksums right; the bit may be inferred, which both detect."""
    file = reader.parse(_file(seed % 5, 48, 40, iterations=1 + seed % 6, plan=Plan("noise", raw="all")))
    (last,) = file.units[-1]
    payload = bytearray(last.payload)
    payload[position // 8] ^= 1 << position % 8
    changed = Segment(Coding.RAW, bytes(payload), zlib.crc32(payload))

    _both_accept(writer.build(replace(file, units=(*file.units[:-1], (changed,)))))


@given(st.lists(st.integers(1, 65535), min_size=1, max_size=200), st.binary(max_size=40))
def test_both_range_coders_accept_the_same_payloads(p1_q16: list[int], payload: bytes) -> None:
    from pillow_rnc.entropy.range_coder import SegmentDecoder

    payload = payload[: len(payload) // 4 * 4]
    try:
        decoder = SegmentDecoder(payload)
        expected = decoder.decode(np.array(p1_q16, dtype=np.uint16)).tolist()
        decoder.finish()
    except RncFileError:
        expected = None
    try:
        reference = reference_decoder.RangeDecoder(payload)
        bits: list[int] | None = [reference.bit(one) for one in p1_q16]
        reference.finish()
    except reference_decoder.Rejected:
        bits = None

    assert bits == expected


def test_tables_are_those_of_the_package() -> None:
    assert list(reference_decoder.SIGMOID) == tables.SIGMOID.tolist()
    assert list(reference_decoder.TANH) == tables.TANH.tolist()
    assert list(reference_decoder.PROBABILITY) == tables.PROBABILITY.tolist()


def test_other_weights_are_unsupported() -> None:
    with pytest.raises(reference_decoder.UnsupportedError):
        reference_decoder.decode(DAMAGED, odd_weights())


def test_a_model_of_another_family_is_unsupported() -> None:
    (size,) = struct.unpack("<Q", WEIGHTS[:8])
    config = json.loads(json.loads(WEIGHTS[8 : 8 + size])["__metadata__"]["config"]) | {"family": "quantized"}
    weights = save(load(WEIGHTS), metadata={"config": json.dumps(config)})
    header = replace(BASE, model_id=read_model(weights).model_id)
    data = Draft(header, (), code_units(header, MODEL, Random(1), Plan())).bytes()  # noqa: S311 -- to be repeated

    with pytest.raises(reference_decoder.UnsupportedError, match="family"):
        reference_decoder.decode(data, weights)


@pytest.mark.parametrize(
    "path", sorted(Path(reference_decoder.__file__).parent.glob("reference_*.py")), ids=lambda path: path.stem
)
def test_it_imports_the_standard_library_alone(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    outside = {name.split(".")[0] for name in names} - set(sys.stdlib_module_names)

    assert outside <= {one.stem for one in path.parent.glob("reference_*.py")}


def test_the_command_prints_the_codes_of_each_tile_and_iteration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.rnc").write_bytes(DAMAGED)
    (tmp_path / "a.safetensors").write_bytes(WEIGHTS)
    reference_decoder.main([str(tmp_path / "a.safetensors"), str(tmp_path / "a.rnc")])

    expected = [zlib.crc32(np.packbits(plane).tobytes()) for plane in _package_codes(DAMAGED)[0]]
    assert [line.split()[3] for line in capsys.readouterr().out.splitlines()] == [f"{crc:08x}" for crc in expected]
