"""Which bits of a tile's codes tell something, and what they mean to the entropy network.

Some follow from others: a sign of what is zero, a level beyond one that was not passed. Those are not coded and are 0.
In frameworks that learn their codes nothing follows from anything, and all bits are told.

Planes are flat here, [channels, cells], with the cells of the grid by rows. Bits are those of a pass: some channels of
a plane, counted from the first of them, at some cells.

Source: spec, section "Told bits".
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

    from pillow_rnc.entropy.schedule import Visits

    Bits = NDArray[np.uint8]
    Values = NDArray[np.int8]
    Mask = NDArray[np.bool_]
    Places = NDArray[np.intp]


class AllTold:
    """Every bit is told, in any iteration.

    Args:
        channels: C, all of them modelled.
    """

    def __init__(self, channels: int) -> None:
        self._channels = np.arange(channels)

    def rounds(self, channels: int) -> list[Places]:
        """Return the channels of a pass, so many, in parts of which each depends on no bit of its own."""
        return [self._channels[:channels]]

    def magnitudes(self, bits: Bits, channels: Places, cells: Places) -> Mask | EllipsisType:
        """Return which bits of some channels are told, [channels, cells]; an ellipsis if all are.

        Args:
            bits: Those of the pass, [its channels, cells]; the channels before these filled in.
            channels: A part of `rounds`.
            cells: Where.
        """
        del bits, channels, cells
        return ...

    def signs(self, plane: Bits) -> tuple[int, Mask]:
        """Return the first channel of the signs, and which of them are told, [signs, cells]."""
        return len(self._channels), np.zeros((0, plane.shape[1]), np.bool_)

    def values(self, bits: Bits, cells: Places | EllipsisType = ...) -> Values:
        """Return what the entropy network sees of the bits of a pass, once they are known, each 1, 0 or -1."""
        del cells
        return 2 * bits.view(np.int8) - 1

    def finish(self, plane: Bits) -> Values:
        """Move on to the next iteration; return the values [M, h, w] of the codes of this one, [C, h, w]."""
        return self.values(plane)


class VisitsTold:
    """Bits are told by the visits of the embedded quantiser: pairs of a magnitude and a sign.

    Args:
        visits: Of each iteration.
        pairs: G, half of the code channels.
        cells: Of the tile.
    """

    def __init__(self, visits: Sequence[Visits], pairs: int, cells: int) -> None:
        self._visits, self._pairs = iter(visits), pairs
        self._significant = np.zeros((COEFFICIENTS, cells), np.bool_)
        self._begin(next(self._visits))

    def _begin(self, visits: Visits) -> None:
        """Note the visits of an iteration, and which of their coefficients are significant already, [visits, cells]."""
        self._now, self._first = visits, visits.pairs[visits.first]
        self._known = self._significant[visits.coefficients]

    def rounds(self, channels: int) -> list[Places]:
        """As of `AllTold`: a further level comes in a later part than the level below; idle pairs in none."""
        del channels  # all magnitudes of a cell are coded in one pass
        pairs = self._now.pairs
        bounds = [0, *(np.flatnonzero(self._now.level[1:] > 1) + 1).tolist(), len(pairs)]
        return [pairs[start:end] for start, end in pairwise(bounds)]

    def magnitudes(self, bits: Bits, channels: Places, cells: Places) -> Mask | EllipsisType:
        """As of `AllTold`."""
        at = np.searchsorted(self._now.pairs, channels)
        further = np.flatnonzero(self._now.level[at] > 1)
        if not len(further):
            return ...
        told = np.ones((len(channels), len(cells)), np.bool_)
        below = bits[channels[further] - 1]
        told[further] = below > self._known[self._now.of_pair[at[further]]][:, cells]
        return told

    def signs(self, plane: Bits) -> tuple[int, Mask]:
        """As of `AllTold`."""
        told = np.zeros((self._pairs, plane.shape[1]), np.bool_)
        told[self._first] = plane[self._first] > self._known
        return self._pairs, told

    def values(self, bits: Bits, cells: Places | EllipsisType = ...) -> Values:
        """As of `AllTold`."""
        values = bits.astype(np.int8)
        values[self._first] -= self._known[:, cells] > values[self._first]
        return values

    def finish(self, plane: Bits) -> Values:
        """As of `AllTold`."""
        flat = plane.reshape(len(plane), -1)
        values = self.values(flat[: self._pairs]).reshape(self._pairs, *plane.shape[1:])
        self._significant[self._now.coefficients] |= flat[self._first] == 1
        self._begin(next(self._visits, self._now))
        return values


Told = AllTold | VisitsTold


def told_mask(told: Told, plane: Bits) -> Mask:
    """Return which bits of a plane uint8 [C, h, w] are told, [C, h, w]."""
    flat = plane.reshape(len(plane), -1)
    modelled, signs = told.signs(flat)
    everywhere = np.arange(flat.shape[1])
    mask = np.zeros(flat.shape, np.bool_)
    mask[modelled:] = signs
    for channels in told.rounds(modelled):
        magnitudes = told.magnitudes(flat, channels, everywhere)
        mask[channels] = True if magnitudes is ... else magnitudes
    return mask.reshape(plane.shape)


def untold(told: Told, plane: Bits) -> int:
    """Return how many bits of a plane uint8 [C, h, w] are ones that are not told; none may be."""
    return int(np.count_nonzero(plane.astype(np.bool_) & ~told_mask(told, plane)))
