"""The embedded quantizer: nested intervals, and bits that say where in them a coefficient lies."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pillow_rnc.entropy.schedule import NO_LEVEL
from pillow_rnc.models.embedded.torch_quantizer import (
    EmbeddedQuantizer,
    Intervals,
    ScheduleTensors,
    bit_amounts,
    coded_values,
    initial_intervals,
    margins,
    refine,
)

COEFFICIENTS, PAIRS, ITERATIONS = 3, 8, 6
SLACK = 1e-5  # of rounding, relative


class Schedule(NamedTuple):
    """IterationSchedule of each iteration, (coefficient, step, levels) each, and what steps are multiplied by."""

    visits: list[list[tuple[int, float, int]]]
    scales: list[torch.Tensor]  # [1, 3, 1, cells] each, of the coefficients

    def quantizer(self) -> EmbeddedQuantizer:
        quantizer = EmbeddedQuantizer(len(self.visits), COEFFICIENTS, PAIRS)
        for iteration, visits in enumerate(self.visits):
            quantizer.set_schedule(iteration, visits)
        return quantizer


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


def scale_of_pairs(scale: torch.Tensor, visits: ScheduleTensors, rows: int) -> torch.Tensor:
    """Return what steps are multiplied by, of each pair, from what they are multiplied by of each coefficient."""
    return scale.expand(-1, -1, rows, -1)[:, visits.coefficient]


def bits_of(target: torch.Tensor, intervals: Intervals, visits: ScheduleTensors, scale: torch.Tensor) -> torch.Tensor:
    return torch.where(margins(target, intervals, visits, scale) >= 0, 1.0, -1.0)


def walked(schedule: Schedule, target: torch.Tensor) -> list[tuple[torch.Tensor, Intervals]]:
    """Return the bits of each iteration, and the intervals after it."""
    quantizer, intervals, out = schedule.quantizer(), initial_intervals(target), []
    for iteration, scale in enumerate(schedule.scales):
        visits = quantizer.schedule(iteration)
        here = scale_of_pairs(scale, visits, target.shape[2])
        bits = bits_of(target, intervals, visits, here)
        intervals = refine(bits, intervals, visits, here)
        out.append((bits, intervals))
    return out


def ends(intervals: Intervals) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the lower and upper ends: none before the first visit, nor of a negative half_width away from zero."""
    midpoint, half_width = (part.double() for part in intervals)
    never, endless = half_width == initial_intervals(half_width).half_width, half_width < 0
    low = torch.where(never | endless & (midpoint < 0), -torch.inf, midpoint - half_width.abs())
    return low, torch.where(never | endless & (midpoint > 0), torch.inf, midpoint + half_width.abs())


def slack(*values: torch.Tensor) -> torch.Tensor:
    return SLACK * torch.stack([v.double().abs() for v in values]).nan_to_num(posinf=0).amax(0) + 1e-6


@given(schedule=schedules(orderly=False), seed=st.integers(0, 2**32 - 1), spread=st.floats(0.1, 3000))
def test_every_interval_lies_inside_the_one_before(schedule: Schedule, seed: int, spread: float) -> None:
    """Whatever the visits are, and however the scale moves in between."""
    target = targets_for(schedule, seed, spread)
    before = ends(initial_intervals(target))
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
    """The decoder has the bits alone: the midpoint of an interval that has ends is sent like any other in it."""
    target = targets_for(schedule, seed, spread)
    sent = walked(schedule, target)
    midpoint = torch.where(sent[-1][1].half_width > 0, sent[-1][1].midpoint, target)
    for (bits, intervals), (again, same) in zip(sent, walked(schedule, midpoint), strict=True):
        assert torch.equal(bits, again)
        assert torch.equal(intervals.midpoint, same.midpoint)
        assert torch.equal(intervals.half_width, same.half_width)


