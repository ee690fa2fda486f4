"""The embedded quantiser in NumPy: coefficients -> nested intervals, coded by bits; see `embedded_quantiser`.

Maps have the coefficient first here, [192, cells], because a visit is to a few of them and to all cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.entropy.schedule import COEFFICIENTS, MEANS, UNBOUNDED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pillow_rnc.entropy.schedule import IterationSchedule
    from pillow_rnc.models.embedded.numpy_weights import Floats

    Codes = NDArray[np.uint8]


_CELLS_AT_ONCE = 2048  # what is worked out for them stays in the second-level cache


class Intervals:
    """Where the coefficients of all cells of some tiles are known to lie.

    Args:
        shape: n, rows, columns.

    Attributes:
        middle: float32 [192, n, rows, columns].
        reach: Half widths, the same shape; negative where an interval has no end yet.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.middle = np.zeros((COEFFICIENTS, *shape), np.float32)
        self.reach = np.full((COEFFICIENTS, *shape), UNBOUNDED, np.float32)
        self._middle, self._reach = (own.reshape(COEFFICIENTS, -1) for own in (self.middle, self.reach))

    def _parts(self) -> Iterator[slice]:
        cells = self._middle.shape[1]
        return (slice(start, min(start + _CELLS_AT_ONCE, cells)) for start in range(0, cells, _CELLS_AT_ONCE))

    def encode(self, visits: IterationSchedule, wider: Floats, target: Floats, codes: Codes) -> None:
        """Write the codes of an iteration.

        Args:
            visits: Of the iteration.
            wider: By what the masking widens the steps, [cells].
            target: Coefficients [192, cells].
            codes: uint8 [2 G, cells], to be filled with 0 and 1.
        """
        codes[...] = 0
        of, level, signs = visits.of_pair, visits.level[:, None], len(codes) // 2 + visits.pairs[visits.first]
        means = np.isin(visits.coefficients, MEANS)
        for part in self._parts():
            step = _steps(visits, means, wider[part])
            wanted, middle = (one[visits.coefficients, part] for one in (target, self._middle))
            fresh = middle == 0
            passes = np.abs(wanted)[of] >= level * step[of]
            outward = ((wanted - middle) * np.sign(middle) >= 0)[of] & (level == 1)
            codes[visits.pairs, part] = np.where(fresh[of], passes, outward)
            codes[signs, part] = fresh & passes[visits.first] & (wanted < 0)

    def advance(self, visits: IterationSchedule, wider: Floats, codes: Codes) -> None:
        """Take the codes of an iteration, uint8 [2 G, cells]; other arguments as for `encode`."""
        if not len(visits.pairs):
            return
        first, means = visits.pairs[visits.first], np.isin(visits.coefficients, MEANS)
        for part in self._parts():
            step = _steps(visits, means, wider[part])
            middle, reach = (one[visits.coefficients, part] for one in (self._middle, self._reach))
            ones, known = codes[first, part] != 0, middle != 0
            narrowed = np.minimum(reach, step)  # of those that stay zero, which most do
            at = np.flatnonzero(known)
            middle.flat[at], narrowed.flat[at] = _halved(middle.flat[at], reach.flat[at], ones.flat[at])
            at = np.flatnonzero(ones > known)
            passed = codes[visits.pairs, part]
            if len(passed) > len(first):
                passed = np.add.reduceat(passed, visits.first, axis=0)
            visit, cell = np.divmod(at, middle.shape[1])
            minus = codes[len(codes) // 2 + first[visit], part.start + cell] != 0
            known_now = _left(passed.flat[at], visits.levels[visit], step.flat[at], reach.flat[at])
            middle.flat[at] = np.where(minus, np.float32(-1), np.float32(1)) * known_now[0]
            narrowed.flat[at] = known_now[1]
            self._middle[visits.coefficients, part] = middle
            self._reach[visits.coefficients, part] = narrowed


def _halved(middle: Floats, reach: Floats, outward: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return middles and reaches of numbers that differ from zero after a visit, [n] each.

    Their intervals are halved, or moved outward by twice their width as long as they have no end.
    """
    half = np.abs(reach) * np.float32(0.5)
    grows = outward & (reach < 0)
    move = np.where(grows, 4 * half, np.where(outward, half, -half))
    return middle + np.sign(middle) * move, np.where(grows, 2 * reach, half)


def _left(passed: Codes, levels: Floats, step: Floats, reach: Floats) -> tuple[Floats, Floats]:
    """Return middles, without a sign, and reaches of numbers that leave zero in a visit, [n] each.

    They lie between the thresholds that their magnitudes pass, how many of them there are: ``passed`` of ``levels``.
    """
    last, low = passed == levels, passed.astype(np.float32) * step
    beyond = last & (reach == UNBOUNDED)
    high = np.where(beyond, low + step, np.where(last, reach, np.minimum(low + step, reach)))
    high = np.maximum(high, low)
    return (low + high) / 2, np.where(beyond, low - high, high - low) / 2


def _steps(visits: IterationSchedule, means: NDArray[np.bool_], wider: Floats) -> Floats:
    """Return the steps of all visits, [V, cells]; means are not masked."""
    steps: Floats = visits.steps[:, None] * wider
    steps[means] = visits.steps[means, None]
    return steps
