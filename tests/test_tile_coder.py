"""Tile coder: codes come back exactly, or an error names the tile and iteration at fault."""

from __future__ import annotations

import dataclasses
import os
import zlib
from contextlib import nullcontext
from typing import TYPE_CHECKING, NamedTuple
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_models import IDLE, PAIRS, drawn_codes, encode_tile, likely_codes, noise_codes, pair_model, tiny_model

from pillow_rnc.container.records import STOPPED_SEGMENT, Coding, Segment
from pillow_rnc.entropy import matmul, model
from pillow_rnc.entropy.kernel import library
from pillow_rnc.entropy.model import EntropyModel
from pillow_rnc.entropy.range_coder import SegmentEncoder
from pillow_rnc.entropy.tile_coder import TileDecoder, TileEncoder, code_plane, decode_tile
from pillow_rnc.errors import CorruptError, RncError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pillow_rnc.entropy.matmul import Floats
    from pillow_rnc.entropy.model import EntropyState

Codes = NDArray[np.uint8]
MODELS = [tiny_model(0), pair_model(0), tiny_model(1), pair_model(1)]


@pytest.fixture(autouse=True, scope="module", params=["", "0"], ids=["kernel", "numpy"])
def _both_paths(request: pytest.FixtureRequest) -> Iterator[None]:
    with mock.patch.dict(os.environ, {library.VARIABLE: request.param}):
        yield


@pytest.fixture
def _in_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.VARIABLE, "0")


class Tile(NamedTuple):
    """Codes [iterations, C, h, w], and a model that has them."""

    codes: Codes
    model: EntropyModel


@st.composite
def tiles(draw: st.DrawFn) -> Tile:
    """Codes of grids from 1x1 to 12x12: noise, constant planes and mixtures; inferred bits are 0."""
    model = draw(st.sampled_from(MODELS))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    ones = draw(st.sampled_from((0.0, 0.1, 0.5, 1.0)))
    iterations, grid_h, grid_w = draw(st.integers(1, 4)), draw(st.integers(1, 12)), draw(st.integers(1, 12))
    codes = drawn_codes(
        model, iterations, grid_h, grid_w, lambda p1_q16: (random.random(p1_q16.size) < ones).astype(np.uint8)
    )
    return Tile(codes, model)


def _likely_codes(seed: int, grid_h: int, grid_w: int) -> tuple[Codes, list[Segment]]:
    """Codes that the model expects, so that all segments are entropy-coded."""
    codes = likely_codes(MODELS[0], seed, 4, grid_h, grid_w)
    segments = encode_tile(codes, MODELS[0])
    assert all(segment.coding is Coding.ENTROPY for segment in segments)
    return codes, segments


@given(tiles())
def test_decoder_returns_the_encoded_codes(tile: Tile) -> None:
    codes, model = tile
    segments = encode_tile(codes, model)

    assert decode_tile(segments, model, codes.shape[2:]).tolist() == codes.tolist()