@given(
    target=st.floats(-1e5, 1e5, width=32), step=st.floats(1, 400, width=32), levels=st.integers(1, PAIRS),
)  # fmt: skip
def test_any_magnitude_is_reached_after_enough_visits(target: float, step: float, levels: int) -> None:
    quantizer = EmbeddedQuantizer(1, 1, PAIRS)
    quantizer.set_schedule(0, [(0, step, levels)])
    value, scale = torch.full((1, 1, 1, 1), target), torch.ones(1, 1, 1, 1)
    intervals, visits = initial_intervals(value), quantizer.schedule(0)
    endless = False
    for _ in range(40):
        intervals = refine(bits_of(value, intervals, visits, scale), intervals, visits, scale)
        endless |= intervals.half_width.item() < 0

    assert endless == (abs(value.item()) >= levels * visits.step.item())
    assert 0 < intervals.half_width.item() <= visits.step.item()
    assert abs(value.item() - intervals.midpoint.item()) <= intervals.half_width.item() * (1 + SLACK) + SLACK * abs(
        target
    )


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
    before = initial_intervals(target)
    for iteration, (bits, after) in enumerate(walked(schedule, target)):
        visits = schedule.quantizer().schedule(iteration)
        said = coded_values(bits, before, visits)
        assert not bool(((bits > 0) & ~torch.cat([said.magnitudes, said.signs], 1)).any())
        insignificant = before.midpoint[:, visits.coefficient] == 0
        inner = said.magnitudes & ~insignificant & (bits[:, :PAIRS] < 0)
        assert torch.equal(said.values, (bits[:, :PAIRS] > 0).float() - inner.float())
        level = visits.level.view(1, -1, 1, 1)
        passes = torch.roll(bits[:, :PAIRS] > 0, 1, 1)
        assert torch.equal(said.magnitudes, (level == 1) | (level < NO_LEVEL) & insignificant & passes)
        assert torch.equal(said.signs, (level == 1) & insignificant & (bits[:, :PAIRS] > 0))
        before = after


@given(schedule=schedules(orderly=False), seed=st.integers(0, 2**32 - 1), other=st.integers(0, 2**32 - 1))
def test_a_coefficient_without_a_visit_costs_and_learns_nothing(schedule: Schedule, seed: int, other: int) -> None:
    target = targets_for(schedule, seed, 300)
    quantizer, iteration = schedule.quantizer(), len(schedule.visits) - 1
    sent, visits = walked(schedule, target), quantizer.schedule(iteration)
    intervals = sent[-2][1] if iteration else initial_intervals(target)
    visited = {coefficient for coefficient, _, _ in schedule.visits[-1]}
    left = [c for c in range(COEFFICIENTS) if c not in visited]
    changed = target.clone()
    changed[:, left] = targets_for(schedule, other, 300)[:, left]
    bits = bits_of(changed, intervals, visits, scale_of_pairs(schedule.scales[-1], visits, target.shape[2]))

    assert torch.equal(bits, sent[-1][0])
    assert torch.equal(sent[-1][1].midpoint[:, left], intervals.midpoint[:, left])
    assert torch.equal(sent[-1][1].half_width[:, left], intervals.half_width[:, left])


@given(st.lists(schedules(orderly=False), min_size=2, max_size=2))
def test_visits_are_those_that_were_set_last(both: list[Schedule]) -> None:
    quantizer = EmbeddedQuantizer(1, COEFFICIENTS, PAIRS)
    for schedule in both:
        quantizer.set_schedule(0, schedule.visits[0])
    found, expected = quantizer.schedule(0), {c: (step, levels) for c, step, levels in both[1].visits[0]}

    for coefficient in range(COEFFICIENTS):
        step, levels = expected.get(coefficient, (0.0, 0))
        assert found.step[coefficient].item() == pytest.approx(step)
        assert found.levels[coefficient].item() == levels
        own = found.members[coefficient] != 0
        assert found.level[own].tolist() == list(range(1, levels + 1))
        assert bool((found.coefficient[own] == coefficient).all())


