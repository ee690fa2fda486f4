"""Memory layout of cells for the fast entropy network, and the positions of the earlier bits that each pass reads.

Cells are stored in rows, by phase: row and column even, both odd, only the row even, only the column even. The cells of
every lattice are contiguous in this order.

Source: spec, sections "Sizes and passes" and "Probabilities"; nothing here is normative.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.entropy.tensors import Pass, cells_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

PHASES: tuple[tuple[int, int], ...] = ((0, 0), (1, 1), (0, 1), (1, 0))
_LATTICE_PHASES = (slice(0, 2), slice(2, 4), slice(0, 1), slice(1, 2))
_TAPS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))


def phases_of(lattice: int) -> tuple[tuple[int, int], ...]:
    """Return the phases that a lattice consists of."""
    return PHASES[_LATTICE_PHASES[lattice]]


def phase_rows(grid_h: int, grid_w: int) -> list[slice]:
    """Return the rows of the cells of each phase; within a phase, cells are in the order of the grid."""
    sizes = [len(range(y, grid_h, 2)) * len(range(x, grid_w, 2)) for y, x in PHASES]
    return [slice(sum(sizes[:n]), sum(sizes[: n + 1])) for n in range(len(PHASES))]


def lattice_rows(lattice: int, grid_h: int, grid_w: int) -> slice:
    """Return the rows of the cells of a lattice."""
    phases = phase_rows(grid_h, grid_w)[_LATTICE_PHASES[lattice]]
    return slice(phases[0].start, phases[-1].stop)


@lru_cache(maxsize=16)
def row_cells(grid_h: int, grid_w: int) -> NDArray[np.intp]:
    """Return the cell of each row: intp [h * w], positions in the flattened grid."""
    grid = np.arange(grid_h * grid_w).reshape(grid_h, grid_w)
    return np.concatenate([grid[y::2, x::2].ravel() for y, x in PHASES])


@lru_cache(maxsize=32)
def coding_order(lattice: int, grid_h: int, grid_w: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the position of each row of a lattice in coding order, and the inverse permutation: intp [n] each."""
    cells = row_cells(grid_h, grid_w)[lattice_rows(lattice, grid_h, grid_w)]
    return np.searchsorted(cells_of(lattice, grid_h, grid_w), cells), np.argsort(cells)


def known_taps(passes: tuple[Pass, ...], index: int) -> Iterator[tuple[int, tuple[int, int]]]:
    """Yield first channel and tap of each group of bits that are known before pass `index` in some of its cells."""
    here = phases_of(passes[index].lattice)
    for first in sorted({one.first for one in passes[:index]}):
        known = {phase for one in passes[:index] if one.first == first for phase in phases_of(one.lattice)}
        for dy, dx in _TAPS:
            if any(((y + dy) % 2, (x + dx) % 2) in known for y, x in here):
                yield first, (dy, dx)


@lru_cache(maxsize=32)
def context_rows(passes: tuple[Pass, ...], index: int, grid_h: int, grid_w: int) -> NDArray[np.intp]:
    """Return the rows of the known bits that are the context of pass `index`: intp [n, taps].

    Known bits are in rows, too: all cells of each group of channels, then a row of zeros.
    """
    cells, groups = grid_h * grid_w, max(one.stop for one in passes) // (passes[0].stop - passes[0].first)
    here = lattice_rows(passes[index].lattice, grid_h, grid_w)
    rows = []
    for first, tap in known_taps(passes, index):
        before = first // (passes[0].stop - passes[0].first) * cells
        there = _rows_at(tap, grid_h, grid_w)[here]
        rows.append(np.where(there < 0, groups * cells, before + there))
    return np.ascontiguousarray(np.stack(rows, axis=1))


def _rows_at(tap: tuple[int, int], grid_h: int, grid_w: int) -> NDArray[np.intp]:
    """Return the row of the cell at a tap from each row's cell, -1 outside the tile: intp [h * w]."""
    cells = row_cells(grid_h, grid_w)
    rows = np.empty(grid_h * grid_w, dtype=np.intp)
    rows[cells] = np.arange(len(cells))
    padded = np.pad(rows.reshape(grid_h, grid_w), 1, constant_values=-1)
    there: NDArray[np.intp] = padded[1 + tap[0] :, 1 + tap[1] :][:grid_h, :grid_w].ravel()[cells]
    return there
