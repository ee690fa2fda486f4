"""By what masking multiplies the steps, in NumPy; see `layers.masking`.

Encoders compare coefficients with steps, so the native kernel finds the same codes only if it finds the same factors.
Each operation here is one that IEEE 754 rounds in one way, in the order of `kernel/src/intervals_compute.c`; sums, the
logarithm and the exponential function of NumPy depend on its version and the machine.

Source: logarithm and exponential function after Cephes (S. Moshier), within 2 units in the last place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.models.basis import BLOCK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from pillow_rnc.models.numpy_operands import Floats

_FLOAT = np.float32
_LOGARITHM = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
_EXPONENTIAL = (
    1.9875691500e-4,
    1.3981999507e-3,
    8.3334519073e-3,
    4.1665795894e-2,
    1.6666665459e-1,
    5.0000001201e-1,
)
_LOG2 = (_FLOAT(0.693359375), _FLOAT(-2.12194440e-4))  # the sum of both; products with the first are exact
_SQRT_HALF_BITS = np.uint32(0x3F3504F3)
_MANTISSA_BITS = np.uint32(23)
_ROUNDER = _FLOAT(12582912)  # 1.5 2^23: what is added to it is rounded to an integer


def step_scale(midpoint: Floats, coefficients: Iterable[int], floor: float, exponent: float) -> Floats:
    """Return the factors of the steps, [n, rows, columns].

    Args:
        midpoint: Of the intervals of all coefficients, [192, n, rows, columns].
        coefficients: Those that are not all zero, rising.
        floor: Energy per coefficient from which on masking counts.
        exponent: Of the factor.
    """
    energy = np.zeros(midpoint.shape[1:], _FLOAT)
    for coefficient in coefficients:
        if 0 < coefficient < BLOCK**2:  # luma, but for its mean
            energy += np.square(midpoint[coefficient])
    padded = np.pad(energy, ((0, 0), (1, 1), (1, 1)))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    around = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    height, width = midpoint.shape[-2:]
    around /= _neighbours(height)[:, None] * _neighbours(width)
    energy += around
    energy *= _FLOAT(0.5 / ((BLOCK**2 - 1) * floor))
    return exponential(_FLOAT(exponent) * log_one_plus(energy))


def _neighbours(length: int) -> Floats:
    """Return how many of the cells before, at and after each of a row there are, [length]."""
    count = np.full(length, 3, np.float32)
    count[0] -= 1
    count[-1] -= 1
    return count


def log_one_plus(x: Floats) -> Floats:
    """Return log(1 + x) of float32 x >= 0, any shape."""
    limit = _FLOAT(1e37)
    u = np.minimum(_FLOAT(1) + x, limit)
    x = np.minimum(x, limit)
    bits = u.view(np.uint32)
    exponent = ((bits - _SQRT_HALF_BITS).view(np.int32) >> np.int32(23)).astype(np.uint32) & np.uint32(0x1FF)
    m = (bits - (exponent << _MANTISSA_BITS)).view(_FLOAT)  # in sqrt(1/2)..sqrt(2)
    e = exponent.astype(_FLOAT)
    rest = (x - (u - _FLOAT(1))) / u  # what was rounded off when 1 was added, relative to u
    m = m - _FLOAT(1)
    square = m * m
    tail = m * square * _polynomial(_LOGARITHM, m)
    tail += _LOG2[1] * e
    tail += _FLOAT(-0.5) * square
    found: Floats = (m + tail + rest) + _LOG2[0] * e
    return found


def exponential(x: Floats) -> Floats:
    """Return exp(x) of float32 x, any shape; x beyond -87..88 counts as these."""
    x = np.clip(x, _FLOAT(-87), _FLOAT(88))
    n = x * _FLOAT(1.44269504088896341) + _ROUNDER
    power = (n.view(np.uint32) - np.uint32(0x4B400000)).astype(np.uint32)
    n = n - _ROUNDER
    x = x - n * _LOG2[0]
    x = x - n * _LOG2[1]
    found: Floats = _polynomial(_EXPONENTIAL, x) * (x * x) + x + _FLOAT(1)
    scale: NDArray[np.float32] = ((power + np.uint32(127)) << _MANTISSA_BITS).view(_FLOAT)
    return found * scale


def _polynomial(factors: tuple[float, ...], x: Floats) -> Floats:
    found = np.full_like(x, factors[0])
    for factor in factors[1:]:
        found *= x
        found += _FLOAT(factor)
    return found
