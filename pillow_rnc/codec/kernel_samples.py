"""Samples of tiles -> pixels of an image, by the kernel.

Twin: `pillow_rnc.codec.blending`, of whose samples these differ by rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
        fits = array.dtype == np.float32 and array.strides[1:] == (4 * _COLOURS, 4) and array.strides[0] > 0
        if not fits or array.shape != (len(down), len(across), _COLOURS):
            msg = f"samples {array.dtype} of shape {array.shape} and strides {array.strides} do not fit their weights"
            raise ValueError(msg)
    ffi, lib = interface()
    to, other = ffi.cast("float *", rows.ctypes.data), ffi.cast("float *", tile.ctypes.data)
    columns, lines = (ffi.from_buffer("float[]", np.ascontiguousarray(one, np.float32)) for one in (across, down))
    isa = INSTRUCTION_SETS.index(instruction_set)
    size = (_reach(rows), rows.strides[0] // 4, other, _reach(tile), tile.strides[0] // 4)
    check(lib.rnc_blend(isa, to, *size, columns, len(across), lines, len(down)))


def round_samples(instruction_set: str, samples: Floats, out: NDArray[np.uint8]) -> bool:
    """Write samples float32 [h, w, 3] to uint8 [h, w, 3], or as grey values to [h, w], rounded and limited.

    Returns:
        Whether all of them are finite numbers.

    Raises:
        ValueError: The shapes do not fit.
    """
    grey = out.ndim < samples.ndim
    if samples.shape[:2] != out.shape[:2] or not out.flags.c_contiguous:
        msg = f"samples of shape {samples.shape} do not fit pixels of shape {out.shape}"
        raise ValueError(msg)
    ffi, lib = interface()
    samples = np.ascontiguousarray(samples, np.float32)
    given, to, finite = ffi.from_buffer("float[]", samples), ffi.from_buffer("uint8_t[]", out), ffi.new("int *")
    isa = INSTRUCTION_SETS.index(instruction_set)
    check(lib.rnc_round(isa, to, out.size, given, samples.size, grey, finite))
    return bool(finite[0])


def _reach(array: Floats) -> int:
    """Return how many values there are from the first of an array [h, w, 3] to its last."""
    return int((len(array) - 1) * (array.strides[0] // 4) + array.shape[1] * _COLOURS)
