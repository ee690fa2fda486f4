"""The range coder of the specification in plain integers: the oracle for the package's coder.

Unlike the reference decoder it also encodes, with the carry written out over the complete number.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_SCALE = (1 << 24) - 2


def first_share(p1_q16: int) -> int:
    """Return c(p1_q16), the share of a zero among 2^24."""
    return (((65536 - p1_q16) * _SCALE) >> 16) + 1


def encode(bits: Sequence[int], probabilities: Iterable[int]) -> bytes:
    """Return the canonical payload; `low` is one unbounded number, so a carry needs no care."""
    low, width, emitted = 0, (1 << 64) - 1, 0
    for bit, p1_q16 in zip(bits, probabilities, strict=True):
        share = first_share(p1_q16)
        unit = width >> 24
        low += unit * share if bit else 0
        width = unit * ((1 << 24) - share) if bit else unit * share
        if width < 1 << 32:
            low, width, emitted = low << 32, width << 32, emitted + 1
    point = (low + (1 << 32) - 1) >> 32
    upper = (low + width) >> 32
    words = [(point >> (32 * (emitted - n))) & 0xFFFFFFFF for n in range(emitted + 1)]
    if upper & 0xFFFFFFFF == point & 0xFFFFFFFF:
        words.append(0)
    return struct.pack(f"<{len(words)}I", *words)
