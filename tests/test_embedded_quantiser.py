"""The embedded quantiser: nested intervals, and bits that say where in them a coefficient lies."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pillow_rnc.entropy.schedule import NO_LEVEL
from pillow_rnc.models.embedded.torch_quantizer import (
    EmbeddedQuantiser,
    Intervals,
    Visits,
    advanced,
    amounts,
    at_rest,
    margins,
    told,
)

COEFFICIENTS, PAIRS, ITERATIONS = 3, 8, 6
SLACK = 1e-5  # of rounding, relative


class Schedule(NamedTuple):
    """Visits of each iteration, (coefficient, step, levels) each, and what steps are multiplied by."""

    visits: list[list[tuple[int, float, int]]]
    scales: list[torch.Tensor]  # [1, 3, 1, cells] each, of the coefficients

    def quantiser(self) -> EmbeddedQuantiser:
        quantiser = EmbeddedQuantiser(len(self.visits), COEFFICIENTS, PAIRS)
        for iteration, visits in enumerate(self.visits):
            quantiser.set_visits(iteration, visits)
        return quantiser


def levels_of_an_iteration(coefficients: int = COEFFICIENTS) -> st.SearchStrategy[list[int]]:
    """Return how many levels each coefficient is told; 0 is no visit, and all together fit the pairs."""
    return st.lists(st.integers(0, PAIRS // coefficients), min_size=coefficients, max_size=coefficients)


@st.composite
def schedules(draw: st.DrawFn, *, orderly: bool) -> Schedule:
    """Return any visits; or orderly ones: each halves the step of the one before, and scales never fall."""
    steps = draw(st.lists(st.floats(0.5, 300), min_size=COEFFICIENTS, max_size=COEFFICIENTS))
    cells = draw(st.integers(1, 4))
    scale, visits, scales = torch.ones(1, COEFFICIENTS, 1, cells), [], []
    for _ in range(draw(st.integers(1, ITERATIONS))):
        now = []
        for coefficient, levels in enumerate(draw(levels_of_an_iteration())):
            if levels:
                step = steps[coefficient] if orderly else draw(st.floats(0.5, 300))
                steps[coefficient] /= 2
                now.append((coefficient, step, levels))
        visits.append(draw(st.permutations(now)))
        factor = torch.tensor(draw(st.lists(st.floats(1, 1.5), min_size=cells, max_size=cells)))
        scale = scale * factor if orderly else factor.expand_as(scale)
        scales.append(scale)
    return Schedule(visits, scales)


def targets_for(schedule: Schedule, seed: int, spread: float) -> torch.Tensor:
    """Return coefficients of many magnitudes, zeros among them."""
    random = torch.Generator().manual_seed(seed)
    shape = (1, COEFFICIENTS, 16, schedule.scales[0].shape[-1])
    target = torch.randn(shape, generator=random) * spread * 10 ** (2 * torch.rand(shape, generator=random) - 1.5)
    return torch.where(torch.rand(shape, generator=random) < 0.1, 0.0, target)


def scale_of_pairs(scale: torch.Tensor, visits: Visits, rows: int) -> torch.Tensor:
    """Return what steps are multiplied by, of each pair, from what they are multiplied by of each coefficient."""
    return scale.expand(-1, -1, rows, -1)[:, visits.coefficient]


def bits_of(target: torch.Tensor, intervals: Intervals, visits: Visits, scale: torch.Tensor) -> torch.Tensor:
    return torch.where(margins(target, intervals, visits, scale) >= 0, 1.0, -1.0)


def walked(schedule: Schedule, target: torch.Tensor) -> list[tuple[torch.Tensor, Intervals]]:
    """Return the bits of each iteration, and the intervals after it."""
    quantiser, intervals, out = schedule.quantiser(), at_rest(target), []
    for iteration, scale in enumerate(schedule.scales):
        visits = quantiser.visits(iteration)
        here = scale_of_pairs(scale, visits, target.shape[2])
        bits = bits_of(target, intervals, visits, here)
        intervals = advanced(bits, intervals, visits, here)
        out.append((bits, intervals))
    return out


def ends(intervals: Intervals) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the lower and upper ends: none before the first visit, nor of a negative reach away from zero."""
    middle, reach = (part.double() for part in intervals)
    never, endless = reach == at_rest(reach).reach, reach < 0
    low = torch.where(never | endless & (middle < 0), -torch.inf, middle - reach.abs())
    return low, torch.where(never | endless & (middle > 0), torch.inf, middle + reach.abs())


