"""Range coder: exact round trips, canonical payloads, and guards against a changed constriction."""

from __future__ import annotations

import itertools

import constriction
import integer_coder
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pillow_rnc.entropy import range_coder
from pillow_rnc.entropy.range_coder import SegmentDecoder, SegmentEncoder
from pillow_rnc.errors import CorruptError

Coded = tuple[NDArray[np.uint8], NDArray[np.uint16]]

RangeEncoder = constriction.stream.queue.RangeEncoder
Bernoulli = constriction.stream.model.Bernoulli
Categorical = constriction.stream.model.Categorical

GOLDEN_WORDS = (
    0x8B23DEEC,
    0x112002CD,
    0x591D41FE,
    0x7B12E3B4,
    0xB6F5F048,
    0x79BB2801,
    0x269C9419,
    0x5E69900F,
    0xE83F6A0B,
    0x00000000,
)


@st.composite
def coded_bits(draw: st.DrawFn, min_size: int = 0) -> Coded:
    """Bits with probabilities: arbitrary ones, or many that match what the network emits, some the same in a row."""
    if draw(st.booleans()):
        pairs = draw(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 65535)), min_size=min_size))
        return (
            np.array([bit for bit, _ in pairs], dtype=np.uint8),
            np.array([p1_q16 for _, p1_q16 in pairs], dtype=np.uint16),
        )
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    count = draw(st.integers(max(min_size, 1), 2000))
    p1_q16 = generator.integers(32, 65505, count).astype(np.uint16)
    for start, length in draw(st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 500)), max_size=5)):
        p1_q16[start : start + length] = draw(st.sampled_from([1, 32, 32768, 65535]))
    return (generator.random(count) * 65536 < p1_q16).astype(np.uint8), p1_q16


def _encode(bits: NDArray[np.uint8], p1_q16: NDArray[np.uint16]) -> bytes:
    encoder = SegmentEncoder()
    encoder.encode(bits, p1_q16)
    return encoder.finish()


@given(coded_bits())
def test_decoder_returns_the_encoded_bits(coded: Coded) -> None:
    bits, p1_q16 = coded
    decoder = SegmentDecoder(_encode(bits, p1_q16))

    assert decoder.decode(p1_q16).tolist() == bits.tolist()
    decoder.finish()


@given(coded_bits(), st.lists(st.integers(0, 2000), max_size=4))
def test_bits_may_come_in_any_number_of_calls(coded: Coded, ends: list[int]) -> None:
    bits, p1_q16 = coded
    bounds = [0, *sorted(min(end, bits.size) for end in ends), bits.size]
    parts = [slice(start, stop) for start, stop in itertools.pairwise(bounds)]
    encoder = SegmentEncoder()
    for part in parts:
        encoder.encode(bits[part], p1_q16[part])
    payload = encoder.finish()
    decoder = SegmentDecoder(payload)

    assert payload == _encode(bits, p1_q16)
    assert np.concatenate([decoder.decode(p1_q16[part]) for part in parts]).tolist() == bits.tolist()
    decoder.finish()


@given(coded_bits())
def test_payload_equals_that_of_the_integer_coder(coded: Coded) -> None:
    bits, p1_q16 = coded

    assert _encode(bits, p1_q16) == integer_coder.encode(bits.tolist(), p1_q16.tolist())


def test_carries_through_many_words_equal_those_of_the_integer_coder() -> None:
    # A zero and then ones at p = 1/2 keep the interval astride a word boundary for long.
    for ones in (31, 62, 63, 64, 95, 200):
        for last in (0, 1):
            bits = np.array([0] + [1] * ones + [last] * 40, dtype=np.uint8)
            p1_q16 = np.full(bits.size, 32768, dtype=np.uint16)

            assert _encode(bits, p1_q16) == integer_coder.encode(bits.tolist(), p1_q16.tolist())


@given(coded_bits())
def test_a_payload_is_little_longer_than_its_information(coded: Coded) -> None:
    bits, p1_q16 = coded
    information_bits = -np.log2(np.where(bits, p1_q16, 65536 - p1_q16.astype(int)) / 65536).sum()

    assert len(_encode(bits, p1_q16)) * 8 <= 1.01 * information_bits + 64


