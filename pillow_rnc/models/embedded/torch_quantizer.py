"""The embedded quantizer in torch: coefficients -> nested intervals, coded by bits +-1.

Each iteration codes some of the coefficients, with a step for each. A coefficient whose interval holds zero gets a
significance pass: bits say whether its magnitude reaches the first threshold, then each further one, and then its sign.
Any other gets a refinement pass: one bit halves its interval. Codes come in pairs of a magnitude and a sign bit, a pair
for each level of each coefficient of the iteration. Bits that follow from earlier ones are inferred: they are -1 and
are not coded.

Every interval lies within the one before, even where the gain has changed in between, so that no bit is redundant. The
state of a coefficient is the midpoint of its interval and its half width. A magnitude beyond the last level has an
unbounded interval, marked by a negative half width, which is doubled until the interval holds the magnitude.

Source: embedded dead-zone quantizers, as in Taubman, "High performance scalable image compression with EBCOT", IEEE
Trans. Image Processing 9 (2000). The first threshold is a whole step, so that halving nests exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from pillow_rnc.entropy.schedule import NO_LEVEL, UNBOUNDED
from pillow_rnc.models.layers.pointwise import pointwise
from pillow_rnc.models.network import CodedValues

if TYPE_CHECKING:
    from collections.abc import Iterable


class Intervals(NamedTuple):
    """Where the coefficients are known to lie: midpoints and half widths, [N, 192, h, w] each."""

    midpoint: Tensor
    half_width: Tensor


class ScheduleTensors(NamedTuple):
    """The coefficients of one iteration and their pairs of codes, as operands; see `entropy.schedule`.

    Attributes:
        step: float32 [192], 0 where the iteration does not code the coefficient.
        levels: float32 [192], how many levels it has.
        coefficient: int64 [G], of each pair.
        level: float32 [G], from 1; `NO_LEVEL` of an idle pair.
        members: float32 [192, G], 1 where a pair belongs to a coefficient.
    """

    step: Tensor
    levels: Tensor
    coefficient: Tensor
    level: Tensor
    members: Tensor


class EmbeddedQuantizer(nn.Module):
    """The schedule of all iterations: parameters that do not learn, so that they are stored with those that do.

    Args:
        iterations: T.
        coefficients: 192.
        pairs: G, pairs of codes in an iteration.

    Attributes:
        coefficient: float32 [T, G], of each pair.
        level: float32 [T, G], from 1; `NO_LEVEL` of an idle pair.
        step: float32 [T, G], of the coefficient of each pair in the iteration.
    """

    def __init__(self, iterations: int, coefficients: int, pairs: int) -> None:
        super().__init__()
        self.coefficients, self.pairs = coefficients, pairs
        self.coefficient = nn.Parameter(torch.zeros(iterations, pairs), requires_grad=False)
        self.level = nn.Parameter(torch.full((iterations, pairs), NO_LEVEL), requires_grad=False)
        self.step = nn.Parameter(torch.zeros(iterations, pairs), requires_grad=False)

    def schedule(self, iteration: int) -> ScheduleTensors:
        """Return the schedule of one iteration; index from 0. Sizes depend on no value, as captured graphs need it."""
        level = self.level[iteration].detach()
        coefficient = torch.where(level < NO_LEVEL, self.coefficient[iteration].detach().long(), 0)
        own = torch.arange(self.coefficients, device=level.device)[:, None] == coefficient
        own = (own & (level < NO_LEVEL)).to(level.dtype)  # [192, G]
        step = (own * self.step[iteration].detach()).amax(1)
        return ScheduleTensors(step, own.sum(1), coefficient, level, own)

    @torch.no_grad()
    def set_schedule(self, iteration: int, entries: Iterable[tuple[int, float, int]]) -> None:
        """Assign the pairs of an iteration; entries are (coefficient, step, levels)."""
        self.level[iteration] = NO_LEVEL
        pairs = [(c, level, step) for c, step, levels in entries for level in range(1, levels + 1)]
        for pair, (coefficient, level, step) in enumerate(pairs):
            self.coefficient[iteration, pair] = coefficient
            self.level[iteration, pair] = level
            self.step[iteration, pair] = step


def initial_intervals(like: Tensor) -> Intervals:
    """Return the intervals before the first iteration, of the shape of ``like``."""
    return Intervals(torch.zeros_like(like), torch.full_like(like, UNBOUNDED))


def _gather(maps: Tensor, channels: Tensor) -> Tensor:
    """Return some channels of maps [N, C, h, w], channels last in memory, where gathering is fast in two axes."""
    n, c, h, w = maps.shape
    return maps.permute(0, 2, 3, 1).reshape(-1, c).index_select(1, channels).view(n, h, w, -1).permute(0, 3, 1, 2)


def coded_values(bits: Tensor, intervals: Intervals, schedule: ScheduleTensors) -> CodedValues:
    """Return which bits +-1 of an iteration, [N, 2 G, h, w], are coded; ``intervals`` are those before it.

    A value is 1 where a magnitude bit is one, -1 where it chooses the inner half of an interval, 0 elsewhere.
    """
    level = schedule.level.view(1, -1, 1, 1)
    ones = bits[:, : len(schedule.level)] > 0
    insignificant = _gather(intervals.midpoint, schedule.coefficient) == 0
    below = torch.cat([torch.ones_like(ones[:, :1]), ones[:, :-1]], 1)  # one level below, or of another coefficient
    magnitudes = (level < NO_LEVEL) & ((level == 1) | (insignificant & below))
    inner = magnitudes & ~insignificant & ~ones
    return CodedValues(ones.to(bits.dtype) - inner.to(bits.dtype), magnitudes, ones & insignificant & (level == 1))


def margins(target: Tensor, intervals: Intervals, schedule: ScheduleTensors, scale: Tensor) -> Tensor:
    """Return how far each code is beyond its threshold, [N, 2 G, h, w]: bits are one where that is not negative.

    Args:
        target: Coefficients [N, 192, h, w].
        intervals: Where they are known to lie.
        schedule: Of the iteration.
        scale: Multiplies the step of each pair, [N, G, h, w]; [N, 1, h, w] if it is the same for all.
    """
    target, midpoint = (_gather(part, schedule.coefficient) for part in (target, intervals.midpoint))
    level = schedule.level.view(1, -1, 1, 1)
    insignificant = midpoint == 0
    beyond = target.abs() - level * (schedule.step[schedule.coefficient].view(1, -1, 1, 1) * scale)
    outward = (target - midpoint) * midpoint.sign()
    never = beyond.new_full((), -NO_LEVEL)
    magnitude = torch.where(insignificant, beyond, torch.where(level == 1, outward, never))
    magnitude = torch.where(level == NO_LEVEL, never, magnitude)
    sign = torch.where(insignificant & (level == 1) & (magnitude >= 0), -target, never)
    return torch.cat([magnitude, sign], 1)


def refine(bits: Tensor, intervals: Intervals, schedule: ScheduleTensors, scale: Tensor) -> Intervals:
    """Return the intervals after the bits +-1, [N, 2 G, h, w], of an iteration; other arguments as in `margins`."""
    before = Intervals(*(_gather(part, schedule.coefficient) for part in intervals))
    refined = _refined_pairs(bits, before, schedule, scale)
    # Every pair computes the interval of its coefficient, as sizes depend on no value; that of the first is taken.
    coefficients = len(schedule.levels)
    first = coefficients + schedule.members.argmax(1)
    source = torch.where(schedule.levels > 0, first, torch.arange(coefficients, device=first.device))
    parts = zip(intervals, refined, strict=True)
    return Intervals(*(_gather(torch.cat([old, new], 1), source) for old, new in parts))


def _refined_pairs(bits: Tensor, intervals: Intervals, schedule: ScheduleTensors, scale: Tensor) -> Intervals:
    """Return the intervals [N, G, h, w] of the coefficients of all pairs after the iteration.

    The result is meaningful only for the first pair of each coefficient.
    """
    midpoint, half_width = intervals
    pairs = len(schedule.level)
    fires = (bits > 0).to(bits.dtype)
    ones, minus = fires[:, :pairs], fires[:, pairs:]
    step, levels = (of[schedule.coefficient].view(1, -1, 1, 1) for of in (schedule.step, schedule.levels))
    step = step * scale
    # Significance pass: the interval lies between the thresholds that the magnitude reaches and does not reach.
    passed = pointwise(ones, schedule.members[schedule.coefficient])
    low = passed * step
    last = passed == levels
    beyond = last & (half_width == UNBOUNDED)
    high = torch.where(beyond, low + step, torch.where(last, half_width, torch.minimum(low + step, half_width)))
    high = torch.maximum(high, low)
    new_midpoint = (1 - 2 * minus) * (low + high) / 2
    new_half_width = torch.where(beyond, low - high, high - low) / 2
    # Refinement pass: the interval is halved, or moved outward by twice its width as long as it is unbounded.
    half = half_width.abs() / 2
    outward = ones > 0
    grows = outward & (half_width < 0)
    moved = midpoint + midpoint.sign() * torch.where(outward, torch.where(grows, 4 * half, half), -half)
    narrowed = torch.where(grows, 2 * half_width, half)
    insignificant, none = midpoint == 0, passed == 0
    return Intervals(
        torch.where(insignificant, torch.where(none, midpoint, new_midpoint), moved),
        torch.where(insignificant, torch.where(none, torch.minimum(half_width, step), new_half_width), narrowed),
    )


def bit_amounts(schedule: ScheduleTensors) -> tuple[Tensor, Tensor]:
    """Return by how much the value of each magnitude bit, see `coded_values`, changes a magnitude, [192, G] each.

    First where the magnitude is zero so far, then elsewhere, where half widths are taken for the step; no masking.
    """
    change, first = schedule.members * schedule.step[:, None], schedule.level == 1
    return torch.where(first, 1.5 * change, change), torch.where(first, change / 2, 0 * change)
