"""Samples of tiles -> pixels of an image, by the kernel.

Twin: `pillow_rnc.codec.blending`, of whose samples these differ by rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pillow_rnc.entropy.kernel.library import INSTRUCTION_SETS, check, interface

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

_COLOURS = 3


def blend_samples(instruction_set: str, rows: Floats, tile: Floats, across: Floats, down: Floats) -> None:
    """Add a part of a tile to rows of an image, times its weights: rows += down * across * tile.

    Args:
        instruction_set: One of `library.supported()`.
        rows: float32 [h, w, 3], the last two dimensions contiguous.
        tile: float32 [h, w, 3], likewise.
        across: float32 [w], weights of the columns.
        down: float32 [h], weights of the rows.

    Raises:
        ValueError: The shapes do not fit.
    """
    if not rows.size:
        return
    for array in (rows, tile):
        fits = array.dtype == np.float32 and _has_whole_rows(array)
        if not fits or array.shape != (len(down), len(across), _COLOURS):
            msg = f"samples {array.dtype} of shape {array.shape} and strides {array.strides} do not fit their weights"
            raise ValueError(msg)
    ffi, lib = interface()
    to, other = ffi.cast("float *", rows.ctypes.data), ffi.cast("float *", tile.ctypes.data)
    columns, lines = (ffi.from_buffer("float[]", np.ascontiguousarray(one, np.float32)) for one in (across, down))
    isa = INSTRUCTION_SETS.index(instruction_set)
    size = (_reach(rows), _stride(rows), other, _reach(tile), _stride(tile))
    check(lib.rnc_blend(isa, to, *size, columns, len(across), lines, len(down)))


def round_samples(instruction_set: str, samples: Floats, out: NDArray[np.uint8]) -> bool:
    """Write samples float32 [h, w, 3] to uint8 [h, w, 3], or as grey values to [h, w], rounded and limited.

    Rows may lie apart, as those of a part of an image do.

    Returns:
        Whether all of them are finite numbers.

    Raises:
        ValueError: The shapes do not fit.
    """
    grey = out.ndim < samples.ndim
    fits = samples.dtype == np.float32 and out.dtype == np.uint8 and _has_whole_rows(samples) and _has_whole_rows(out)
    if not fits or samples.shape != (*out.shape[:2], _COLOURS):
        msg = f"samples {samples.dtype} of shape {samples.shape} do not fit pixels {out.dtype} of shape {out.shape}"
        raise ValueError(msg)
    if not out.size:
        return True
    ffi, lib = interface()
    to, given = ffi.cast("uint8_t *", out.ctypes.data), ffi.cast("float *", samples.ctypes.data)
    finite = ffi.new("int *")
    isa = INSTRUCTION_SETS.index(instruction_set)
    size = (_reach(out), _stride(out), given, _reach(samples), _stride(samples))
    check(lib.rnc_round(isa, to, *size, out.shape[1], len(out), grey, finite))
    return bool(finite[0])


def _has_whole_rows(array: NDArray[Any]) -> bool:
    """Whether the values of each row of an array [h, w, ...] lie side by side, and rows follow each other."""
    side_by_side = all(row.flags.c_contiguous for row in array[:1])
    return side_by_side and (len(array) <= 1 or array.strides[0] >= array[0].nbytes)


def _stride(array: NDArray[Any]) -> int:
    """Return how many values there are from one row to the next."""
    return int(array.strides[0] // array.itemsize)


def _reach(array: NDArray[Any]) -> int:
    """Return how many values there are from the first of an array [h, ...] to its last."""
    return (len(array) - 1) * _stride(array) + int(array[0].size)
