"""Conversion between the running CRC-32 that a file stores and the CRC-32 of one segment's codes.

Each segment of a file stores the CRC-32 of everything that determines the image up to and including its own codes, so a
segment is valid only at its own position in its own file. Records hold the CRC-32 of the segment's codes alone. Each
follows from the other without the codes: CRC-32 is the remainder of a polynomial, and appending bits multiplies it by a
power of x (as in `crc32_combine` of zlib).

Source: spec, `Codes_Crc` in section "Units".
"""

from __future__ import annotations

import zlib
from functools import lru_cache

_POLYNOMIAL = 0xEDB88320
"""The CRC-32 polynomial without its leading term; bit 31 is the coefficient of 1, bit 0 that of x^31."""
_BITS = 32
_ONE = 1 << 31
_BYTE = 1 << 23
"""x^8."""
_ZERO_BYTE_CRC = zlib.crc32(b"\0")


class RunningCrc:
    """The running CRC-32 over the segments of a file, in file order.

    Args:
        crc: CRC-32 of the covered bytes that precede the codes.
    """

    def __init__(self, crc: int) -> None:
        self._crc = crc

    def stored(self, own: int, length: int) -> int:
        """Return the running CRC that a file stores with the next segment.

        Args:
            own: CRC-32 of its packed code plane alone.
            length: Length of the packed code plane in bytes; 0 for a stopped segment, which counts as one zero byte.
        """
        self._crc = (
            crc32_combine(self._crc, own, length) if length else crc32_combine(self._crc, own ^ _ZERO_BYTE_CRC, 1)
        )
        return self._crc

    def own(self, stored: int, length: int) -> int:
        """Return the CRC-32 of the next segment's packed code plane alone; the inverse of `stored`."""
        before, self._crc = self._crc, stored
        return crc32_combine(before, stored, length) if length else crc32_combine(before, stored, 1) ^ _ZERO_BYTE_CRC


def crc32_combine(first: int, second: int, length: int) -> int:
    """Return the CRC-32 of the concatenation of bytes with CRC `first` and `length` bytes with CRC `second`.

    `crc32_combine(first, crc32_combine(first, second, length), length)` is `second` again.
    """
    for multiple in _multiples(length):
        if first & 1:
            second ^= multiple
        first >>= 1
    return second


@lru_cache(maxsize=64)
def _multiples(length: int) -> tuple[int, ...]:
    """Return the effect of each bit of a CRC, lowest first, on the CRC after `length` further bytes."""
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
    """Return the product of two polynomials modulo the CRC-32 polynomial."""
    product = 0
    for place in range(_BITS - 1, -1, -1):
        if left >> place & 1:
            product ^= right
        right = _times_x(right)
    return product


def _times_x(one: int) -> int:
    """Return a polynomial times x modulo the CRC-32 polynomial."""
    return one >> 1 ^ (_POLYNOMIAL if one & 1 else 0)
