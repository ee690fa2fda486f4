"""Which bits of a tile's codes are coded, and their values as inputs of the entropy network.

Some bits follow from others: the sign of a coefficient that is zero, a level above one that was not reached. These are
inferred to be 0 and left out of the payload. In family `recurrent`, all bits are coded.

Planes are flat here, [channels, cells], with cells in row-major order. The bits of a pass are the first channels of a
plane at some of its cells.

Source: spec, section "Coded bits".
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.entropy.schedule import COEFFICIENTS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import EllipsisType

    from numpy.typing import NDArray

    from pillow_rnc.entropy.schedule import IterationSchedule

    Bits = NDArray[np.uint8]
    Values = NDArray[np.int8]
    Mask = NDArray[np.bool_]
    Indices = NDArray[np.intp]


class AllCoded:
    """All bits of all iterations are coded.

    Args:
        channels: C, all of them context-coded.
    """

    def __init__(self, channels: int) -> None:
        self._channels = np.arange(channels)

    def rounds(self, channels: int) -> list[Indices]:
        """Return the first `channels` channels in groups; whether a bit is coded depends on earlier groups only."""
        return [self._channels[:channels]]

    def magnitudes(self, bits: Bits, channels: Indices, cells: Indices) -> Mask | EllipsisType:
        """Return which bits of a group are coded, [channels, cells], or an ellipsis if all are.

        Args:
            bits: Bits of the pass, [channels of the pass, cells]; earlier groups are complete.
            channels: A group of `rounds`.
            cells: Positions of the cells in the plane.
        """
        del bits, channels, cells
        return ...

    def signs(self, plane: Bits) -> tuple[int, Mask]:
        """Return the first sign channel, and which sign bits are coded, [sign channels, cells]."""
        return len(self._channels), np.zeros((0, plane.shape[1]), np.bool_)

    def values(self, bits: Bits, cells: Indices | EllipsisType = ...) -> Values:
        """Return the values, each 1, 0 or -1, that represent the bits of a pass in the entropy network."""
        del cells
        return 2 * bits.view(np.int8) - 1

    def finish(self, plane: Bits) -> Values:
        """Complete an iteration with its codes [C, h, w], and return their values [M, h, w]."""
        return self.values(plane)


class ScheduleCoded:
    """Pairs of a magnitude and a sign bit, coded as the schedule and the significance of coefficients determine.

    Args:
        schedule: Schedule of each iteration.
        pairs: G, half of the code channels.
        cells: Number of cells of the tile.
    """

    def __init__(self, schedule: Sequence[IterationSchedule], pairs: int, cells: int) -> None:
        self._schedule, self._pairs = iter(schedule), pairs
        self._significant = np.zeros((COEFFICIENTS, cells), np.bool_)
        self._start_iteration(next(self._schedule))

    def _start_iteration(self, current: IterationSchedule) -> None:
        """Store the schedule of an iteration and which of its coefficients are significant, [V, cells]."""
        self._current, self._first = current, current.pairs[current.first]
        self._known = self._significant[current.coefficients]

    def rounds(self, channels: int) -> list[Indices]:
        """As for `AllCoded`: each level is in a later group than the level below; idle pairs are in none."""
        del channels  # all magnitudes of a cell are coded in one pass
        pairs = self._current.pairs
        bounds = [0, *(np.flatnonzero(self._current.level[1:] > 1) + 1).tolist(), len(pairs)]
        return [pairs[start:end] for start, end in pairwise(bounds)]

    def magnitudes(self, bits: Bits, channels: Indices, cells: Indices) -> Mask | EllipsisType:
        """As for `AllCoded`."""
        at = np.searchsorted(self._current.pairs, channels)
        higher = np.flatnonzero(self._current.level[at] > 1)
        if not len(higher):
            return ...
        coded = np.ones((len(channels), len(cells)), np.bool_)
        below = bits[channels[higher] - 1]
        coded[higher] = below > self._known[self._current.of_pair[at[higher]]][:, cells]
        return coded

    def signs(self, plane: Bits) -> tuple[int, Mask]:
        """As for `AllCoded`."""
        coded = np.zeros((self._pairs, plane.shape[1]), np.bool_)
        coded[self._first] = plane[self._first] > self._known
        return self._pairs, coded

    def values(self, bits: Bits, cells: Indices | EllipsisType = ...) -> Values:
        """As for `AllCoded`."""
        values = bits.astype(np.int8)
        values[self._first] -= self._known[:, cells] > values[self._first]
        return values

    def finish(self, plane: Bits) -> Values:
        """As for `AllCoded`."""
        flat = plane.reshape(len(plane), -1)
        values = self.values(flat[: self._pairs]).reshape(self._pairs, *plane.shape[1:])
        self._significant[self._current.coefficients] |= flat[self._first] == 1
        self._start_iteration(next(self._schedule, self._current))
        return values


CodedBits = AllCoded | ScheduleCoded


def coded_mask(coded_bits: CodedBits, plane: Bits) -> Mask:
    """Return which bits of a plane uint8 [C, h, w] are coded, bool [C, h, w]."""
    flat = plane.reshape(len(plane), -1)
    context_coded, signs = coded_bits.signs(flat)
    all_cells = np.arange(flat.shape[1])
    mask = np.zeros(flat.shape, np.bool_)
    mask[context_coded:] = signs
    for channels in coded_bits.rounds(context_coded):
        magnitudes = coded_bits.magnitudes(flat, channels, all_cells)
        mask[channels] = True if magnitudes is ... else magnitudes
    return mask.reshape(plane.shape)


def count_set_inferred(coded_bits: CodedBits, plane: Bits) -> int:
    """Return how many inferred bits of a plane uint8 [C, h, w] are set, which none may be."""
    return int(np.count_nonzero(plane.astype(np.bool_) & ~coded_mask(coded_bits, plane)))
