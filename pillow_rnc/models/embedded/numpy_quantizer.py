"""The embedded quantizer in NumPy: coefficients -> nested intervals, coded by bits; see `torch_quantizer`.

Maps have the coefficient first here, [192, cells], because an iteration codes a few coefficients of all cells.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.entropy.schedule import COEFFICIENTS, MEANS, UNBOUNDED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pillow_rnc.entropy.schedule import IterationSchedule
    from pillow_rnc.models.numpy_operands import Floats

    Codes = NDArray[np.uint8]

_CELLS_AT_ONCE = 2048  # their intermediate results stay in the second-level cache


class IntervalMaps:
    """Where the coefficients of all cells of some tiles are known to lie: midpoints and half widths.

    Args:
        shape: n, rows, columns.

    Attributes:
        midpoint: float32 [192, n, rows, columns].
        half_width: float32, the same shape; negative where an interval is unbounded.
    """

    def __init__(self, shape: tuple[int, int, int]) -> None:
        self.midpoint = np.zeros((COEFFICIENTS, *shape), np.float32)
        self.half_width = np.full((COEFFICIENTS, *shape), UNBOUNDED, np.float32)
        self._midpoint, self._half_width = (own.reshape(COEFFICIENTS, -1) for own in (self.midpoint, self.half_width))

    def _parts(self) -> Iterator[slice]:
        cells = self._midpoint.shape[1]
        return (slice(start, min(start + _CELLS_AT_ONCE, cells)) for start in range(0, cells, _CELLS_AT_ONCE))

    def encode(self, schedule: IterationSchedule, step_scale: Floats, target: Floats, codes: Codes) -> None:
        """Write the codes of an iteration.

        Args:
            schedule: Of the iteration.
            step_scale: By what masking multiplies the steps, [cells].
            target: Coefficients [192, cells].
            codes: uint8 [2 G, cells], to be filled with 0 and 1.
        """
        codes[...] = 0
        of, level, signs = schedule.of_pair, schedule.level[:, None], len(codes) // 2 + schedule.pairs[schedule.first]
        means = np.isin(schedule.coefficients, MEANS)
        for part in self._parts():
            step = _steps(schedule, means, step_scale[part])
            wanted, midpoint = (one[schedule.coefficients, part] for one in (target, self._midpoint))
            insignificant = midpoint == 0
            passes = np.abs(wanted)[of] >= level * step[of]
            outward = ((wanted - midpoint) * np.sign(midpoint) >= 0)[of] & (level == 1)
            codes[schedule.pairs, part] = np.where(insignificant[of], passes, outward)
            codes[signs, part] = insignificant & passes[schedule.first] & (wanted < 0)

    def refine(self, schedule: IterationSchedule, step_scale: Floats, codes: Codes) -> None:
        """Take the codes of an iteration, uint8 [2 G, cells]; other arguments as for `encode`."""
        if not len(schedule.pairs):
            return
        first, means = schedule.pairs[schedule.first], np.isin(schedule.coefficients, MEANS)
        for part in self._parts():
            step = _steps(schedule, means, step_scale[part])
            midpoint, half_width = (one[schedule.coefficients, part] for one in (self._midpoint, self._half_width))
            ones, known = codes[first, part] != 0, midpoint != 0
            narrowed = np.minimum(half_width, step)  # of those that stay zero, which most do
            at = np.flatnonzero(known)
            midpoint.flat[at], narrowed.flat[at] = _halve(midpoint.flat[at], half_width.flat[at], ones.flat[at])
            at = np.flatnonzero(ones > known)
            passed = codes[schedule.pairs, part]
            if len(passed) > len(first):
                passed = np.add.reduceat(passed, schedule.first, axis=0)
            entry, cell = np.divmod(at, midpoint.shape[1])
            minus = codes[len(codes) // 2 + first[entry], part.start + cell] != 0
            new = _leave_zero(passed.flat[at], schedule.levels[entry], step.flat[at], half_width.flat[at])
            midpoint.flat[at] = np.where(minus, np.float32(-1), np.float32(1)) * new[0]
            narrowed.flat[at] = new[1]
            self._midpoint[schedule.coefficients, part] = midpoint
            self._half_width[schedule.coefficients, part] = narrowed


def _halve(midpoint: Floats, half_width: Floats, outward: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Return midpoints and half widths of significant numbers after a refinement pass, [n] each.

    Their intervals are halved, or moved outward by twice their width as long as they are unbounded.
    """
    half = np.abs(half_width) * np.float32(0.5)
    grows = outward & (half_width < 0)
    move = np.where(grows, 4 * half, np.where(outward, half, -half))
    return midpoint + np.sign(midpoint) * move, np.where(grows, 2 * half_width, half)


def _leave_zero(passed: Codes, levels: Floats, step: Floats, half_width: Floats) -> tuple[Floats, Floats]:
    """Return absolute midpoints and half widths of numbers that become significant, [n] each.

    They lie between the last threshold that their magnitudes reach and the next: ``passed`` of ``levels`` thresholds.
    """
    last, low = passed == levels, passed.astype(np.float32) * step
    beyond = last & (half_width == UNBOUNDED)
    high = np.where(beyond, low + step, np.where(last, half_width, np.minimum(low + step, half_width)))
    high = np.maximum(high, low)
    return (low + high) / 2, np.where(beyond, low - high, high - low) / 2


def _steps(schedule: IterationSchedule, means: NDArray[np.bool_], step_scale: Floats) -> Floats:
    """Return the steps of all coefficients of an iteration, [V, cells]; block means are not masked."""
    steps: Floats = schedule.steps[:, None] * step_scale
    steps[means] = schedule.steps[means, None]
    return steps
