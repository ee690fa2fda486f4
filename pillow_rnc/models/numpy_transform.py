"""The block transform in NumPy: matrices, filter across the borders of blocks, wavelet; see `torch_transform`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.entropy.schedule import COEFFICIENTS, MEANS
from pillow_rnc.models.basis import (
    BLOCK,
    LIFTING,
    LIFTING_GAIN,
    WAVELET_LEVELS,
    YCBCR,
    basis,
    overlap_filter,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_ROWS_AT_ONCE = 512


@cache  # each batch of tiles uses them
def pixel_matrices() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the right operands [192, 192] from the pixels of a block, less 128, to coefficients, and back; read-only.

    Pixels come as rows, columns, colours; coefficients as in `torch_transform`, but without weights.
    """
    cosines, colours = basis(), np.array(YCBCR)
    there = np.einsum("ij,kp->pjik", colours, cosines).reshape(COEFFICIENTS, COEFFICIENTS)
    back = np.einsum("ij,kp->jkpi", np.linalg.inv(colours), cosines).reshape(COEFFICIENTS, COEFFICIENTS)
    there.flags.writeable = back.flags.writeable = False
    return there, back


@cache
def overlap_matrices() -> tuple[Floats, Floats]:
    """Return the filters [8, 8] around a border of blocks, before blocks are transformed and afterwards; read-only."""
    there = overlap_filter().astype(np.float32)
    back = np.linalg.inv(overlap_filter()).astype(np.float32)
    there.flags.writeable = back.flags.writeable = False
    return there, back


def filter_borders(images: Floats, matrix: Floats) -> None:
    """Apply a filter to the eight pixels around each border of blocks, in place.

    Args:
        images: [n, height, width, 3], contiguous.
        matrix: [8, 8].
    """
    n, height, width, colours = images.shape
    half = BLOCK // 2
    if width > BLOCK:
        rows = images.reshape(n * height, width * colours)[:, half * colours : -half * colours]
        matrix_of_colours = np.kron(matrix.T, np.eye(colours, dtype=np.float32))
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            part[...] = (part.reshape(-1, BLOCK * colours) @ matrix_of_colours).reshape(part.shape)
    if height > BLOCK:
        columns = images[:, half:-half].reshape(n, -1, BLOCK, width * colours)
        for image in columns:
            for border in image:
                border[...] = matrix @ border


def transform_means(coefficients: Floats, *, back: bool, means: Sequence[int] | NDArray[np.intp] = MEANS) -> None:
    """Transform the means of blocks among coefficients by the wavelet, or back, in place.

    Args:
        coefficients: [192, n, h, w], or only some of them.
        back: Whether to transform back.
        means: Indices of the means.
    """
    planes = coefficients[list(means)]
    levels = range(WAVELET_LEVELS)
    for level in reversed(levels) if back else levels:
        grid = planes[:, :, :: 2**level, :: 2**level]
        rows, columns = grid.swapaxes(0, 3), grid.swapaxes(0, 2)  # views whose first axis runs along a line
        for lines in (columns, rows) if back else (rows, columns):
            _lift(lines, back=back)
    coefficients[list(means)] = planes


def _lift(lines: Floats, *, back: bool) -> None:
    """Transform lines along the first axis by lifting, or back, in place; mirrored at the ends."""
    if len(lines) == 1:
        return
    even, odd = lines[::2], lines[1::2]
    gain = np.float32(LIFTING_GAIN)
    steps = [(odd, even, LIFTING[0]), (even, odd, LIFTING[1]), (odd, even, LIFTING[2]), (even, odd, LIFTING[3])]
    if back:
        even /= gain
        odd *= gain
        steps = [(moved, around, -factor) for moved, around, factor in reversed(steps)]
    for moved, around, factor in steps:
        before = np.arange(len(moved)) - (moved is even)
        at, last = before + 1, len(around) - 1
        sums = around[np.clip(before, 0, last)] + around[np.clip(at, 0, last)]
        np.add(moved, np.float32(factor) * sums, out=moved)
    if not back:
        even *= gain
        odd /= gain