@given(tiles())
def test_no_segment_is_longer_than_the_raw_codes(tile: Tile) -> None:
    codes, model = tile
    raw_bytes = -(-codes[0].size // 8)
    for segment, plane in zip(encode_tile(codes, model), codes, strict=True):
        assert len(segment.payload) <= raw_bytes
        assert segment.codes_crc == zlib.crc32(np.packbits(plane).tobytes())
        if segment.coding is Coding.RAW:
            assert segment.payload == np.packbits(plane).tobytes()
        else:
            assert len(segment.payload) % 4 == 0


@given(tiles(), st.data())
def test_fewer_segments_give_the_first_iterations(tile: Tile, data: st.DataObject) -> None:
    codes, model = tile
    kept = data.draw(st.integers(0, len(codes)))
    segments = encode_tile(codes, model)[:kept]
    stopped = segments + [STOPPED_SEGMENT] * (4 - kept if kept else 0)

    assert decode_tile(stopped, model, codes.shape[2:]).tolist() == codes[:kept].tolist()


@given(tiles())
def test_raw_segments_may_take_any_place(tile: Tile) -> None:
    """A writer may store any iteration raw; the network is still updated with its bits."""
    codes, model = tile
    segments = encode_tile(codes, model)
    for replaced in range(2 ** len(codes)):
        mixed = [
            Segment(Coding.RAW, np.packbits(plane).tobytes(), segment.codes_crc) if replaced >> n & 1 else segment
            for n, (segment, plane) in enumerate(zip(segments, codes, strict=True))
        ]
        assert decode_tile(mixed, model, codes.shape[2:]).tolist() == codes.tolist()


@given(seed=st.integers(0, 2**32), iteration=st.integers(0, 3), place=st.integers(0, 8 * 35 - 1))
def test_a_set_inferred_bit_is_rejected(seed: int, iteration: int, place: int) -> None:
    """Whether a bit is coded is determined from earlier bits one by one, as in the specification."""
    model = MODELS[1]
    codes = noise_codes(model, seed, iteration + 1, 5, 7)
    plane = codes[iteration]
    coded = _coded_by_hand(codes[:iteration], plane)
    plane.reshape(-1)[place] = 1
    packed = np.packbits(plane).tobytes()
    encoder, decoder = TileEncoder(model, 5, 7), TileDecoder(model, 5, 7)
    for before in codes[:iteration]:
        decoder.decode_next(encoder.encode_next(before))
    rejected = not coded.reshape(-1)[place]
    expected = (
        pytest.raises(CorruptError, match="1 inferred bits of a raw payload are set") if rejected else nullcontext()
    )
    if rejected:
        with pytest.raises(ValueError, match="1 inferred bits are set, must be 0"):
            encoder.encode_next(plane)
    with expected:
        decoder.decode_next(Segment(Coding.RAW, packed, zlib.crc32(packed)))


def _coded_by_hand(before: Codes, plane: Codes) -> NDArray[np.bool_]:
    """Return which bits of a plane of four pairs are coded, given the planes before it.

    Setting an inferred bit may make further bits coded; the bit itself remains inferred.
    """
    coded = np.zeros(plane.shape, np.bool_)
    for y, x in np.ndindex(*plane.shape[1:]):
        significant = {
            coefficient
            for pairs, earlier in zip(PAIRS, before, strict=False)
            for pair, (coefficient, level, _) in enumerate(pairs)
            if level == 1 and earlier[pair, y, x]
        }
        for pair, (coefficient, level, _) in enumerate(PAIRS[len(before)]):
            insignificant = coefficient not in significant
            first = level == 1
            coded[pair, y, x] = first or (level != IDLE and insignificant and bool(plane[pair - 1, y, x]))
            coded[4 + pair, y, x] = first and insignificant and bool(plane[pair, y, x])
    return coded


def test_likely_codes_are_coded_in_less_than_their_raw_size() -> None:
    _, segments = _likely_codes(0, 12, 12)

    assert sum(len(segment.payload) for segment in segments) < 4 * 4 * 144 / 8


@settings(max_examples=150)
@given(st.integers(0, 3), st.integers(0, 2**30), st.integers(1, 255), st.booleans())
def test_an_altered_payload_is_an_error(iteration: int, position: int, change: int, truncate: bool) -> None:
    _, segments = _likely_codes(1, 9, 7)
    payload = bytearray(segments[iteration].payload)
    position %= len(payload)
    if truncate:
        del payload[position - position % 4 :]
    else:
        payload[position] ^= change
    segments[iteration] = dataclasses.replace(segments[iteration], payload=bytes(payload))

    with pytest.raises(CorruptError, match=f"^tile 6, iteration {iteration}: "):
        decode_tile(segments, MODELS[0], (9, 7), tile=6)


@given(st.binary(max_size=80), st.sampled_from(Coding), st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_garbage_raises_nothing_but_corrupt_error(garbage: bytes, coding: Coding, crc: int, side: int) -> None:
    decoder = TileDecoder(MODELS[0], side, side)
    with pytest.raises(CorruptError):  # noqa: PT012
        for _ in range(3):
            decoder.decode_next(Segment(coding, garbage, crc))


def test_a_wrong_codes_crc_is_named_with_both_values() -> None:
    _, segments = _likely_codes(2, 5, 5)
    segments[2] = dataclasses.replace(segments[2], codes_crc=segments[2].codes_crc ^ 1)

    with pytest.raises(CorruptError, match=r"^tile 0, iteration 2: codes CRC 0x[0-9a-f]{8}, expected 0x[0-9a-f]{8}: "):
        decode_tile(segments, MODELS[0], (5, 5))


def test_a_segment_of_another_model_is_an_error() -> None:
    _, segments = _likely_codes(3, 8, 8)

    with pytest.raises(CorruptError):
        decode_tile(segments, MODELS[1], (8, 8))


def test_a_payload_that_is_not_canonical_is_an_error() -> None:
    """The bits are correct, but an additional word follows."""
    codes, segments = _likely_codes(4, 12, 12)
    segments[0] = dataclasses.replace(segments[0], payload=segments[0].payload + bytes(4))

    with pytest.raises(CorruptError, match="differs"):
        decode_tile(segments, MODELS[0], codes.shape[2:])


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("S", "stopped segment in the first iteration"),
        ("DS.D", "the tile was stopped by an earlier iteration"),
        ("Dc", "codes CRC 0x00000000, expected 0x00000001"),
    ],
)
def test_a_tile_stops_for_good_and_not_at_once(order: str, message: str) -> None:
    _, segments = _likely_codes(5, 6, 6)
    places = {"S": STOPPED_SEGMENT, ".": STOPPED_SEGMENT, "c": Segment(Coding.STOPPED, b"", 1), "D": segments[0]}

    with pytest.raises(CorruptError, match=message):
        decode_tile([places[letter] for letter in order], MODELS[0], (6, 6))


