"""Matrix products of floats that represent integers, and a test that this machine computes them exactly.

Sums of products stay below 2^24, so float32 represents them exactly in any order of summation, unless a library
computes with less precision.

Source: spec, section "Tensors"; nothing here is normative.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pillow_rnc.entropy.tensors import UPDATE_SHIFT

Floats = NDArray[np.floating[Any]]

# Rows, length and number of sums, and the largest factors. The row counts select kernels for small and large products;
# 255 * 127 * 518 and 32767 * 512 are just below 2^24.
_KNOWN_PRODUCTS = (
    (1, 64, 16, 255, 127), (33, 80, 64, 255, 127), (200, 352, 64, 255, 127), (130, 518, 64, 255, 127),
    (120, 425, 64, 127, 127), (384, 128, 48, 127, 127), (384, 96, 32, 127, 127),  # state, context, output
    (120, 48, 96, 1, 32767), (7, 512, 96, 1, 32767),  # accumulators
    (120, 21, 96, 1, 48 * 127 * 127),  # channels folded into one
)  # fmt: skip


def matmul(left: Floats, right: Floats, out: Floats | None = None) -> Floats:
    """Return the matrix product, float32 [..., m, k] by [..., k, n]; the only place where sums are formed."""
    product: Floats = np.matmul(left, right, out=out)
    return product


@cache
def products_are_exact() -> bool:
    """Return whether float32 products give exact integers here, at the largest valid sums."""
    for rows, inner, outputs, left_max, right_max in _KNOWN_PRODUCTS:
        sample = np.arange(8)[:, None] * 37 + np.arange(inner) * 11
        left = left_max - sample % 7 % (left_max + 1)
        right = right_max - (np.arange(inner)[:, None] * 5 + np.arange(outputs) * 3) % 3
        for signs in (np.ones(inner, dtype=np.int64), 1 - 2 * (np.arange(inner) * 3 // 7 % 2)):
            signed = right * signs[:, None]
            expected = np.resize((left @ signed).astype(np.float32), (rows, outputs))
            factor = np.resize(left.astype(np.float32), (rows, inner))
            scaled = (signed * 2.0**-UPDATE_SHIFT).astype(np.float32)
            products = (matmul(factor, scaled), matmul(scaled.T, factor.T).T, matmul(factor, scaled[None])[0])
            if any((product * 2.0**UPDATE_SHIFT != expected).any() for product in products):
                return False
    return True