def test_a_visit_by_its_numbers() -> None:
    """Two levels of step 10: dead zone, first level, beyond; then halves, and the end of what had none."""
    quantizer = EmbeddedQuantizer(2, 1, 2)
    quantizer.set_schedule(0, [(0, 10.0, 2)])
    quantizer.set_schedule(1, [(0, 5.0, 1)])
    target = torch.tensor([9.0, -9.0, 10.0, -14.0, 24.0, -70.0, 0.0]).view(1, 1, 1, -1)
    scale = torch.ones_like(target)
    first = refine(bits_of(target, initial_intervals(target), quantizer.schedule(0), scale), initial_intervals(target),
                     quantizer.schedule(0), scale)  # fmt: skip
    second = refine(bits_of(target, first, quantizer.schedule(1), scale), first, quantizer.schedule(1), scale)

    assert first.midpoint.flatten().tolist() == [0, 0, 15, -15, 25, -25, 0]
    assert first.half_width.flatten().tolist() == [10, 10, 5, 5, -5, -5, 10]
    assert second.midpoint.flatten().tolist() == [7.5, -7.5, 12.5, -12.5, 22.5, -35, 0]
    assert second.half_width.flatten().tolist() == [2.5, 2.5, 2.5, 2.5, 2.5, -10, 5]


def test_gradients_pass_each_coefficient_once_however_many_pairs_tell_of_it() -> None:
    """Three levels of the midpoint one, one of the last and a pair without a task; the first is not visited."""
    quantizer = EmbeddedQuantizer(1, COEFFICIENTS, 5)
    quantizer.set_schedule(0, [(1, 10.0, 3), (2, 10.0, 1)])
    midpoint = torch.full((1, COEFFICIENTS, 1, 2), 30.0, requires_grad=True)
    half_width = torch.full((1, COEFFICIENTS, 1, 2), 8.0, requires_grad=True)
    visits, scale, target = quantizer.schedule(0), torch.ones(1, 1, 1, 2), torch.tensor([33.0, 27.0]).expand(1, 3, 1, 2)
    bits = bits_of(target, Intervals(midpoint, half_width), visits, scale)
    after = refine(bits, Intervals(midpoint, half_width), visits, scale)
    of_midpoint, of_half_width = torch.autograd.grad(
        after.midpoint.sum() + 100 * after.half_width.sum(), (midpoint, half_width)
    )

    assert of_midpoint.flatten().tolist() == [1] * 6
    assert of_half_width[0, :, 0].tolist() == [[100, 100], [50.5, 49.5], [50.5, 49.5]]


def test_what_differs_from_zero_is_halved_however_narrow_its_interval() -> None:
    quantizer = EmbeddedQuantizer(1, 1, 1)
    quantizer.set_schedule(0, [(0, 10.0, 1)])
    midpoints, half_widths = [30.0, 30.0, -30.0, -30.0], [0.5, 7.0, 7.0, 7.0]
    before = Intervals(*(torch.tensor(values).view(1, 1, 1, 4) for values in (midpoints, half_widths)))
    target, scale = torch.tensor([30.0, 29.0, -33.0, -29.0]).view(1, 1, 1, 4), torch.ones(1, 1, 1, 4)
    bits = bits_of(target, before, quantizer.schedule(0), scale)
    after = refine(bits, before, quantizer.schedule(0), scale)

    assert bits[0, :, 0].tolist() == [[1, -1, 1, -1], [-1] * 4]
    assert after.midpoint.flatten().tolist() == [30.25, 26.5, -33.5, -26.5]
    assert after.half_width.flatten().tolist() == [0.25, 3.5, 3.5, 3.5]


@given(schedule=schedules(orderly=False), seed=st.integers(0, 2**32 - 1), spread=st.floats(1, 3000))
def test_amounts_are_by_how_much_values_move_a_magnitude(schedule: Schedule, seed: int, spread: float) -> None:
    """Where nothing is masked: from rest, and where an interval is two steps wide."""
    target = targets_for(schedule, seed, spread)
    visits, scale = schedule.quantizer().schedule(0), torch.ones_like(target[:, :1])
    rest, step = initial_intervals(target), visits.step.view(1, -1, 1, 1).expand_as(target)
    known = Intervals(torch.full_like(target, 5000.0), step)
    new_amounts, known_amounts = bit_amounts(visits)
    for before, amount, where in ((rest, new_amounts, target), (known, known_amounts, 5000 + target.clamp(-1, 1))):
        bits = bits_of(where, before, visits, scale)
        moved = refine(bits, before, visits, scale).midpoint.abs() - before.midpoint.abs()
        values = coded_values(bits, before, visits).values

        torch.testing.assert_close(moved, torch.einsum("ck,nkhw->nchw", amount, values), rtol=1e-4, atol=2e-3)
    if schedule.visits[0]:
        assert bool(new_amounts.any())
