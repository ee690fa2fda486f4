"""The kernel's entropy coding is NumPy's bit by bit, on every instruction set of this machine."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import (
    FIVE_PASSES,
    PAIR_PASSES,
    encode_tile,
    likely_codes,
    noise_codes,
    pair_model,
    pair_tables,
    passes_of,
    tiny_model,
    tiny_tensors,
)

from pillow_rnc.container.records import Coding
from pillow_rnc.entropy.kernel import library
from pillow_rnc.entropy.kernel.coder import EntropyKernel, EntropyTile
from pillow_rnc.entropy.kernel.segments import decode_segment
from pillow_rnc.entropy.model import EntropyModel
from pillow_rnc.entropy.range_coder import SegmentDecoder, SegmentEncoder
from pillow_rnc.entropy.tile_coder import code_plane
from pillow_rnc.errors import CorruptError, UnsupportedError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray

    Codes = NDArray[np.uint8]

pytestmark = pytest.mark.skipif(not library.supported(), reason="the kernel was not built")

SETS = library.supported()
ORDERS = (PAIR_PASSES, ((1, 0, 4), (3, 0, 4), (2, 0, 4)), ((0, 0, 4), (1, 0, 4)), ((2, 0, 4), (1, 0, 4), (3, 0, 4)))

# Where all bits are coded: groups of channels, also of parts of four channels, in any order.
GROUPS = (
    FIVE_PASSES,
    ((0, 0, 1), (1, 0, 1)),
    passes_of(12, 2),
    passes_of(9, 3),
    ((2, 0, 16), (3, 0, 16), (1, 0, 16), (2, 16, 32), (3, 16, 32), (1, 16, 32)),
    ((1, 3, 6), (2, 0, 3), (0, 3, 6), (3, 0, 3), (1, 0, 3)),
    ((1, 10, 20), (1, 0, 10), (0, 0, 10), (2, 10, 20), (3, 10, 20)),
)


@pytest.fixture(autouse=True, scope="module")
def _numpy_is_the_reference() -> Iterator[None]:
    """Let the package code with NumPy, so that the kernel is not compared with itself."""
    with mock.patch.dict(os.environ, {library.VARIABLE: "0"}):
        yield


def _kernel(model: EntropyModel, instruction_set: str) -> EntropyKernel:
    return EntropyKernel(model.tensors, model.schedule, instruction_set)


def _all_agree(model: EntropyModel, codes: Codes) -> None:
    """Check that payloads and planes of each instruction set are those of the package."""
    grid_h, grid_w = codes.shape[2:]
    segments = encode_tile(codes, model)
    for name in SETS:
        kernel = _kernel(model, name)
        encoder, decoder = EntropyTile(kernel, grid_h, grid_w), EntropyTile(kernel, grid_h, grid_w)
        for plane, segment in zip(codes, segments, strict=True):
            payload = encoder.encode(plane, -(-plane.size // 8))
            if segment.coding is Coding.ENTROPY:
                assert payload == segment.payload, name
                assert decoder.decode(payload).tobytes() == plane.tobytes(), name
            else:
                assert payload is None, name
                decoder.take(plane)


@st.composite
def coded_models(
    draw: st.DrawFn, orders: Sequence[tuple[tuple[int, int, int], ...]], tables: dict[str, Any]
) -> tuple[EntropyModel, Codes]:
    """Draw a network whose passes are one of the orders, and codes for it."""
    seed, passes = draw(st.integers(0, 2**16)), draw(st.sampled_from(orders))
    state, hidden, accumulators = draw(st.sampled_from([(8, 8, 6), (1, 1, 1), (5, 3, 9), (12, 17, 4)]))
    spread = draw(st.sampled_from([1.0, 20.0, 40.0, 400.0]))
    tensors = tiny_tensors(seed, passes=passes, state=state, hidden=hidden, accumulators=accumulators, spread=spread)
    model = EntropyModel.from_tensors(tensors | tables, passes)
    make = draw(st.sampled_from([likely_codes, noise_codes]))
    return model, make(model, seed, 4, draw(st.integers(1, 14)), draw(st.integers(1, 14)))


@given(coded_models(ORDERS, pair_tables()))
def test_payloads_and_planes_are_those_of_numpy(coded: tuple[EntropyModel, Codes]) -> None:
    _all_agree(*coded)


@given(coded_models(GROUPS, {}))
def test_learned_codes_and_their_payloads_are_those_of_numpy(coded: tuple[EntropyModel, Codes]) -> None:
    _all_agree(*coded)


@pytest.mark.parametrize("grid", [(1, 97), (97, 1), (64, 96), (51, 50)])
@pytest.mark.parametrize("make", [pair_model, tiny_model])
def test_grids_of_real_size_agree(grid: tuple[int, int], make: Callable[[int], EntropyModel]) -> None:
    model = make(3)
    _all_agree(model, likely_codes(model, 5, 4, *grid))


def range_encode(bits: Codes, k: NDArray[np.uint16]) -> bytes:
    """Return the payload of bits with probabilities k / 65536 of a one, as `SegmentEncoder` does."""
    ffi, lib = library.interface()
    room, length = bytearray(2 * bits.size + 16), ffi.new("size_t *")
    given, out = ffi.from_buffer("uint8_t[]", bits), ffi.from_buffer("uint8_t[]", room)
    library.check(lib.rnc_range_encode(given, ffi.from_buffer("uint16_t[]", k), bits.size, out, len(room), length))
    return bytes(memoryview(room)[: length[0]])


def range_decode(payload: bytes, k: NDArray[np.uint16]) -> Codes:
    """Return the bits of a payload, as `SegmentDecoder` does."""
    ffi, lib = library.interface()
    bits = np.empty(k.size, np.uint8)
    data, out = ffi.from_buffer("uint8_t[]", payload), ffi.from_buffer("uint8_t[]", bits)
    library.check(lib.rnc_range_decode(data, len(payload), ffi.from_buffer("uint16_t[]", k), k.size, out))
    return bits


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 65535)), max_size=400))
def test_the_range_coder_is_that_of_constriction(pairs: list[tuple[int, int]]) -> None:
    bits = np.array([bit for bit, _ in pairs], np.uint8)
    k = np.array([k for _, k in pairs], np.uint16)
    reference = SegmentEncoder()
    reference.encode(bits, k)
    payload = reference.finish()

    assert range_encode(bits, k) == payload
    assert range_decode(payload, k).tolist() == bits.tolist()


@given(st.integers(0, 2**32), st.sampled_from([32, 60, 500, 32768, 65504]), st.integers(1, 3000))
def test_long_runs_carry_as_in_constriction(seed: int, odds: int, count: int) -> None:
    random = np.random.default_rng(seed)
    k = np.full(count, odds, np.uint16)
    bits = (random.random(count) * 65536 < odds).astype(np.uint8)
    reference = SegmentEncoder()
    reference.encode(bits, k)

    assert range_encode(bits, k) == reference.finish()


@given(st.binary(max_size=40).map(lambda data: data[: len(data) // 4 * 4]), st.integers(0, 2**32), st.integers(0, 200))
def test_payloads_are_rejected_where_numpy_rejects_them(payload: bytes, seed: int, count: int) -> None:
    k = np.random.default_rng(seed).integers(1, 65536, count).astype(np.uint16)
    expected: object
    try:
        decoder = SegmentDecoder(payload)
        expected = decoder.decode(k).tolist()
        decoder.finish()
    except CorruptError:
        expected = None
    try:
        found: object = range_decode(payload, k).tolist()
    except CorruptError:
        found = None

    assert found == expected


@given(st.integers(0, 2**16), st.data())
def test_damaged_payloads_are_rejected_and_read_nothing_else(seed: int, data: st.DataObject) -> None:
    model = pair_model(seed % 3)
    codes = likely_codes(model, seed, 2, 8, 9)
    segments = encode_tile(codes, model)
    kernel = _kernel(model, library.supported()[-1])
    tile = EntropyTile(kernel, 8, 9)
    payload = bytearray(segments[0].payload)
    if segments[0].coding is not Coding.ENTROPY:
        return
    at = data.draw(st.integers(0, len(payload) - 1))
    payload[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(payload) // 4)) * 4
    damaged = bytes(payload[:cut]) if data.draw(st.booleans()) else bytes(payload) + bytes(4 * (cut % 3))
    try:
        found = tile.decode(damaged)
    except CorruptError:
        return
    assert found.tobytes() != codes[0].tobytes()  # an altered payload may be that of other codes


def test_inferred_bits_must_be_0() -> None:
    model = pair_model(0)
    plane = likely_codes(model, 0, 1, 4, 4)[0]
    kernel = _kernel(model, SETS[0])
    wrong = plane.copy()
    wrong[7] = 1  # signs of magnitudes that are not all ones
    wrong[3] = 0

    tile = EntropyTile(kernel, 4, 4)
    with pytest.raises(ValueError, match="inferred bits are set"):
        tile.encode(wrong, 100)
    with pytest.raises(CorruptError, match="of a raw payload are set"):
        tile.take(wrong)
    with pytest.raises(ValueError, match="0 or 1"):
        tile.encode(2 * plane + 2, 100)
    assert tile.encode(plane, 100) == EntropyTile(kernel, 4, 4).encode(plane, 100)  # as it was before


def test_damaged_payloads_get_the_same_verdicts() -> None:
    """Where NumPy rejects a payload, the kernel does; where both decode it, they give the same codes."""
    random = np.random.default_rng(5)
    for make in (pair_model, tiny_model):
        model = make(1)
        kernel, codes = _kernel(model, SETS[-1]), likely_codes(model, 2, 1, 9, 10)
        (segment,) = encode_tile(codes, model)
        assert segment.coding is Coding.ENTROPY
        for _ in range(40):
            payload = bytearray(segment.payload)
            payload[random.integers(len(payload))] ^= random.integers(1, 256)
            ours = _verdict(EntropyTile(kernel, 9, 10).decode, bytes(payload))
            assert ours == _verdict(partial(_decoded, model, 9, 10), bytes(payload))


def _verdict(decode: Callable[[bytes], Codes], payload: bytes) -> bytes | None:
    try:
        return decode(payload).tobytes()
    except CorruptError:
        return None


def _decoded(model: EntropyModel, grid_h: int, grid_w: int, payload: bytes) -> Codes:
    """Return the codes of the first iteration as NumPy decodes them, whatever their CRC."""
    plane = np.zeros((model.code_channels, grid_h, grid_w), np.uint8)
    state, decoder = model.start(grid_h, grid_w), SegmentDecoder(payload)
    state.start_iteration(0, None)
    code_plane(model.passes, state, model.coded_bits(grid_h, grid_w), plane, lambda p1_q16, _: decoder.decode(p1_q16))
    decoder.finish()
    return plane


def test_no_more_iterations_than_the_model_has() -> None:
    model = pair_model(0)
    codes = likely_codes(model, 0, 4, 3, 3)
    tile = EntropyTile(_kernel(model, SETS[-1]), 3, 3)
    for plane in codes:
        tile.take(plane)
    with pytest.raises(UnsupportedError):
        tile.take(codes[0])
    with pytest.raises(ValueError, match="shape"):
        tile.take(codes[0, :, :2])


def test_codes_of_another_checksum_are_corrupt() -> None:
    model = pair_model(0)
    codes = likely_codes(model, 0, 1, 8, 9)
    segment = next(iter(encode_tile(codes, model)))
    assert segment.coding is Coding.ENTROPY
    tile = EntropyTile(_kernel(model, SETS[-1]), 8, 9)
    with pytest.raises(CorruptError, match="CRC"):
        decode_segment(tile, replace(segment, codes_crc=segment.codes_crc ^ 1))


def test_odd_payloads_are_rejected() -> None:
    tile = EntropyTile(_kernel(pair_model(0), SETS[-1]), 3, 3)
    for length in (1, 2, 3, 5):
        with pytest.raises(CorruptError):
            tile.decode(bytes(length))


def test_more_passes_than_the_kernel_has_room_for_are_refused() -> None:
    passes = passes_of(13, 13)
    model = EntropyModel.from_tensors(tiny_tensors(passes=passes, iterations=1, state=1, hidden=1), passes)
    with pytest.raises(WeightsError, match="26 passes"):
        _kernel(model, SETS[0])


def test_numpy_codes_what_is_beyond_the_limits_of_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise WeightsError("too large")

    model = pair_model()
    monkeypatch.setenv(library.VARIABLE, SETS[-1])
    monkeypatch.setattr("pillow_rnc.entropy.model.EntropyKernel", refuse)

    assert model.kernel_tile(5, 7) is None
    assert model.kernel_tile(5, 7) is None
