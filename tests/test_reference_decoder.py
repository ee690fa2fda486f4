"""The reference decoder and the package agree: on codes, and on which files are rejected and why."""

from __future__ import annotations

import ast
import hashlib
import json
import sys
import zlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import reference_decoder
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save
from tiny_models import FIVE_PASSES, likely_codes, passes_of, tiny_tensors

from pillow_rnc import container, tables
from pillow_rnc.codestream import decode_tile, encode_tile
from pillow_rnc.entropy_model import EntropyModel
from pillow_rnc.errors import RncFileError, UnsupportedError
from pillow_rnc.records import STOPPED_SEGMENT, Coding, Header, RncFile, Segment
from pillow_rnc.tiling import TileGrid

if TYPE_CHECKING:
    from numpy.typing import NDArray

TENSORS = tiny_tensors(11, spread=25)
CONFIG = {"code_channels": 4, "code_stride": 8, "iterations": 4, "passes": FIVE_PASSES}
WEIGHTS = save(TENSORS, metadata={"config": json.dumps(CONFIG)})
MODEL = EntropyModel.from_tensors(TENSORS, FIVE_PASSES)
BASE = Header(1, 1, "RGB", 1, 4, 8, 64, 16, hashlib.sha256(WEIGHTS).digest()[:8])


def _file(
    seed: int, width: int, height: int, *, iterations: int = 2, likely: bool = False, stops: bool = False
) -> bytes:
    """Return a file of random codes: some segments raw, some entropy-coded, some stopped."""
    header = replace(BASE, width=width, height=height, iterations=iterations)
    random = np.random.default_rng(seed)
    columns = []
    for tile in TileGrid(width, height, header.tile_size, header.overlap):
        _, *grid = header.code_shape(tile)
        codes = likely_codes(MODEL, seed, iterations, *grid)
        if not likely:
            codes ^= random.random(codes.shape) < 0.1
        segments = encode_tile(codes, MODEL)
        kept = int(random.integers(1, iterations + 1)) if stops else iterations
        columns.append(segments[:kept] + [STOPPED_SEGMENT] * (iterations - kept))
    return container.build(RncFile(header, units=tuple(zip(*columns, strict=True))))


def _package_codes(data: bytes) -> list[NDArray[np.uint8]]:
    file = container.parse(data)
    header = file.header
    fits = (header.code_channels, header.code_stride) == (MODEL.code_channels, 8)
    if not fits or header.iterations > MODEL.iterations:
        raise UnsupportedError("as `codec` does, which knows the model")
    decoded = []
    for index, tile in enumerate(header.grid):
        segments = [unit[index] for unit in file.units]
        decoded.append(decode_tile(segments, MODEL, header.code_shape(tile)[1:], tile=index))
    return decoded


def _same_verdict(data: bytes) -> bool:
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


@settings(max_examples=12)
@given(
    st.integers(0, 2**32),
    st.integers(1, 60),
    st.integers(1, 60),
    st.integers(1, 4),
    st.booleans(),
)
def test_both_decode_the_same_codes(seed: int, width: int, height: int, iterations: int, likely: bool) -> None:
    assert _same_verdict(_file(seed, width, height, iterations=iterations, likely=likely))


def test_both_decode_the_same_codes_of_many_tiles() -> None:
    assert _same_verdict(_file(1, 150, 70, iterations=3, stops=True))


def test_both_decode_the_same_codes_at_the_size_of_a_real_model() -> None:
    passes = passes_of(32, 2)
    tensors = tiny_tensors(4, passes=passes, state=64, hidden=64, iterations=2, spread=12)
    weights = save(tensors, metadata={"config": "{}"})
    model = EntropyModel.from_tensors(load(weights), passes)
    codes = likely_codes(model, 4, 2, 4, 3)
    network = reference_decoder.Network(reference_decoder.read_weights(weights)[0], [list(one) for one in passes], 4, 3)
    for t, (segment, plane) in enumerate(zip(encode_tile(codes, model), codes, strict=True)):
        if t:
            network.update(t, codes[t - 1].reshape(32, -1).tolist())
        decoded = network.decode(t, reference_decoder.RangeDecoder(segment.payload))

        assert segment.coding is Coding.ENTROPY
        assert decoded == plane.reshape(32, -1).tolist()


