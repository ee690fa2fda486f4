"""Bits and their probabilities <-> bytes: the range coder of the specification in Python's integers.

The twin of the native kernel's coder, for where there is no kernel. This module knows neither images nor networks.

Source: spec, section "Range coder".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

WORD_BYTES = 4

_WORD = 1 << 32
_LAST_WORD = _WORD - 1
_WHOLE = (1 << 64) - 1
_TOTAL_BITS = 24
_SHARE_SCALE = (1 << _TOTAL_BITS) - 2


class SegmentEncoder:
    """Encodes the bits of one segment; not reusable."""

    def __init__(self) -> None:
        # `low` of the specification without a modulus is the words, most significant first, and then `_low`.
        self._words: list[int] = []
        self._low, self._width = 0, _WHOLE

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
        low, width, words = self._low, self._width, self._words
        for bit, share in zip(bits.tolist(), _zero_shares(p1_q16), strict=True):
            unit = width >> _TOTAL_BITS
            zero = unit * share
            if bit:
                low += zero
                width = (unit << _TOTAL_BITS) - zero
            else:
                width = zero
            if width < _WORD:
                words.append(low >> 32)  # 33 bits after a carry, which `finish` passes on
                low = (low & _LAST_WORD) << 32
                width <<= 32
        self._low, self._width = low, width

    def finish(self) -> bytes:
        """Return the payload: little-endian 32-bit words, at least one."""
        last, upper = (self._low + _LAST_WORD) >> 32, (self._low + self._width) >> 32
        words = [*self._words, last]
        for index in range(len(words) - 1, 0, -1):
            words[index - 1] += words[index] >> 32
            words[index] &= _LAST_WORD
        if upper == last:
            words.append(0)
        return np.array(words, dtype="<u4").tobytes()


class SegmentDecoder:
    """Decodes the bits of one segment.

    Args:
        payload: Bytes of the segment.

    Raises:
        CorruptError: The length of the payload is not a multiple of the word size.
    """

    def __init__(self, payload: bytes) -> None:
        if len(payload) % WORD_BYTES:
            msg = f"payload of {len(payload)} bytes, must be a multiple of {WORD_BYTES}"
            raise CorruptError(msg)
        words = np.frombuffer(payload, dtype="<u4").tolist()
        self._count = len(words)
        self._words = [*words, 0, 0]
        # `point` and `point - low` of the specification; the latter is at least `_width` once the payload left its
        # interval, and remains so until the next word is read.
        self._point = self._offset = self._words[0] << 32 | self._words[1]
        self._width = _WHOLE
        self._next = 2

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
        offset, width, bits = self._offset, self._width, bytearray()
        for share in _zero_shares(p1_q16):
            unit = width >> _TOTAL_BITS
            zero = unit * share
            if offset < zero:
                width = zero
                bits.append(0)
            else:
                offset -= zero
                width = (unit << _TOTAL_BITS) - zero
                bits.append(1)
            if width < _WORD:
                self._offset, self._width = offset, width
                self._read_word()
                offset, width = self._offset, self._width
        self._offset, self._width = offset, width
        self._check_interval()
        return np.frombuffer(bits, dtype=np.uint8)

    def finish(self) -> None:
        """Check that the payload is exactly what encoding the decoded bits gives.

        Raises:
            CorruptError: Words are missing, additional or altered.
        """
        low = (self._point - self._offset) & _WHOLE
        last, upper = (low + _LAST_WORD & _WHOLE) >> 32, (low + self._width & _WHOLE) >> 32
        count = self._next - (upper != last)
        if self._count != count or self._point != last << 32:
            msg = f"payload of {self._count} words differs from the {count} words that encode its bits"
            raise CorruptError(msg)

    def _read_word(self) -> None:
        """Take in the next word, 0 after the last one."""
        self._check_interval()
        word = self._words[self._next] if self._next < self._count else 0
        self._offset = self._offset << 32 | word
        self._point = (self._point << 32 | word) & _WHOLE
        self._width <<= 32
        self._next += 1

    def _check_interval(self) -> None:
        if self._offset >= self._width:
            raise CorruptError("payload is invalid under its probabilities")


def _zero_shares(p1_q16: NDArray[np.uint16]) -> Iterable[int]:
    """Return the share of a zero among 2^24 for each probability."""
    shares: list[int] = (((65536 - p1_q16.astype(np.int64)) * _SHARE_SCALE >> 16) + 1).tolist()
    return shares
