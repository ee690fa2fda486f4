"""The block transform in NumPy: its matrices, and its filter across the borders of blocks; see `block_transform`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.block_basis import BLOCK, COEFFICIENTS, YCBCR, basis, coefficient_weights, overlap_filter

if TYPE_CHECKING:
    from pillow_rnc.numpy_weights import Floats

_ROWS_AT_ONCE = 512


def transform_matrices() -> tuple[Floats, Floats]:
    """Return the right operands [192, 192] from the pixels of a block, less 128, to coefficients, and back.

    Pixels come as rows, columns, colours; coefficients as in `block_transform`.
    """
    cosines, colours, weight = basis(), np.array(YCBCR), coefficient_weights()
    there = np.einsum("ij,kp->pjik", colours, cosines).reshape(COEFFICIENTS, COEFFICIENTS) * weight
    back = np.einsum("ij,kp->jkpi", np.linalg.inv(colours), cosines).reshape(COEFFICIENTS, COEFFICIENTS)
    return there.astype(np.float32), (back / weight[:, None]).astype(np.float32)


def overlap_matrices() -> tuple[Floats, Floats]:
    """Return the filters [8, 8] around a border of blocks, before the blocks are transformed and afterwards."""
    matrix = overlap_filter()
    return matrix.astype(np.float32), np.linalg.inv(matrix).astype(np.float32)


def filter_borders(pictures: Floats, matrix: Floats) -> None:
    """Apply a filter to the eight pixels around each border of blocks, in place.

    Args:
        pictures: [n, height, width, 3], contiguous.
        matrix: [8, 8].
    """
    n, height, width, colours = pictures.shape
    half = BLOCK // 2
    if width > BLOCK:
        rows = pictures.reshape(n * height, width * colours)[:, half * colours : -half * colours]
        matrix_of_colours = np.kron(matrix.T, np.eye(colours, dtype=np.float32))
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = rows[start : start + _ROWS_AT_ONCE]
            part[...] = (part.reshape(-1, BLOCK * colours) @ matrix_of_colours).reshape(part.shape)
    if height > BLOCK:
        columns = pictures[:, half:-half].reshape(n, -1, BLOCK, width * colours)
        for picture in columns:
            for border in picture:
                border[...] = matrix @ border
