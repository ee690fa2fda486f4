"""What an encoder is to code, in NumPy: pixels -> coefficients; see `torch_transform`.

Encoders compare coefficients with thresholds, so the native kernel finds the same codes only if it finds the same
coefficients. Each operation here is one that IEEE 754 rounds in one way, in the order of
`kernel/src/intervals_compute.c`; products of matrices depend on the library behind NumPy and on the machine.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from pillow_rnc.entropy.schedule import COEFFICIENTS
from pillow_rnc.models.basis import BLOCK, transform_constants
from pillow_rnc.models.numpy_transform import transform_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.models.numpy_operands import Floats

_HALF = BLOCK // 2
_COLOURS = 3
_CELLS_AT_ONCE = 128  # their intermediate results stay in the second-level cache


@cache  # each batch of tiles uses them
def _constants() -> tuple[Floats, Floats, Floats, Floats]:
    """Return colours [3, 3], the filter of differences [4, 4], half of the cosines [8, 4], weights [192]; read-only."""
    constants = transform_constants()
    cosines = constants["cosines"][:, :_HALF]
    arrays = (constants["colours"], of_differences(constants["overlap"]), cosines, constants["weights"])
    found = tuple(np.array(one, np.float32) for one in arrays)
    for one in found:
        one.flags.writeable = False
    colours, overlap, cosines, weights = found
    return colours, overlap, cosines, weights


def of_differences(overlap: Any) -> NDArray[np.float64]:  # noqa: ANN401
    """Return what an overlap filter [8, 8] does to the four differences of values that mirror each other, [4, 4].

    Sums pass it, so that of rows i and columns j below 4 it is half of one where i = j, and half of that matrix.
    """
    matrix: NDArray[np.float64] = 2 * np.asarray(overlap)[:_HALF, :_HALF] - np.eye(_HALF)
    return matrix


def coefficients(pixels: NDArray[np.uint8], wanted: NDArray[np.intp]) -> Floats:
    """Return coefficients [192, n, rows, columns], zeros where they are not wanted.

    Args:
        pixels: uint8 [n, height, width, 3], height and width multiples of 8.
        wanted: The coefficients that are wanted; the means must be among them.
    """
    n, height, width, _ = pixels.shape
    colours, overlap, cosines, weights = _constants()
    found = np.zeros((COEFFICIENTS, n, height // BLOCK, width // BLOCK), np.float32)
    for tile, image in enumerate(pixels):
        planes = _planes(image, colours)
        _filter(planes[:, :, _HALF:, :, :-1].swapaxes(0, 2), planes[:, :, :_HALF, :, 1:].swapaxes(0, 2), overlap)
        _filter(planes[:, _HALF:, :, :-1].swapaxes(0, 1), planes[:, :_HALF, :, 1:].swapaxes(0, 1), overlap)
        cells = planes.reshape(_COLOURS, BLOCK, BLOCK, -1)
        out = found[:, tile].reshape(COEFFICIENTS, -1)
        for start in range(0, out.shape[1], _CELLS_AT_ONCE):
            part = slice(start, start + _CELLS_AT_ONCE)
            rows = _analyse(cells[..., part].swapaxes(0, 1), cosines).swapaxes(0, 1)
            block = _analyse(np.moveaxis(rows, 2, 0), cosines)  # [8, 3, 8, cells], horizontal frequencies first
            block = np.moveaxis(block, 0, 2).reshape(COEFFICIENTS, -1)
            out[wanted, part] = block[wanted] * weights[wanted, None]
    transform_means(found, back=False)
    return found


def _planes(image: NDArray[np.uint8], colours: Floats) -> Floats:
    """Return Y, Cb and Cr of pixels [height, width, 3], less 128, as [3, 8, 8, rows, columns] of blocks."""
    height, width, _ = image.shape
    blocks = image.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, _COLOURS)
    red, green, blue = np.ascontiguousarray(blocks.transpose(4, 1, 3, 0, 2)).astype(np.float32) - np.float32(128)
    found = np.empty((_COLOURS, *red.shape), np.float32)
    for index, (of_red, of_green, of_blue) in enumerate(colours):
        np.multiply(of_red, red, out=found[index])
        found[index] += of_green * green
        found[index] += of_blue * blue
    return found


def _filter(before: Floats, after: Floats, matrix: Floats) -> None:
    """Filter the four values before and the four after each border of blocks, [4, ...] each, in place."""
    mirrored = after[::-1]
    sums, differences = before + mirrored, before - mirrored
    filtered = _products(matrix, differences)
    before[...] = np.float32(0.5) * (sums + filtered)
    mirrored[...] = np.float32(0.5) * (sums - filtered)


def _analyse(lines: Floats, cosines: Floats) -> Floats:
    """Return eight frequencies [8, ...] of eight values [8, ...]; even ones mirror themselves, odd ones change sign."""
    mirrored = lines[: _HALF - 1 : -1]
    found = np.empty(lines.shape, np.float32)
    found[::2] = _products(cosines[::2], lines[:_HALF] + mirrored)
    found[1::2] = _products(cosines[1::2], lines[:_HALF] - mirrored)
    return found


def _products(matrix: Floats, values: Floats) -> Floats:
    """Return the products of a matrix [4, 4] and values [4, ...], whose four terms are added one after the other."""
    columns = matrix.T.reshape(_HALF, _HALF, *(1,) * (values.ndim - 1))
    found: Floats = columns[0] * values[0]
    for column, value in zip(columns[1:], values[1:], strict=True):
        found += column * value
    return found