def slack(*values: torch.Tensor) -> torch.Tensor:
    return SLACK * torch.stack([v.double().abs() for v in values]).nan_to_num(posinf=0).amax(0) + 1e-6


@given(schedule=schedules(orderly=False), seed=st.integers(0, 2**32 - 1), spread=st.floats(0.1, 3000))
def test_every_interval_lies_inside_the_one_before(schedule: Schedule, seed: int, spread: float) -> None:
    """Whatever the visits are, and however the scale moves in between."""
    target = targets_for(schedule, seed, spread)
    before = ends(at_rest(target))
    for _, intervals in walked(schedule, target):
        low, high = ends(intervals)
        assert bool((low >= before[0] - slack(low, high)).all())
        assert bool((high <= before[1] + slack(low, high)).all())
        assert bool((low <= high).all())
        before = low, high


@given(schedule=schedules(orderly=True), seed=st.integers(0, 2**32 - 1), spread=st.floats(0.1, 3000))
def test_the_target_lies_in_its_interval(schedule: Schedule, seed: int, spread: float) -> None:
    target = targets_for(schedule, seed, spread)
    for _, intervals in walked(schedule, target):
        low, high = ends(intervals)
        assert bool((low <= target + slack(target)).all())
        assert bool((high >= target - slack(target)).all())


@given(schedule=schedules(orderly=True), seed=st.integers(0, 2**32 - 1), spread=st.floats(0.1, 3000))
def test_targets_with_the_same_bits_share_their_intervals(schedule: Schedule, seed: int, spread: float) -> None:
    """The decoder has the bits alone: the middle of an interval that has ends is sent like any other in it."""
    target = targets_for(schedule, seed, spread)
    sent = walked(schedule, target)
    middle = torch.where(sent[-1][1].reach > 0, sent[-1][1].middle, target)
    for (bits, intervals), (again, same) in zip(sent, walked(schedule, middle), strict=True):
        assert torch.equal(bits, again)
        assert torch.equal(intervals.middle, same.middle)
        assert torch.equal(intervals.reach, same.reach)


@given(
    target=st.floats(-1e5, 1e5, width=32), step=st.floats(1, 400, width=32), levels=st.integers(1, PAIRS),
)  # fmt: skip
def test_any_magnitude_is_reached_after_enough_visits(target: float, step: float, levels: int) -> None:
    quantiser = EmbeddedQuantiser(1, 1, PAIRS)
    quantiser.set_visits(0, [(0, step, levels)])
    value, scale = torch.full((1, 1, 1, 1), target), torch.ones(1, 1, 1, 1)
    intervals, visits = at_rest(value), quantiser.visits(0)
    endless = False
    for _ in range(40):
        intervals = advanced(bits_of(value, intervals, visits, scale), intervals, visits, scale)
        endless |= intervals.reach.item() < 0

    assert endless == (abs(value.item()) >= levels * visits.step.item())
    assert 0 < intervals.reach.item() <= visits.step.item()
    assert abs(value.item() - intervals.middle.item()) <= intervals.reach.item() * (1 + SLACK) + SLACK * abs(target)


@given(schedule=schedules(orderly=False), seed=st.integers(0, 2**32 - 1), spread=st.floats(0.1, 3000))
def test_pairs_without_a_task_never_fire(schedule: Schedule, seed: int, spread: float) -> None:
    target = targets_for(schedule, seed, spread)
    for visits, (bits, _) in zip(schedule.visits, walked(schedule, target), strict=True):
        tasks = sum(levels for _, _, levels in visits)
        magnitudes, signs = bits[:, :PAIRS], bits[:, PAIRS:]
        assert bool((magnitudes[:, tasks:] == -1).all())
        assert bool((signs[:, tasks:] == -1).all())
        assert bool((signs <= magnitudes).all()), "what is zero has no sign"