def test_both_accept_files_with_metadata() -> None:
    file = container.parse(_file(2, 20, 20))
    metadata = {"comment": b"x", "dpi": container.pack_dpi((72, 72)), "icc_profile": b"profile"}

    assert _same_verdict(container.build(replace(file, metadata=metadata)))


def _entropy_coded_file() -> bytes:
    data = _file(3, 48, 40, likely=True)
    assert any(segment.coding is Coding.ENTROPY for unit in container.parse(data).units for segment in unit)
    return data


DAMAGED = _entropy_coded_file()


@settings(max_examples=150)
@given(st.integers(0, 8 * len(DAMAGED) - 1))
def test_both_reject_a_flipped_bit_alike(position: int) -> None:
    data = bytearray(DAMAGED)
    data[position // 8] ^= 1 << position % 8

    assert not _same_verdict(bytes(data))


def test_both_reject_every_cut_alike() -> None:
    for length in range(len(DAMAGED)):
        assert not _same_verdict(DAMAGED[:length])
    assert not _same_verdict(DAMAGED + b"\0")


@settings(max_examples=60)
@given(st.integers(0, 21), st.integers(0, 255))
def test_both_judge_a_changed_header_alike(position: int, value: int) -> None:
    """With the CRC repaired, so that the rules of the fields are reached."""
    data = bytearray(DAMAGED)
    if position < 14:  # the model is asked for later than the package's container can know
        data[16 + position] = value
    data[38:42] = zlib.crc32(data[8:38]).to_bytes(4, "little")

    _same_verdict(bytes(data))


@settings(max_examples=100)
@given(st.binary(max_size=60), st.integers(0, 2**32 - 1), st.booleans())
def test_both_judge_a_forged_payload_alike(payload: bytes, seed: int, keep_crc: bool) -> None:
    """All checksums repaired, so that the range coder itself must decide."""
    file = container.parse(DAMAGED)
    first = file.units[0][0]
    if seed % 2:
        words = bytearray(first.payload)
        words[seed % len(words)] ^= 1 << seed % 8
        payload = bytes(words)
    payload = payload[: min(len(payload), len(first.payload)) // 4 * 4] or bytes(4)
    forged = Segment(Coding.ENTROPY, payload, first.codes_crc if keep_crc else seed)

    _same_verdict(container.build(replace(file, units=((forged,), file.units[1]))))


@given(st.lists(st.integers(1, 65535), min_size=1, max_size=200), st.binary(max_size=40))
def test_both_range_coders_accept_the_same_payloads(k: list[int], payload: bytes) -> None:
    from pillow_rnc.range_coder import SegmentDecoder

    payload = payload[: len(payload) // 4 * 4]
    try:
        decoder = SegmentDecoder(payload)
        expected = decoder.decode(np.array(k, dtype=np.uint16)).tolist()
        decoder.finish()
    except RncFileError:
        expected = None
    try:
        reference = reference_decoder.RangeDecoder(payload)
        bits: list[int] | None = [reference.bit(one) for one in k]
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
        reference_decoder.decode(DAMAGED, save(tiny_tensors(12)))


def test_it_imports_the_standard_library_alone() -> None:
    tree = ast.parse(Path(reference_decoder.__file__).read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert {name.split(".")[0] for name in names} <= set(sys.stdlib_module_names)


def test_the_command_prints_the_codes_of_each_tile_and_iteration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.rnc").write_bytes(DAMAGED)
    (tmp_path / "a.safetensors").write_bytes(WEIGHTS)
    reference_decoder.main([str(tmp_path / "a.safetensors"), str(tmp_path / "a.rnc")])

    expected = [zlib.crc32(np.packbits(plane).tobytes()) for plane in _package_codes(DAMAGED)[0]]
    assert [line.split()[3] for line in capsys.readouterr().out.splitlines()] == [f"{crc:08x}" for crc in expected]
