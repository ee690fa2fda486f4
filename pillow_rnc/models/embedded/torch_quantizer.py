"""The embedded quantiser: coefficients -> nested intervals, coded by bits +-1, a visit at a time.

Each iteration visits some coefficients, each with a step of its own. A visit of a coefficient whose interval still
holds zero says whether its magnitude passes the first threshold, and the next ones, and its sign; later visits halve
the interval. Codes come in pairs, a magnitude and a sign: a pair for each level of each visit, in order of
coefficients. Which of them tell something follows from those before; all others are -1, and are not coded.

Every interval lies inside the one before, wherever the gain has moved in between, so that no bit says what was known.
The state of a coefficient is the middle of its interval and the half width ("reach"). A magnitude beyond the last level
has an interval without an end, marked by a negative reach, which grows by doubling until it holds the magnitude.

Source: embedded dead-zone quantisers, as in Taubman, "High performance scalable image compression with EBCOT", IEEE
Trans. Image Processing 9 (2000). The first threshold is a whole step, so that halving nests exactly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from pillow_rnc.entropy.schedule import NO_LEVEL, UNBOUNDED
from pillow_rnc.models.recurrent.pointwise import pointwise

if TYPE_CHECKING:
    from collections.abc import Iterable


class Intervals(NamedTuple):
    """Where the coefficients are known to lie: middles and half widths, [N, 192, h, w] each."""

    middle: Tensor
    reach: Tensor


class Visits(NamedTuple):
    """The visits of one iteration, as operands.

    Attributes:
        step: float32 [192], 0 where there is no visit.
        levels: float32 [192], how many levels a visit tells apart.
        coefficient: int64 [G], of each pair.
        level: float32 [G], from 1.
        members: float32 [192, G], 1 where a pair belongs to the visit of a coefficient.
    """

    step: Tensor
    levels: Tensor
    coefficient: Tensor
    level: Tensor
    members: Tensor


class EmbeddedQuantiser(nn.Module):
    """The pairs of codes of all iterations; parameters that do not learn, so that they travel with those that do.

    Args:
        iterations: T.
        coefficients: 192.
        pairs: G, pairs of codes in an iteration.

    Attributes:
        coefficient: float32 [T, G], what each pair tells of.
        level: float32 [T, G], from 1; `NO_LEVEL` of a pair without a task.
        step: float32 [T, G], of the visit that the pair belongs to.
    """

    def __init__(self, iterations: int, coefficients: int, pairs: int) -> None:
        super().__init__()
        self.coefficients, self.pairs = coefficients, pairs
        self.coefficient = nn.Parameter(torch.zeros(iterations, pairs), requires_grad=False)
        self.level = nn.Parameter(torch.full((iterations, pairs), NO_LEVEL), requires_grad=False)
        self.step = nn.Parameter(torch.zeros(iterations, pairs), requires_grad=False)

    def visits(self, iteration: int) -> Visits:
        """Return the visits of one iteration; index from 0. Sizes depend on no value, as captured graphs need it."""
        level = self.level[iteration].detach()
        coefficient = torch.where(level < NO_LEVEL, self.coefficient[iteration].detach().long(), 0)
        own = torch.arange(self.coefficients, device=level.device)[:, None] == coefficient
        own = (own & (level < NO_LEVEL)).to(level.dtype)  # [192, G]
        step = (own * self.step[iteration].detach()).amax(1)
        return Visits(step, own.sum(1), coefficient, level, own)

    @torch.no_grad()
    def set_visits(self, iteration: int, visits: Iterable[tuple[int, float, int]]) -> None:
        """Give the pairs of an iteration their tasks: visits of (coefficient, step, levels)."""
        self.level[iteration] = NO_LEVEL
        tasks = [(c, level, step) for c, step, levels in visits for level in range(1, levels + 1)]
        for pair, (coefficient, level, step) in enumerate(tasks):
            self.coefficient[iteration, pair] = coefficient
            self.level[iteration, pair] = level
            self.step[iteration, pair] = step


def at_rest(like: Tensor) -> Intervals:
    """Return the intervals before the first visit, of the shape of ``like``."""
    return Intervals(torch.zeros_like(like), torch.full_like(like, UNBOUNDED))


def _chosen(maps: Tensor, channels: Tensor) -> Tensor:
    """Return some channels of maps [N, C, h, w], channels last in memory, where taking them is fast in two axes."""
    n, c, h, w = maps.shape
    return maps.permute(0, 2, 3, 1).reshape(-1, c).index_select(1, channels).view(n, h, w, -1).permute(0, 3, 1, 2)


class Told(NamedTuple):
    """What the bits of an iteration tell, in the order of its pairs.

    Attributes:
        values: [N, G, h, w]: 1 where a magnitude bit is a one, -1 where it says the inner half, 0 elsewhere.
        magnitudes: Which magnitude bits are coded, bool [N, G, h, w].
        signs: Which sign bits are, bool [N, G, h, w].
    """

    values: Tensor
    magnitudes: Tensor
    signs: Tensor


def told(bits: Tensor, intervals: Intervals, visits: Visits) -> Told:
    """Return what the bits +-1 of an iteration, [N, 2 G, h, w], tell; ``intervals`` are those before it."""
    level = visits.level.view(1, -1, 1, 1)
    ones = bits[:, : len(visits.level)] > 0
    fresh = _chosen(intervals.middle, visits.coefficient) == 0
    below = torch.cat([torch.ones_like(ones[:, :1]), ones[:, :-1]], 1)  # one level below, or of another visit
    magnitudes = (level < NO_LEVEL) & ((level == 1) | (fresh & below))
    inner = magnitudes & ~fresh & ~ones
    return Told(ones.to(bits.dtype) - inner.to(bits.dtype), magnitudes, ones & fresh & (level == 1))


def margins(target: Tensor, intervals: Intervals, visits: Visits, scale: Tensor) -> Tensor:
    """Return how far beyond its threshold each code is, [N, 2 G, h, w]: bits are one where that is not negative.

    Args:
        target: Coefficients [N, 192, h, w].
        intervals: Where they are known to lie.
        visits: Of the iteration.
        scale: What the step of each pair is multiplied by, [N, G, h, w]; or [N, 1, h, w], if it is one for all.
    """
    target, middle = (_chosen(part, visits.coefficient) for part in (target, intervals.middle))
    level = visits.level.view(1, -1, 1, 1)
    fresh = middle == 0
    beyond = target.abs() - level * (visits.step[visits.coefficient].view(1, -1, 1, 1) * scale)
    outward = (target - middle) * middle.sign()
    never = beyond.new_full((), -NO_LEVEL)
    magnitude = torch.where(fresh, beyond, torch.where(level == 1, outward, never))
    magnitude = torch.where(level == NO_LEVEL, never, magnitude)
    sign = torch.where(fresh & (level == 1) & (magnitude >= 0), -target, never)
    return torch.cat([magnitude, sign], 1)


def advanced(bits: Tensor, intervals: Intervals, visits: Visits, scale: Tensor) -> Intervals:
    """Return the intervals after the bits +-1, [N, 2 G, h, w], of an iteration; other arguments as in `margins`."""
    moved = _moved(bits, Intervals(*(_chosen(part, visits.coefficient) for part in intervals)), visits, scale)
    # Every pair works out the interval of its visit, as sizes depend on no value; the first of a visit is taken.
    coefficients = len(visits.levels)
    first = coefficients + visits.members.argmax(1)
    source = torch.where(visits.levels > 0, first, torch.arange(coefficients, device=first.device))
    parts = zip(intervals, moved, strict=True)
    return Intervals(*(_chosen(torch.cat([before, after], 1), source) for before, after in parts))


def _moved(bits: Tensor, intervals: Intervals, visits: Visits, scale: Tensor) -> Intervals:
    """Return the intervals [N, G, h, w] of the coefficients that pairs tell of, after their visit.

    What comes out for a pair that is not the first of its visit is of no use.
    """
    middle, reach = intervals
    pairs = len(visits.level)
    fires = (bits > 0).to(bits.dtype)
    ones, minus = fires[:, :pairs], fires[:, pairs:]
    step, levels = (of[visits.coefficient].view(1, -1, 1, 1) for of in (visits.step, visits.levels))
    step = step * scale
    # An interval that holds zero: the thresholds that the magnitude passes.
    passed = pointwise(ones, visits.members[visits.coefficient])
    low = passed * step
    last = passed == levels
    beyond = last & (reach == UNBOUNDED)
    high = torch.where(beyond, low + step, torch.where(last, reach, torch.minimum(low + step, reach)))
    high = torch.maximum(high, low)
    fresh_middle = (1 - 2 * minus) * (low + high) / 2
    fresh_reach = torch.where(beyond, low - high, high - low) / 2
    # Any other: halved, or moved outward by twice its width as long as it has no end.
    half = reach.abs() / 2
    outward = ones > 0
    grows = outward & (reach < 0)
    known_middle = middle + middle.sign() * torch.where(outward, torch.where(grows, 4 * half, half), -half)
    known_reach = torch.where(grows, 2 * reach, half)
    zero, none = middle == 0, passed == 0
    return Intervals(
        torch.where(zero, torch.where(none, middle, fresh_middle), known_middle),
        torch.where(zero, torch.where(none, torch.minimum(reach, step), fresh_reach), known_reach),
    )


def amounts(visits: Visits) -> tuple[Tensor, Tensor]:
    """Return by how much the value of each magnitude bit, see `Told`, moves a magnitude, [192, G] each.

    First where it is zero so far, then in all others, whose half width is taken for a step; where nothing is masked.
    """
    moves, first = visits.members * visits.step[:, None], visits.level == 1
    return torch.where(first, 1.5 * moves, moves), torch.where(first, moves / 2, 0 * moves)