@given(schedule=schedules(orderly=False), seed=st.integers(0, 2**32 - 1), spread=st.floats(0.1, 3000))
def test_bits_that_are_not_told_are_never_ones_and_change_nothing(schedule: Schedule, seed: int, spread: float) -> None:
    target = targets_for(schedule, seed, spread)
    before = at_rest(target)
    for iteration, (bits, after) in enumerate(walked(schedule, target)):
        visits = schedule.quantiser().visits(iteration)
        said = told(bits, before, visits)
        assert not bool(((bits > 0) & ~torch.cat([said.magnitudes, said.signs], 1)).any())
        fresh = before.middle[:, visits.coefficient] == 0
        inner = said.magnitudes & ~fresh & (bits[:, :PAIRS] < 0)
        assert torch.equal(said.values, (bits[:, :PAIRS] > 0).float() - inner.float())
        level = visits.level.view(1, -1, 1, 1)
        passes = torch.roll(bits[:, :PAIRS] > 0, 1, 1)
        assert torch.equal(said.magnitudes, (level == 1) | (level < NO_LEVEL) & fresh & passes)
        assert torch.equal(said.signs, (level == 1) & fresh & (bits[:, :PAIRS] > 0))
        before = after


@given(schedule=schedules(orderly=False), seed=st.integers(0, 2**32 - 1), other=st.integers(0, 2**32 - 1))
def test_a_coefficient_without_a_visit_costs_and_learns_nothing(schedule: Schedule, seed: int, other: int) -> None:
    target = targets_for(schedule, seed, 300)
    quantiser, iteration = schedule.quantiser(), len(schedule.visits) - 1
    sent, visits = walked(schedule, target), quantiser.visits(iteration)
    intervals = sent[-2][1] if iteration else at_rest(target)
    visited = {coefficient for coefficient, _, _ in schedule.visits[-1]}
    left = [c for c in range(COEFFICIENTS) if c not in visited]
    changed = target.clone()
    changed[:, left] = targets_for(schedule, other, 300)[:, left]
    bits = bits_of(changed, intervals, visits, scale_of_pairs(schedule.scales[-1], visits, target.shape[2]))

    assert torch.equal(bits, sent[-1][0])
    assert torch.equal(sent[-1][1].middle[:, left], intervals.middle[:, left])
    assert torch.equal(sent[-1][1].reach[:, left], intervals.reach[:, left])


@given(st.lists(schedules(orderly=False), min_size=2, max_size=2))
def test_visits_are_those_that_were_set_last(both: list[Schedule]) -> None:
    quantiser = EmbeddedQuantiser(1, COEFFICIENTS, PAIRS)
    for schedule in both:
        quantiser.set_visits(0, schedule.visits[0])
    found, expected = quantiser.visits(0), {c: (step, levels) for c, step, levels in both[1].visits[0]}

    for coefficient in range(COEFFICIENTS):
        step, levels = expected.get(coefficient, (0.0, 0))
        assert found.step[coefficient].item() == pytest.approx(step)
        assert found.levels[coefficient].item() == levels
        own = found.members[coefficient] != 0
        assert found.level[own].tolist() == list(range(1, levels + 1))
        assert bool((found.coefficient[own] == coefficient).all())


def test_a_visit_by_its_numbers() -> None:
    """Two levels of step 10: dead zone, first level, beyond; then halves, and the end of what had none."""
    quantiser = EmbeddedQuantiser(2, 1, 2)
    quantiser.set_visits(0, [(0, 10.0, 2)])
    quantiser.set_visits(1, [(0, 5.0, 1)])
    target = torch.tensor([9.0, -9.0, 10.0, -14.0, 24.0, -70.0, 0.0]).view(1, 1, 1, -1)
    scale = torch.ones_like(target)
    first = advanced(bits_of(target, at_rest(target), quantiser.visits(0), scale), at_rest(target),
                     quantiser.visits(0), scale)  # fmt: skip
    second = advanced(bits_of(target, first, quantiser.visits(1), scale), first, quantiser.visits(1), scale)

    assert first.middle.flatten().tolist() == [0, 0, 15, -15, 25, -25, 0]
    assert first.reach.flatten().tolist() == [10, 10, 5, 5, -5, -5, 10]
    assert second.middle.flatten().tolist() == [7.5, -7.5, 12.5, -12.5, 22.5, -35, 0]
    assert second.reach.flatten().tolist() == [2.5, 2.5, 2.5, 2.5, 2.5, -10, 5]


