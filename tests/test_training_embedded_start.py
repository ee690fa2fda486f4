"""The schedule of an embedded quantizer: whom each iteration visits, and what that is worth."""

from __future__ import annotations

import dataclasses
import itertools
from typing import TYPE_CHECKING, NamedTuple

import pytest
import torch
from tiny_codec import CONFIG
from tiny_training import photograph

from pillow_rnc.entropy.schedule import MEANS
from pillow_rnc.models.embedded.network import EmbeddedNetwork
from pillow_rnc.training.embedded.start import greedy_schedule

if TYPE_CHECKING:
    from pillow_rnc.training.start import Start

pytestmark = pytest.mark.slow

ITERATIONS, PAIRS, FIRST_STEP, LAST_STEP = 6, 10, 120.0, 10.0
MOST_LEVELS, FEWEST_BLOCKS = 8, 4
COLOURS = MEANS[1:]


class Found(NamedTuple):
    """A schedule, and what it was found on."""

    network: EmbeddedNetwork
    target: torch.Tensor
    start: Start
    visits: list[dict[int, tuple[float, int]]]  # of each iteration: step and levels, by coefficient


@pytest.fixture(scope="module")
def found() -> Found:
    torch.manual_seed(3)
    network = EmbeddedNetwork(dataclasses.replace(CONFIG, code_channels=2 * PAIRS, iterations=ITERATIONS))
    pixels = torch.stack([torch.from_numpy(photograph(i)).permute(2, 0, 1).float() for i in range(3)])
    target = network.transform(pixels).detach()
    start = greedy_schedule(network, target, FIRST_STEP, LAST_STEP)
    visits = []
    for t in range(ITERATIONS):
        step, levels = network.quantizer.schedule(t)[:2]
        visits.append({c: (step[c].item(), int(levels[c])) for c in range(192) if levels[c]})
    return Found(network, target, start, visits)


def test_errors_fall_from_iteration_to_iteration(found: Found) -> None:
    errors = [float(found.target.square().sum(1).mean() / 64), *found.start.errors]

    assert len(errors) == 1 + ITERATIONS
    assert all(after < before for before, after in itertools.pairwise(errors))
    assert errors[-1] < 0.5 * errors[1]


def test_no_iteration_uses_more_pairs_than_there_are(found: Found) -> None:
    used = [sum(levels for _, levels in visits.values()) for visits in found.visits]

    assert max(used) <= PAIRS
    assert used[-1] == PAIRS, "there is always more to say"
    for t, count in enumerate(used):
        assert int((found.network.quantizer.level[t] < 1e6).sum()) == count


def test_means_are_told_whole_at_their_first_visit(found: Found) -> None:
    """All levels that enough blocks of the sample reach, because what lies beyond them comes late."""
    met: dict[int, float] = {}
    for visits in found.visits:
        for coefficient in set(MEANS) & visits.keys() - met.keys():
            step, levels = visits[coefficient]
            met[coefficient] = step
            reached = [int((found.target[:, coefficient].abs() >= level * step).sum()) for level in range(1, 10)]
            assert reached[levels - 1] >= FEWEST_BLOCKS
            assert levels == MOST_LEVELS or reached[levels] < FEWEST_BLOCKS

    assert 0 in met, "the means of luma are told"


def test_visits_of_a_coefficient_halve_its_step(found: Found) -> None:
    last: dict[int, float] = {}
    again = 0
    for t, visits in enumerate(found.visits):
        own = FIRST_STEP * (LAST_STEP / FIRST_STEP) ** (t / (ITERATIONS - 1))
        for coefficient, (step, _) in visits.items():
            if coefficient in last:
                again += 1
                assert step == pytest.approx(last[coefficient] / 2)
            else:
                allowed = (2,) if coefficient in COLOURS else (1, 2, 4)
                assert step / own == pytest.approx(min(allowed, key=lambda k: abs(k - step / own)), rel=1e-5)
            last[coefficient] = step

    assert again > PAIRS, "coefficients are visited again"
    assert len(last) > PAIRS, "and others besides"


def test_the_first_iterations_tell_colours(found: Found) -> None:
    """Or their pictures have false ones."""
    for coefficient in COLOURS:
        steps = [visits[coefficient][0] for visits in found.visits[:3]]
        assert steps == pytest.approx([2 * FIRST_STEP, FIRST_STEP, FIRST_STEP / 2])


def test_a_silent_decoder_shows_what_was_promised(found: Found) -> None:
    network, target = found.network, found.target
    state, errors, ones = network.initial_state(*target[:, 0].shape), [], []
    with torch.no_grad():
        for t in range(ITERATIONS):
            schedule = network.weights_of(t)
            a, _ = network.encode_step(target, schedule, state, None)
            bits = network.binarizer(a)
            coded = network.coded_values(bits, schedule, state)
            ones.append((bits[:, :PAIRS] > 0).sum((0, 2, 3)) / coded.magnitudes.sum((0, 2, 3)).clamp(min=1))
            state = network.decode_step(bits, schedule, state)
            shown = network.reconstruct(state, torch.full((len(target),), t))
            errors.append(float((shown - target).square().sum(1).mean() / 64))

    assert errors == pytest.approx(found.start.errors, rel=1e-5)
    torch.testing.assert_close(torch.stack(ones), found.start.ones)
    assert torch.equal(shown, state.midpoint), "the decoder says nothing yet"
    assert torch.exp(-network.log_gain).tolist() == pytest.approx(
        [FIRST_STEP * (LAST_STEP / FIRST_STEP) ** (t / (ITERATIONS - 1)) for t in range(ITERATIONS)]
    )


def test_bits_that_are_told_are_ones_less_than_half_of_the_time(found: Found) -> None:
    ones = found.start.ones

    assert bool((ones.sum(1) > 0).all()), "each iteration says something"
    assert 0.05 < ones.mean() < 0.45
    assert bool((ones <= 1).all())