@pytest.fixture
def _forgetful() -> Iterator[None]:
    """Let the warning come ainsignificant, before and after."""
    model._warn_once.cache_clear()
    yield
    model._warn_once.cache_clear()


def _break_float32(monkeypatch: pytest.MonkeyPatch) -> list[type]:
    """Make float32 products wrong after the known-answer test has passed; return the types of the sums."""
    sums: list[type] = []
    right = matmul.matmul

    def wrong(left: Floats, factor: Floats, out: Floats | None = None) -> Floats:
        product = right(left, factor, out=out)
        sums.append(product.dtype.type)
        if product.dtype == np.float32 and product.size:
            product.reshape(-1)[0] += 40
        return product

    monkeypatch.setattr(matmul, "matmul", wrong)
    return sums


@pytest.mark.usefixtures("_forgetful", "_in_numpy")
@pytest.mark.parametrize("raw", [(), (0, 2)])
def test_a_machine_that_becomes_inexact_costs_time_but_no_codes(
    raw: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    codes, segments = _likely_codes(7, 9, 8)
    for iteration in raw:
        packed = np.packbits(codes[iteration]).tobytes()
        segments[iteration] = Segment(Coding.RAW, packed, zlib.crc32(packed))
    model = tiny_model(0)
    model.start(1, 1)
    sums = _break_float32(monkeypatch)
    with pytest.warns(RuntimeWarning, match="computed in float64"):
        decoded = decode_tile(segments, model, (9, 8))
    sums.clear()
    again = decode_tile(segments, model, (9, 8))

    assert decoded.tolist() == again.tolist() == codes.tolist()
    assert set(sums) == {np.float64}


@pytest.mark.usefixtures("_in_numpy")
def test_damaged_codes_are_decoded_a_second_time_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    _, segments = _likely_codes(8, 9, 8)
    segments[3] = dataclasses.replace(segments[3], codes_crc=segments[3].codes_crc ^ 1)
    model = tiny_model(0)
    calls: list[int] = []

    def counted(grid_h: int, grid_w: int) -> EntropyState | None:
        calls.append(grid_h * grid_w)
        return EntropyModel.float64_state(model, grid_h, grid_w)

    monkeypatch.setattr(model, "float64_state", counted)

    with pytest.raises(CorruptError, match="tile 0, iteration 3: codes CRC"):
        decode_tile(segments, model, (9, 8))
    assert calls == [72]


@pytest.mark.usefixtures("_in_numpy")
def test_the_reference_is_not_repeated_in_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    _, segments = _likely_codes(8, 3, 3)
    segments[0] = dataclasses.replace(segments[0], codes_crc=segments[0].codes_crc ^ 1)
    model = tiny_model(0)
    monkeypatch.setattr(model, "_fast_is_exact", False)
    monkeypatch.setattr("pillow_rnc.entropy.model._warn_once", lambda _message: None)

    with pytest.raises(CorruptError, match="codes CRC"):
        decode_tile(segments, model, (3, 3))


@pytest.mark.usefixtures("_in_numpy")
def test_an_encoder_whose_payload_cannot_be_decoded_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, _ = _likely_codes(9, 8, 8)
    right, calls = SegmentEncoder.finish, iter((b"\0\0\0\0", b"", b"", b"", b""))
    monkeypatch.setattr(SegmentEncoder, "finish", lambda encoder: right(encoder) + next(calls))

    with pytest.raises(RncError, match="iteration 0: the encoded payload cannot be decoded"):
        TileEncoder(MODELS[0], 8, 8).encode_next(codes[0])


@pytest.mark.usefixtures("_in_numpy")
def test_an_encoder_whose_payload_decodes_to_other_codes_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    codes, _ = _likely_codes(9, 8, 8)
    right = SegmentEncoder.encode

    def other(encoder: SegmentEncoder, bits: NDArray[np.uint8], p1_q16: NDArray[np.uint16]) -> None:
        bits = bits.copy()
        bits[-1:] ^= 1
        right(encoder, bits, p1_q16)

    monkeypatch.setattr(SegmentEncoder, "encode", other)

    with pytest.raises(RncError, match="iteration 0: the encoded payload decodes to other codes"):
        TileEncoder(MODELS[0], 8, 8).encode_next(codes[0])


def test_padding_bits_of_a_raw_segment_must_be_zero() -> None:
    payload = b"\x01"  # 4 codes, 4 padding bits

    with pytest.raises(CorruptError, match=r"^tile 0, iteration 0: padding bits of a raw payload are set"):
        TileDecoder(MODELS[0], 1, 1).decode_next(Segment(Coding.RAW, payload, zlib.crc32(payload)))


def test_more_iterations_than_the_model_has_are_unsupported() -> None:
    codes, segments = _likely_codes(6, 4, 4)

    with pytest.raises(UnsupportedError, match="iteration 4: the model can code 4 iterations"):
        decode_tile([*segments, segments[0]], MODELS[0], (4, 4))
    with pytest.raises(ValueError, match="iteration 4"):
        encode_tile(np.concatenate([codes, codes]), MODELS[0])


def test_codes_of_another_shape_or_value_are_rejected() -> None:
    encoder = TileEncoder(MODELS[0], 3, 3)
    with pytest.raises(ValueError, match="do not fit"):
        encoder.encode_next(np.zeros((5, 3, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="0 or 1"):
        encoder.encode_next(np.full((4, 3, 3), 2, dtype=np.uint8))


@pytest.mark.parametrize("model", MODELS[:2], ids=["all coded", "pairs"])
def test_codes_are_not_written_to(model: EntropyModel) -> None:
    codes = noise_codes(model, 1, 2, 6, 5)
    codes.flags.writeable = False

    assert decode_tile(encode_tile(codes, model), model, (6, 5)).tolist() == codes.tolist()


def test_codes_need_not_be_contiguous() -> None:
    codes = np.random.default_rng(0).integers(0, 2, (2, 6, 5, 4), dtype=np.uint8).transpose(0, 3, 1, 2)
    segments = encode_tile(codes, MODELS[2])

    assert decode_tile(segments, MODELS[2], (6, 5)).tolist() == codes.tolist()


def test_no_segments_give_no_iterations() -> None:
    assert decode_tile([], MODELS[0], (3, 2)).shape == (0, 4, 3, 2)


def test_signs_are_bypass_coded_last() -> None:
    """Encoder and decoder would agree on any probability."""
    model = MODELS[1]
    state, coded_bits, plane = model.start(5, 7), model.coded_bits(5, 7), noise_codes(model, 0, 1, 5, 7)[0]
    calls: list[NDArray[np.uint16]] = []

    def ask(p1_q16: NDArray[np.uint16], bits: Codes) -> Codes:
        calls.append(p1_q16)
        return bits

    state.start_iteration(0, None)
    code_plane(model.passes, state, coded_bits, plane, ask)

    first, mask = coded_bits.signs(plane.reshape(len(plane), -1))
    assert first == len(plane) // 2
    assert mask.any()
    assert calls[-1].tolist() == [32768] * np.count_nonzero(mask)
    assert any((p1_q16 != 32768).any() for p1_q16 in calls[:-1])
