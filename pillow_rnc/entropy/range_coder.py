"""Bits and their probabilities <-> bytes: the adapter to constriction.

The specification defines the coder in integers. constriction's `Categorical(perfect=False)` over two symbols in float64
agrees with it for every probability p1_q16 / 65536, which tests verify. This module knows neither images nor networks.
It handles what constriction does not: missing words are read as zeros, damage is rarely detected, and a Rust panic does
not derive from `Exception`.

Source: spec, section "Range coder".
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import constriction
import numpy as np

from pillow_rnc.container.records import ENTROPY_WORD_BYTES
from pillow_rnc.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# constriction holds the interpreter lock during a call: this many bits take about 40 ms.
_MAX_BITS_PER_CALL = 1 << 20
_PROBABILITY_UNIT = 2.0**-16
_MODEL = constriction.stream.model.Categorical(perfect=False)


class SegmentEncoder:
    """Encodes the bits of one segment; not reusable, because `clear()` of constriction keeps a pending carry."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def encode(self, bits: NDArray[np.uint8], p1_q16: NDArray[np.uint16]) -> None:
        """Append bits to the segment.

        Args:
            bits: uint8 [n], values 0 or 1.
            p1_q16: uint16 [n], P(bit = 1) = p1_q16 / 65536, values 1..65535.

        Raises:
            ValueError: A bit is not 0 or 1, a probability is 0, or the lengths differ.
        """
        if bits.shape != p1_q16.shape or bits.ndim != 1:
            msg = f"bits have shape {bits.shape}, probabilities {p1_q16.shape}, must be one length"
            raise ValueError(msg)
        if bits.size and (bits.max() > 1 or not p1_q16.all()):
            msg = "bits must be 0 or 1, probabilities at least 1 / 65536"
            raise ValueError(msg)
        for part in _calls(p1_q16):
            self._append(bits[part].astype(np.int32), _distributions(p1_q16[part]))

    def finish(self) -> bytes:
        """Return the payload: little-endian 32-bit words, at least one."""
        words: NDArray[np.uint32] = self._coder.get_compressed()
        return words.astype("<u4", copy=False).tobytes() or bytes(ENTROPY_WORD_BYTES)

    def _append(self, symbols: NDArray[np.int32], distributions: NDArray[np.float64]) -> None:
        """Encode checked symbols under checked probabilities; see `_distributions`."""
        self._coder.encode(symbols, _MODEL, distributions)


class SegmentDecoder:
    """Decodes the bits of one segment.

    Every decoded bit is encoded again, and the payload is accepted only if the result equals it. So missing, additional
    and altered words are detected.

    Args:
        payload: Bytes of the segment.

    Raises:
        CorruptError: The length of the payload is not a multiple of the word size.
    """

    def __init__(self, payload: bytes) -> None:
        if len(payload) % ENTROPY_WORD_BYTES:
            msg = f"payload of {len(payload)} bytes, must be a multiple of {ENTROPY_WORD_BYTES}"
            raise CorruptError(msg)
        self._payload = payload
        words = np.frombuffer(payload, dtype="<u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)
        self._mirror = SegmentEncoder()

    def decode(self, p1_q16: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """Return the next bits.

        Args:
            p1_q16: uint16 [n], P(bit = 1) = p1_q16 / 65536, values 1..65535.

        Returns:
            uint8 [n], values 0 or 1. Only valid once `finish` has returned.

        Raises:
            CorruptError: No encoder gives this payload with these probabilities.
            ValueError: A probability is 0.
        """
        if not p1_q16.all():
            msg = "probabilities must be at least 1 / 65536"
            raise ValueError(msg)
        bits = np.empty(p1_q16.shape, dtype=np.uint8)
        for part in _calls(p1_q16):
            distributions = _distributions(p1_q16[part])
            with _coder_errors_translated():
                symbols: NDArray[np.int32] = self._coder.decode(_MODEL, distributions)
                self._mirror._append(symbols, distributions)  # noqa: SLF001
            bits[part] = symbols
        return bits

    def finish(self) -> None:
        """Check that the payload is exactly what encoding the decoded bits gives.

        Raises:
            CorruptError: Words are missing, additional or altered.
        """
        canonical = self._mirror.finish()
        if canonical != self._payload:
            msg = f"payload of {len(self._payload)} bytes differs from the {len(canonical)} bytes that encode its bits"
            raise CorruptError(msg)


def _calls(p1_q16: NDArray[np.uint16]) -> Iterator[slice]:
    """Yield slices that cover p1_q16, each short enough for one call."""
    for start in range(0, p1_q16.size, _MAX_BITS_PER_CALL):
        yield slice(start, min(start + _MAX_BITS_PER_CALL, p1_q16.size))


def _distributions(p1_q16: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Return exact probabilities of 0 and 1, float64 [n, 2]; C-contiguous, as constriction requires."""
    distributions = np.empty((p1_q16.size, 2))
    np.multiply(p1_q16, _PROBABILITY_UNIT, out=distributions[:, 1])
    np.subtract(1.0, distributions[:, 1], out=distributions[:, 0])
    return distributions


@contextmanager
def _coder_errors_translated() -> Iterator[None]:
    """Translate what constriction raises on invalid payloads into `CorruptError`."""
    try:
        yield
    except (AssertionError, KeyError) as error:
        msg = "payload is invalid under its probabilities"
        raise CorruptError(msg) from error
    except BaseException as error:
        # A Rust panic derives from BaseException and its class cannot be imported.
        if type(error).__name__ != "PanicException":
            raise
        msg = "range coder failed on the payload"
        raise CorruptError(msg) from error


def _use_once() -> None:
    """Code one bit.

    The first array that constriction takes makes it look up functions of NumPy. A child that was forked meanwhile would
    wait for them for ever; here, on import, the fork waits (`fork_safety.importing`).
    """
    p1_q16 = np.full(1, 1 << 15, np.uint16)
    encoder = SegmentEncoder()
    encoder.encode(np.ones(1, np.uint8), p1_q16)
    SegmentDecoder(encoder.finish()).decode(p1_q16)


_use_once()