def test_gradients_pass_each_coefficient_once_however_many_pairs_tell_of_it() -> None:
    """Three levels of the middle one, one of the last and a pair without a task; the first is not visited."""
    quantiser = EmbeddedQuantiser(1, COEFFICIENTS, 5)
    quantiser.set_visits(0, [(1, 10.0, 3), (2, 10.0, 1)])
    middle = torch.full((1, COEFFICIENTS, 1, 2), 30.0, requires_grad=True)
    reach = torch.full((1, COEFFICIENTS, 1, 2), 8.0, requires_grad=True)
    visits, scale, target = quantiser.visits(0), torch.ones(1, 1, 1, 2), torch.tensor([33.0, 27.0]).expand(1, 3, 1, 2)
    bits = bits_of(target, Intervals(middle, reach), visits, scale)
    after = advanced(bits, Intervals(middle, reach), visits, scale)
    of_middle, of_reach = torch.autograd.grad(after.middle.sum() + 100 * after.reach.sum(), (middle, reach))

    assert of_middle.flatten().tolist() == [1] * 6
    assert of_reach[0, :, 0].tolist() == [[100, 100], [50.5, 49.5], [50.5, 49.5]]


def test_what_differs_from_zero_is_halved_however_narrow_its_interval() -> None:
    quantiser = EmbeddedQuantiser(1, 1, 1)
    quantiser.set_visits(0, [(0, 10.0, 1)])
    middles, reaches = [30.0, 30.0, -30.0, -30.0], [0.5, 7.0, 7.0, 7.0]
    before = Intervals(*(torch.tensor(values).view(1, 1, 1, 4) for values in (middles, reaches)))
    target, scale = torch.tensor([30.0, 29.0, -33.0, -29.0]).view(1, 1, 1, 4), torch.ones(1, 1, 1, 4)
    bits = bits_of(target, before, quantiser.visits(0), scale)
    after = advanced(bits, before, quantiser.visits(0), scale)

    assert bits[0, :, 0].tolist() == [[1, -1, 1, -1], [-1] * 4]
    assert after.middle.flatten().tolist() == [30.25, 26.5, -33.5, -26.5]
    assert after.reach.flatten().tolist() == [0.25, 3.5, 3.5, 3.5]


@given(schedule=schedules(orderly=False), seed=st.integers(0, 2**32 - 1), spread=st.floats(1, 3000))
def test_amounts_are_by_how_much_values_move_a_magnitude(schedule: Schedule, seed: int, spread: float) -> None:
    """Where nothing is masked: from rest, and where an interval is two steps wide."""
    target = targets_for(schedule, seed, spread)
    visits, scale = schedule.quantiser().visits(0), torch.ones_like(target[:, :1])
    rest, step = at_rest(target), visits.step.view(1, -1, 1, 1).expand_as(target)
    known = Intervals(torch.full_like(target, 5000.0), step)
    fresh_amounts, known_amounts = amounts(visits)
    for before, amount, where in ((rest, fresh_amounts, target), (known, known_amounts, 5000 + target.clamp(-1, 1))):
        bits = bits_of(where, before, visits, scale)
        moved = advanced(bits, before, visits, scale).middle.abs() - before.middle.abs()
        values = told(bits, before, visits).values

        torch.testing.assert_close(moved, torch.einsum("ck,nkhw->nchw", amount, values), rtol=1e-4, atol=2e-3)
    if schedule.visits[0]:
        assert bool(fresh_amounts.any())
