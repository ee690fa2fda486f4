"""Where the passes of the entropy network meet the bits of earlier passes, for code that gathers them.

Known bits lie in rows: one for each pass and cell of it, pass after pass, then a row of zeros.

Source: spec, section "Probabilities"; nothing here is normative.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.entropy_reference import Pass, cells_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_TAPS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))


def row_starts(passes: tuple[Pass, ...], grid_h: int, grid_w: int) -> tuple[list[int], int]:
    """Return the first row of each pass among the known bits, and the number of rows."""
    starts, rows = [], 0
    for one in passes:
        starts.append(rows)
        rows += cells_of(one.parity, grid_h, grid_w).size
    return starts, rows


def seen_taps(passes: tuple[Pass, ...], index: int) -> Iterator[tuple[Pass, tuple[int, int]]]:
    """Yield each earlier pass with the taps at which pass ``index`` meets its bits."""
    for seen in passes[:index]:
        for dy, dx in _TAPS:
            if (passes[index].parity + dy + dx - seen.parity) % 2 == 0:
                yield seen, (dy, dx)


@lru_cache(maxsize=32)
def context_rows(passes: tuple[Pass, ...], index: int, grid_h: int, grid_w: int) -> NDArray[np.intp]:
    """Return where the context of pass ``index`` lies among the known bits: intp [n, taps]."""
    starts, zeros = row_starts(passes, grid_h, grid_w)
    centre = cells_of(passes[index].parity, grid_h, grid_w)
    rows = []
    for seen, (dy, dx) in seen_taps(passes, index):
        place = np.full((grid_h + 2, grid_w + 2), zeros)
        cells = cells_of(seen.parity, grid_h, grid_w)
        inner = np.full(grid_h * grid_w, zeros)
        inner[cells] = starts[passes.index(seen)] + np.arange(cells.size)
        place[1:-1, 1:-1] = inner.reshape(grid_h, grid_w)
        rows.append(place[1 + dy :, 1 + dx :][:grid_h, :grid_w].ravel()[centre])
    return np.ascontiguousarray(np.stack(rows, axis=1), dtype=np.intp)
