"""Bits and their probabilities <-> bytes: the one door to constriction.

The specification defines the coder in integers; constriction's `Categorical(perfect=False)` over two
symbols in float64 follows it for every probability k / 65536, and tests hold it to that. This module
knows nothing of images or networks. It guards what constriction leaves open: missing words read as
zeros, damage is seldom noticed, and a Rust panic is no `Exception`.

Source: spec, section "Range coder".
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import constriction
import numpy as np

from pillow_rnc.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

WORD_BYTES = 4

# constriction holds the interpreter lock for a whole call: this many bits are about 40 ms.
_MAX_BITS_PER_CALL = 1 << 20
_PROBABILITY_UNIT = 2.0**-16
_MODEL = constriction.stream.model.Categorical(perfect=False)


class SegmentEncoder:
    """Encodes the bits of one segment; never reused, because `clear()` keeps a pending carry."""

    def __init__(self) -> None:
        self._coder = constriction.stream.queue.RangeEncoder()

    def encode(self, bits: NDArray[np.uint8], k: NDArray[np.uint16]) -> None:
        """Append bits to the segment.

        Args:
            bits: uint8 [n], values 0 or 1.
            k: uint16 [n], P(bit = 1) = k / 65536, values 1..65535.

        Raises:
            ValueError: A bit is not 0 or 1, a k is 0, or the lengths differ.
        """
        if bits.shape != k.shape or bits.ndim != 1:
            msg = f"bits have shape {bits.shape}, probabilities {k.shape}, expected one length"
            raise ValueError(msg)
        if bits.size and (bits.max() > 1 or not k.all()):
            msg = "a bit is not 0 or 1, or a probability is 0"
            raise ValueError(msg)
        for part in _calls(k):
            self._append(bits[part].astype(np.int32), _distributions(k[part]))

    def finish(self) -> bytes:
        """Return the payload: little-endian 32-bit words, at least one."""
        words: NDArray[np.uint32] = self._coder.get_compressed()
        return words.astype("<u4", copy=False).tobytes() or bytes(WORD_BYTES)

    def _append(self, symbols: NDArray[np.int32], distributions: NDArray[np.float64]) -> None:
        """Encode checked symbols under checked probabilities; see `_distributions`."""
        self._coder.encode(symbols, _MODEL, distributions)


class SegmentDecoder:
    """Decodes the bits of one segment.

    An encoder runs alongside and codes every decoded bit again. The payload is accepted if it comes
    out the same, which leaves no room for missing, spare or altered words.

    Args:
        payload: Bytes of the segment.

    Raises:
        CorruptError: The payload is not a whole number of words.
    """

    def __init__(self, payload: bytes) -> None:
        if len(payload) % WORD_BYTES:
            msg = f"payload has {len(payload)} bytes, expected a multiple of {WORD_BYTES}"
            raise CorruptError(msg)
        self._payload = payload
        words = np.frombuffer(payload, dtype="<u4").astype(np.uint32)
        self._coder = constriction.stream.queue.RangeDecoder(words)
        self._mirror = SegmentEncoder()

    def decode(self, k: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """Return the next bits.

        Args:
            k: uint16 [n], P(bit = 1) = k / 65536, values 1..65535.

        Returns:
            uint8 [n], values 0 or 1. Not trustworthy before `finish` has returned.

        Raises:
            CorruptError: The payload cannot come from an encoder with these probabilities.
            ValueError: A k is 0.
        """
        if not k.all():
            msg = "a probability is 0"
            raise ValueError(msg)
        bits = np.empty(k.shape, dtype=np.uint8)
        for part in _calls(k):
            distributions = _distributions(k[part])
            with _coder_errors_translated():
                symbols: NDArray[np.int32] = self._coder.decode(_MODEL, distributions)
                self._mirror._append(symbols, distributions)  # noqa: SLF001
            bits[part] = symbols
        return bits

    def finish(self) -> None:
        """Check that the payload is exactly what an encoder makes of the decoded bits.

        Raises:
            CorruptError: It is not: words are missing, spare or altered.
        """
        canonical = self._mirror.finish()
        if canonical != self._payload:
            msg = f"payload of {len(self._payload)} bytes differs from the {len(canonical)} bytes that encode its bits"
            raise CorruptError(msg)


def _calls(k: NDArray[np.uint16]) -> Iterator[slice]:
    """Yield slices that cover k, none of them too long for one call."""
    for start in range(0, k.size, _MAX_BITS_PER_CALL):
        yield slice(start, min(start + _MAX_BITS_PER_CALL, k.size))


def _distributions(k: NDArray[np.uint16]) -> NDArray[np.float64]:
    """Return [n, 2] probabilities of 0 and 1; exact, and C-contiguous as constriction demands."""
    distributions = np.empty((k.size, 2))
    np.multiply(k, _PROBABILITY_UNIT, out=distributions[:, 1])
    np.subtract(1.0, distributions[:, 1], out=distributions[:, 0])
    return distributions


@contextmanager
def _coder_errors_translated() -> Iterator[None]:
    """Turn what constriction raises on bad payloads into `CorruptError`."""
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