@given(coded_bits(min_size=1), st.data())
def test_a_flipped_bit_never_passes_as_the_same_message(coded: Coded, data: st.DataObject) -> None:
    bits, p1_q16 = coded
    payload = bytearray(_encode(bits, p1_q16))
    position = data.draw(st.integers(0, 8 * len(payload) - 1))
    payload[position // 8] ^= 1 << position % 8

    try:
        decoder = SegmentDecoder(bytes(payload))
        decoded = decoder.decode(p1_q16)
        decoder.finish()
    except CorruptError:
        return
    assert decoded.tolist() != bits.tolist()


@given(coded_bits(min_size=1), st.data())
def test_a_truncated_payload_is_rejected_or_another_message(coded: Coded, data: st.DataObject) -> None:
    bits, p1_q16 = coded
    payload = _encode(bits, p1_q16)
    truncated = payload[: data.draw(st.integers(0, len(payload) - 1))]

    try:
        decoder = SegmentDecoder(truncated)
        decoded = decoder.decode(p1_q16)
        decoder.finish()
    except CorruptError:
        return
    assert decoded.tolist() != bits.tolist()


@given(coded_bits(), st.binary(min_size=1, max_size=12))
def test_trailing_bytes_are_rejected(coded: Coded, trailing: bytes) -> None:
    bits, p1_q16 = coded

    with pytest.raises(CorruptError):  # noqa: PT012
        decoder = SegmentDecoder(_encode(bits, p1_q16) + trailing)
        decoder.decode(p1_q16)
        decoder.finish()


@given(st.binary(max_size=400), coded_bits())
def test_garbage_raises_nothing_but_corrupt_error(garbage: bytes, coded: Coded) -> None:
    try:
        decoder = SegmentDecoder(garbage)
        decoded = decoder.decode(coded[1])
        decoder.finish()
    except CorruptError:
        return
    assert _encode(decoded, coded[1]) == garbage


@pytest.mark.parametrize("p1_q16", [[32_768], [1] * 5000, list(range(1, 200))], ids=["one", "a run", "all different"])
def test_words_that_no_encoder_writes_are_named(p1_q16: list[int]) -> None:
    """All ones lie beyond the last of the 2^24 parts of the range."""
    with pytest.raises(CorruptError, match="payload is invalid under its probabilities"):
        SegmentDecoder(b"\xff" * 8).decode(np.array(p1_q16, dtype=np.uint16))


def test_a_payload_of_incomplete_words_is_rejected() -> None:
    with pytest.raises(CorruptError, match="5 bytes"):
        SegmentDecoder(b"12345")


def test_long_segments_are_coded_in_several_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    p1_q16 = np.arange(1, 1001, dtype=np.uint16)
    bits = (p1_q16 % 3 == 0).astype(np.uint8)
    complete = _encode(bits, p1_q16)
    monkeypatch.setattr(range_coder, "_MAX_BITS_PER_CALL", 64)
    decoder = SegmentDecoder(complete)

    assert _encode(bits, p1_q16) == complete
    assert decoder.decode(p1_q16).tolist() == bits.tolist()


@pytest.mark.parametrize(("bits", "p1_q16"), [([2], [1]), ([1], [0]), ([0, 1], [5]), ([[0]], [[7]])], ids=str)
def test_impossible_arguments_are_rejected(bits: list[int], p1_q16: list[int]) -> None:
    with pytest.raises(ValueError, match="bits"):
        _encode(np.array(bits, dtype=np.uint8), np.array(p1_q16, dtype=np.uint16))


def test_a_zero_probability_is_rejected_by_the_decoder() -> None:
    with pytest.raises(ValueError, match="probabilities"):
        SegmentDecoder(b"").decode(np.zeros(1, dtype=np.uint16))


def test_a_panic_of_the_coder_becomes_corrupt_error() -> None:
    class PanicException(BaseException):
        """Stands for the class of pyo3, which cannot be imported."""

    with pytest.raises(CorruptError), range_coder._coder_errors_translated():
        raise PanicException
    with pytest.raises(KeyboardInterrupt), range_coder._coder_errors_translated():
        raise KeyboardInterrupt


def test_golden_words_have_not_changed() -> None:
    """Fails when an upgrade of constriction changes the bytes of files."""
    number, p1_q16, bits = 1, [], []
    for _ in range(400):
        number = (number * 1103515245 + 12345) % 2**31
        p1_q16.append(32 + (number >> 8) % 65473)
        number = (number * 1103515245 + 12345) % 2**31
        bits.append(int((number >> 8) % 65536 < p1_q16[-1]))
    payload = _encode(np.array(bits, dtype=np.uint8), np.array(p1_q16, dtype=np.uint16))

    assert np.frombuffer(payload, dtype="<u4").tolist() == list(GOLDEN_WORDS)


def test_every_probability_splits_the_range_as_specified() -> None:
    """All 65 537 values of p1_q16; fails when constriction rounds otherwise."""
    unit = (2**64 - 1) >> 24
    for p1_q16 in range(65537):
        encoder = RangeEncoder()
        encoder.encode(
            np.zeros(1, dtype=np.int32), Categorical(perfect=False), np.array([[1 - p1_q16 / 65536, p1_q16 / 65536]])
        )
        _, (low, width) = encoder.pos()
        expected = unit * integer_coder.first_share(p1_q16)

        assert (low, width) == (0, expected if expected >= 2**32 else expected << 32)


def test_bernoulli_and_categorical_write_the_same_words() -> None:
    p1_q16 = np.arange(1, 65536, dtype=np.uint16)
    bits = (((p1_q16.astype(np.uint32) * 40503) >> 15) & 1).astype(np.uint8)
    encoder = RangeEncoder()
    encoder.encode(bits.astype(np.int32), Bernoulli(perfect=False), p1_q16 / 65536)

    assert encoder.get_compressed().astype("<u4").tobytes() == _encode(bits, p1_q16)


def test_clear_still_keeps_a_pending_carry() -> None:
    """Known fault of constriction 0.5; once this fails, encoders may be reused."""
    half = np.full(32, 0.5)
    encoder = RangeEncoder()
    encoder.encode(np.array([0] + [1] * 31, dtype=np.int32), Bernoulli(perfect=False), half)
    encoder.clear()
    encoder.encode(np.zeros(32, dtype=np.int32), Bernoulli(perfect=False), half)
    other = RangeEncoder()
    other.encode(np.zeros(32, dtype=np.int32), Bernoulli(perfect=False), half)

    assert encoder.get_compressed().tolist() != other.get_compressed().tolist()
