"""The running checksum of a file's codes, and that of one segment's codes alone.

A file stores with each segment the CRC-32 of all that makes the picture up to there, so that segments stand in their
place of their file or nowhere. Records hold the CRC-32 of the segment's own codes, wherever it stands. One follows from
the other without the codes: CRC-32 is the remainder of a polynomial, and bits that follow multiply it by a power of x.

Source: spec, `Codes_Crc` in section "Units".
"""

from __future__ import annotations

import zlib
from functools import lru_cache

_POLYNOMIAL = 0xEDB88320
"""That of CRC-32 without its highest power; bit 31 is the coefficient of 1, bit 0 that of x^31."""
_BITS = 32
_ONE = 1 << 31
_BYTE = 1 << 23
"""The eighth power of x."""
_ZERO_BYTE_CRC = zlib.crc32(b"\0")


class RunningCrc:
    """Goes through the segments of a file in their order.

    Args:
        crc: CRC-32 of what comes before the codes.
    """

    def __init__(self, crc: int) -> None:
        self._crc = crc

    def stored(self, own: int, length: int) -> int:
        """Return what a file stores with the next segment.

        Args:
            own: CRC-32 of its packed codes alone.
            length: Their bytes when packed; 0 for a stopped segment, which counts as one byte 0.
        """
        self._crc = joined(self._crc, own, length) if length else joined(self._crc, own ^ _ZERO_BYTE_CRC, 1)
        return self._crc

    def own(self, stored: int, length: int) -> int:
        """Return the CRC-32 of the next segment's packed codes alone, which `stored` undoes."""
        before, self._crc = self._crc, stored
        return joined(before, stored, length) if length else joined(before, stored, 1) ^ _ZERO_BYTE_CRC


def joined(first: int, second: int, length: int) -> int:
    """Return the CRC-32 of bytes with the CRC `first`, and then of `length` bytes with the CRC `second`.

    `joined(first, joined(first, second, length), length)` is `second` again.
    """
    for multiple in _multiples(length):
        if first & 1:
            second ^= multiple
        first >>= 1
    return second


@lru_cache(maxsize=64)
def _multiples(length: int) -> tuple[int, ...]:
    """Return what each bit of a CRC, the lowest first, turns into by the bits of `length` bytes that follow."""
    power, factor = _ONE, _BYTE
    while length:
        if length & 1:
            power = _product(power, factor)
        factor = _product(factor, factor)
        length >>= 1
    multiples = [power]
    while len(multiples) < _BITS:
        multiples.append(_times_x(multiples[-1]))
    return tuple(reversed(multiples))


def _product(left: int, right: int) -> int:
    """Return the remainder of the product of two polynomials."""
    product = 0
    for place in range(_BITS - 1, -1, -1):
        if left >> place & 1:
            product ^= right
        right = _times_x(right)
    return product


def _times_x(one: int) -> int:
    """Return the remainder of a polynomial times x."""
    return one >> 1 ^ (_POLYNOMIAL if one & 1 else 0)
