"""The embedded quantiser in NumPy: coefficients -> nested intervals, coded by bits; see `embedded_quantiser`.

The numbers that both share stand here, where no torch is loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pillow_rnc.block_basis import COEFFICIENTS, MEANS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.numpy_cells import Strip
    from pillow_rnc.numpy_weights import Floats

WORTH_HALVING = 0.7
"""Half widths below this many steps are left alone."""

UNBOUNDED = 1e9
"""Reach of a coefficient that was never visited."""

NO_LEVEL = 1e6
"""Level of a pair without a task: no magnitude reaches it."""

BELOW = 1e-6
"""How far below the middle a coefficient is below it, as one at the middle counts as above."""


class Visits(NamedTuple):
    """The visits of one iteration, of V coefficients in all, and their P pairs of codes; idle pairs are left out.

    Attributes:
        coefficients: intp [V].
        steps: float32 [V].
        levels: float32 [V].
        masked: bool [V], all but the means.
        of_pair: intp [P], index of the visit of each pair.
        level: float32 [P], from 1.
        first: intp [V], the first pair of each visit; its others follow.
        pairs: intp [P], where the pairs stand among all G.
    """

    coefficients: NDArray[np.intp]
    steps: Floats
    levels: Floats
    masked: NDArray[np.bool_]
    of_pair: NDArray[np.intp]
    level: Floats
    first: NDArray[np.intp]
    pairs: NDArray[np.intp]


def visits_of(coefficient: Floats, level: Floats, step: Floats) -> Visits | None:
    """Return the visits of one iteration from its tables, float32 [G] each; None if they are not those of visits.

    The pairs of a visit stand side by side, with levels 1, 2 and so on, and one step.
    """
    pairs = np.flatnonzero(level != NO_LEVEL)
    coefficients, levels, steps = coefficient[pairs], level[pairs], step[pairs]
    if not np.all(np.isin(coefficients, np.arange(COEFFICIENTS)) & (steps > 0) & np.isfinite(steps)):
        return None
    of = coefficients.astype(np.intp)
    first = np.flatnonzero(levels == 1)
    sizes = np.diff(np.append(first, len(pairs)))
    of_pair = np.repeat(np.arange(len(first)), sizes)
    sound = (
        (not len(pairs) or (len(first) > 0 and first[0] == 0))
        and len(np.unique(of[first])) == len(first)
        and np.array_equal(levels, np.arange(len(pairs)) - first[of_pair] + 1 if len(first) else levels)
        and np.array_equal(of, of[first][of_pair])
        and np.array_equal(steps, steps[first][of_pair])
    )
    if not sound:
        return None
    masked = ~np.isin(of[first], MEANS)
    return Visits(of[first], steps[first], sizes.astype(np.float32), masked, of_pair, levels, first, pairs)


class Intervals:
    """Where the coefficients of n tiles are known to lie.

    Args:
        shape: n, rows, columns.

    Attributes:
        middle: float32 [n, rows, columns, 192].
        reach: Half widths, the same shape; negative where an interval has no end yet.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.middle = np.zeros((*shape, COEFFICIENTS), np.float32)
        self.reach = np.full((*shape, COEFFICIENTS), UNBOUNDED, np.float32)

    def _steps(self, visits: Visits, wider: Floats) -> Floats:
        """Return the steps in a strip, [cells, V]; ``wider`` [cells, 1] is by what the masking widens them."""
        return visits.steps * np.where(visits.masked, wider, np.float32(1))

    def encode(self, strip: Strip, visits: Visits, wider: Floats, target: Floats, bits: Floats) -> None:
        """Write the bits +-1 of a strip, [cells, 2 G], of a target [cells, 192]; the rest of them is -1."""
        step = self._steps(visits, wider)
        middle, reach = (strip.of(a).take(visits.coefficients, axis=1) for a in (self.middle, self.reach))
        offset = target.take(visits.coefficients, axis=1) - middle
        halves = (reach < 0) | (reach > WORTH_HALVING * step)
        fresh = middle == 0
        of, level = visits.of_pair, visits.level
        known = np.where(halves[:, of] & (level == 1), np.float32(0), np.float32(NO_LEVEL))
        threshold = np.where(fresh[:, of], level * step[:, of], known)
        half = bits.shape[1] // 2
        bits[...] = -1
        bits[:, visits.pairs] = np.where(offset[:, of] >= threshold, np.float32(1), np.float32(-1))
        bits[:, half + visits.pairs] = np.where(-BELOW - offset[:, of] >= threshold, np.float32(1), np.float32(-1))

    def advance(self, strip: Strip, visits: Visits, wider: Floats, bits: Floats) -> None:
        """Take the bits +-1 of a strip, [cells, 2 G]."""
        if not len(visits.pairs):
            return
        half = bits.shape[1] // 2
        sums = bits[:, visits.pairs] - bits[:, half + visits.pairs]
        symbol = np.add.reduceat(sums, visits.first, axis=1) * np.float32(0.5)
        step = self._steps(visits, wider)
        all_middles, all_reaches = strip.of(self.middle), strip.of(self.reach)
        middle, reach = (a.take(visits.coefficients, axis=1) for a in (all_middles, all_reaches))
        magnitude, sign = np.abs(symbol), np.sign(symbol)
        low = magnitude * step
        last = magnitude == visits.levels
        beyond = last & (reach == UNBOUNDED)
        high = np.where(beyond, low + step, np.where(last, reach, np.minimum(low + step, reach)))
        high = np.maximum(high, low)
        width = np.abs(reach) * np.float32(0.5)
        outward = (reach < 0) & (sign == np.sign(middle))
        fresh, still = middle == 0, symbol == 0
        new_middle = np.where(fresh, sign * (low + high) / 2, middle + sign * np.where(outward, 4 * width, width))
        new_reach = np.where(fresh, np.where(beyond, low - high, high - low) / 2, np.where(outward, 2 * reach, width))
        narrowed = np.where(fresh, np.minimum(reach, step), reach)
        all_middles[:, visits.coefficients] = np.where(still, middle, new_middle)
        all_reaches[:, visits.coefficients] = np.where(still, narrowed, new_reach)
