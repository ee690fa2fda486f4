"""The embedded quantiser: coefficients -> nested intervals, coded by bits +-1, a visit at a time.

Each iteration visits some coefficients, each with a step of its own. A visit of a coefficient whose interval still
holds zero says whether its magnitude passes the first threshold, and the next ones, and its sign; later visits halve
the interval. Codes come in pairs, "above" and "below": a pair for each level of each visit, in order of coefficients.

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

from pillow_rnc.numpy_quantiser import BELOW, NO_LEVEL, UNBOUNDED, WORTH_HALVING
from pillow_rnc.pointwise import pointwise

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
        level: float32 [G], of each pair, from 1.
        sums: float32 [192, 2 G]: bits to symbols, -levels to levels.
    """

    step: Tensor
    levels: Tensor
    coefficient: Tensor
    level: Tensor
    sums: Tensor


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
        sums = own / 2
        return Visits(step, own.sum(1), coefficient, level, torch.cat([sums, -sums], 1))

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


def halved(reach: Tensor, step: Tensor, level: Tensor) -> Tensor:
    """Return whether a pair halves the interval of a coefficient that is known to differ from zero.

    Half widths [N, G, h, w], steps and levels of the pairs, [N, G, h, w] or fewer where they are the same.
    """
    return (level == 1) & ((reach < 0) | (reach > WORTH_HALVING * step))


def margins(target: Tensor, intervals: Intervals, visits: Visits, scale: Tensor) -> Tensor:
    """Return how far beyond its threshold each code is, [N, 2 G, h, w]: bits are one where that is not negative.

    Args:
        target: Coefficients [N, 192, h, w].
        intervals: Where they are known to lie.
        visits: Of the iteration.
        scale: What the step of each pair is multiplied by, [N, G, h, w]; or [N, 1, h, w], if it is one for all.
    """
    middle, reach = (_chosen(part, visits.coefficient) for part in intervals)
    level = visits.level.view(1, -1, 1, 1)
    step = visits.step[visits.coefficient].view(1, -1, 1, 1) * scale
    known = torch.where(halved(reach, step, level), step.new_zeros(()), NO_LEVEL)
    threshold = torch.where(middle != 0, known, level * step)
    threshold = torch.where(level == NO_LEVEL, NO_LEVEL, threshold)
    offset = _chosen(target, visits.coefficient) - middle
    return torch.cat([offset - threshold, -BELOW - offset - threshold], 1)


def advanced(bits: Tensor, intervals: Intervals, visits: Visits, scale: Tensor) -> Intervals:
    """Return the intervals after the bits +-1, [N, 2 G, h, w], of an iteration; other arguments as in `margins`."""
    moved = _moved(bits, Intervals(*(_chosen(part, visits.coefficient) for part in intervals)), visits, scale)
    # Every pair works out the interval of its visit, as sizes depend on no value; the first of a visit is taken.
    coefficients = len(visits.levels)
    first = coefficients + visits.sums[:, : len(visits.level)].argmax(1)
    source = torch.where(visits.levels > 0, first, torch.arange(coefficients, device=first.device))
    parts = zip(intervals, moved, strict=True)
    return Intervals(*(_chosen(torch.cat([before, after], 1), source) for before, after in parts))


def _moved(bits: Tensor, intervals: Intervals, visits: Visits, scale: Tensor) -> Intervals:
    """Return the intervals [N, G, h, w] of the coefficients that pairs tell of, after their visit."""
    middle, reach = intervals
    symbol = pointwise(bits, visits.sums[visits.coefficient])
    step, levels = (of[visits.coefficient].view(1, -1, 1, 1) for of in (visits.step, visits.levels))
    step = step * scale
    magnitude, sign = symbol.abs(), symbol.sign()
    # An interval that holds zero: the first thresholds.
    low = magnitude * step
    last = magnitude == levels
    beyond = last & (reach == UNBOUNDED)
    high = torch.where(beyond, low + step, torch.where(last, reach, torch.minimum(low + step, reach)))
    high = torch.maximum(high, low)
    fresh_middle = sign * (low + high) / 2
    fresh_reach = torch.where(beyond, low - high, high - low) / 2
    narrowed = torch.minimum(reach, step)
    # Any other: halved, or moved outward by twice its width as long as it has no end.
    half = reach.abs() / 2
    outward = (reach < 0) & (sign == middle.sign())
    known_middle = middle + sign * torch.where(outward, 4 * half, half)
    known_reach = torch.where(outward, 2 * reach, half)
    zero, still = middle == 0, symbol == 0
    return Intervals(
        torch.where(still, middle, torch.where(zero, fresh_middle, known_middle)),
        torch.where(still, torch.where(zero, narrowed, reach), torch.where(zero, fresh_reach, known_reach)),
    )


def amounts(visits: Visits) -> tuple[Tensor, Tensor]:
    """Return by how much each bit +-1 moves a middle where nothing is masked: [192, 2 G] each.

    First in intervals that hold zero, then in all others, whose half width is taken for a step.
    """
    step, first = visits.step[:, None], (visits.level == 1).repeat(2)
    moves = visits.sums * step
    return torch.where(first, 1.5 * moves, moves), torch.where(first, moves / 2, 0 * moves)
