"""The schedule of the embedded quantizer: which coefficients, with which steps, in which iteration; found greedily.

Each iteration assigns its pairs of codes where they reduce squared error + lambda * bits most, with a Lagrange
multiplier that falls from iteration to iteration. Most codes are then zeros, which the entropy network codes almost for
nothing: the rate goes where the image has detail, and a prefix of the codes is close to the best quantizer of its rate.
Error is measured in units of the gain, so that textured blocks are quantized more coarsely. Bits are conditional on the
neighbours.

Colours come earlier than that: a preview with wrong colours is a wrong image, even though PSNR-HVS, which is of luma
alone, hardly shows it. So the first iterations all code the chroma means, at any cost.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pillow_rnc.entropy.schedule import MEANS
from pillow_rnc.models.basis import coefficient_weights
from pillow_rnc.models.embedded.torch_quantizer import Intervals, ScheduleTensors, margins, refine
from pillow_rnc.training.start import Start

if TYPE_CHECKING:
    from pillow_rnc.models.embedded.network import EmbeddedNetwork

_LEVELS = 8
_FEWEST_BLOCKS = 4  # a level that fewer blocks of the sample reach is not considered
_SLOT_COST = 0.5  # prefers an entry with few levels to one with many of equal merit per level
_FIRST_STEPS = (1, 2, 4)  # of a coefficient's first pass, in steps of the iteration
_LATE_STEPS = (0.5, 1, 2)  # of the first pass of a coefficient that only the iterations of an extension code
_COLOURS = MEANS[1:]  # the chroma means
_COLOUR_FIRST_STEPS = (2,)  # theirs
_COLOUR_ITERATIONS = 3  # that code these at any cost
_MAGNITUDES = (0.1, 0.4, 1.2)  # limits of contexts, in steps


class _Entry(NamedTuple):
    """One coefficient of an iteration, and the merit of coding it."""

    merit: float  # for each pair of codes
    coefficient: int
    step: float
    levels: int


class Sample(NamedTuple):
    """The images that a schedule is fitted to.

    Attributes:
        target: Coefficients, [N, 192, h, w].
        intervals: Where they are known to lie, likewise.
        scale: Factor of the steps in the iteration, likewise.
        unit: In which errors are measured, likewise or [1, 192, 1, 1].
    """

    target: Tensor
    intervals: Intervals
    scale: Tensor
    unit: Tensor

    def of(self, coefficient: int) -> Sample:
        """Return one coefficient alone, [N, 1, h, w]."""
        one = slice(coefficient, coefficient + 1)
        intervals = Intervals(*(part[:, one] for part in self.intervals))
        return Sample(self.target[:, one], intervals, self.scale[:, one], self.unit[:, one])

    def coded(self, step: float, levels: int) -> tuple[Tensor, Intervals]:
        """Return the symbols and intervals after coding the one coefficient of this sample.

        A symbol is how many thresholds an insignificant number reaches, with its sign; of others, 1 for the outer half.
        """
        zeros, level = torch.zeros(levels, dtype=torch.long), torch.arange(1.0, levels + 1)
        members = torch.ones(1, levels)
        schedule = ScheduleTensors(torch.tensor([step]), torch.tensor([float(levels)]), zeros, level, members)
        fires = margins(self.target, self.intervals, schedule, self.scale) >= 0
        passed = fires[:, :levels].sum(1, keepdim=True) * (1 - 2 * fires[:, levels : levels + 1].long())
        symbol = torch.where(self.intervals.midpoint == 0, passed, 2 * fires[:, :1].long() - 1)
        return symbol, refine(2.0 * fires - 1, self.intervals, schedule, self.scale)

    def error(self, intervals: Intervals) -> float:
        """Return the squared error of the midpoints, in the units of the sample."""
        return float(((self.target - intervals.midpoint) / self.unit).square().mean())

    def context(self, step: float, *, mean: bool) -> Tensor:
        """Return what the entropy network will know of each block, as a class, int64 [blocks].

        That is how large its neighbours are, and whether it is significant; of a mean also which band of the wavelet
        it belongs to. Blocks of odd parity are coded after their neighbours, which they know to this step already.
        """
        values, coded = self.target / self.scale, self.intervals.midpoint / self.scale
        h, w = values.shape[2:]
        rows, columns = torch.arange(h)[:, None], torch.arange(w)
        finer = coded + step * torch.round((values - coded) / step)
        around = _ring_mean(torch.where((rows + columns) % 2 == 1, finer, coded).abs())
        magnitude = torch.bucketize(around / step, torch.tensor(_MAGNITUDES))
        classes = magnitude * 2 + (coded != 0)
        if mean:
            band = torch.where(rows % 2 + columns % 2 > 0, rows % 2 * 2 + columns % 2, 4 + (rows + columns) // 2 % 2)
            band = torch.where((rows % 4 == 2) & (columns % 4 == 2), 0, band)
            classes = classes + band * 2 * (len(_MAGNITUDES) + 1)
        return classes.flatten()


def _ring_mean(maps: Tensor) -> Tensor:
    """Return the mean of the neighbours of each block, as far as there are any; maps [N, 1, h, w]."""
    weight = torch.ones(1, 1, 3, 3)
    weight[0, 0, 1, 1] = 0.0
    return F.conv2d(maps, weight, padding=1) / F.conv2d(torch.ones_like(maps[:1]), weight, padding=1)


def _bits(symbol: Tensor, context: Tensor, among: Tensor, symbols: int) -> float:
    """Return the bits per block of a symbol given its context, in the blocks ``among`` which it is coded.

    The entropy of a sample is too low by half a bit times log2(e) for each free frequency; that is added (Miller 1955).
    """
    chosen = context[among] * symbols + symbol[among]
    counts = torch.bincount(chosen, minlength=(int(context.max()) + 1) * symbols).view(-1, symbols).double()
    totals = counts.sum(1, keepdim=True)
    entropy = -(counts * torch.log2((counts / totals.clamp(min=1)).clamp(min=1e-12))).sum()
    free = (counts > 0).sum() - (totals > 0).sum()
    return float(entropy + free / (2 * math.log(2))) / len(symbol)


def _best_levels(one: Sample, coefficient: int, step: float, multiplier: float, *, whole: bool) -> _Entry | None:
    """Return one coefficient at a step with as many levels as reduce the cost, None if none does.

    ``whole``: take all levels that occur, because what lies beyond them comes late.
    """
    context = one.context(step, mean=coefficient in MEANS)
    among = torch.ones_like(context, dtype=torch.bool)
    insignificant = (one.intervals.midpoint == 0).flatten()
    error, merits = one.error(one.intervals), 0.0
    levels = 0
    for level in range(1, _LEVELS + 1):
        symbol, intervals = one.coded(step, level)
        event = (symbol.abs() >= level).flatten()
        if int(event.sum()) < _FEWEST_BLOCKS:
            break
        signs = event * (1 + (symbol < 0).flatten().long()) if level == 1 else event.long()
        after = one.error(intervals)
        merit = error - after - multiplier * _bits(signs, context, among, 3 if level == 1 else 2)
        if merit <= 0 and not (whole and level > 1):
            break
        among, error, merits, levels = event & insignificant, after, merits + merit, level
    return _Entry(merits / (levels + _SLOT_COST), coefficient, step, levels) if levels else None


def _choose(sample: Sample, step: float, pairs: int, last: list[float | None], iteration: int) -> list[_Entry]:
    """Return the entries that an iteration assigns its pairs to; ``last`` holds the last step of each coefficient."""
    multiplier = step * step * math.log(2) / 6  # where a uniform quantizer of this step is efficient
    candidates: list[_Entry] = []
    for coefficient, before in enumerate(last):
        one, colour = sample.of(coefficient), coefficient in _COLOURS
        early = colour and iteration < _COLOUR_ITERATIONS
        first = _COLOUR_FIRST_STEPS if colour else _FIRST_STEPS
        steps = [factor * step for factor in first] if before is None else [before / 2]
        whole = before is None and coefficient in MEANS
        weight = 0.0 if early else multiplier
        found = [_best_levels(one, coefficient, each, weight, whole=whole) for each in steps]
        best = sorted(filter(None, found))[-1:]
        candidates += [entry._replace(merit=math.inf) if early else entry for entry in best]
    chosen: list[_Entry] = []
    for entry in sorted(candidates, reverse=True):
        whole = last[entry.coefficient] is None and entry.coefficient in MEANS
        if entry.merit > 0 and (entry.levels <= pairs or (pairs and not whole)):
            chosen.append(entry._replace(levels=min(entry.levels, pairs)))
            pairs -= chosen[-1].levels
    return chosen


@torch.no_grad()
def greedy_schedule(network: EmbeddedNetwork, coefficients: Tensor, first_step: float, last_step: float) -> Start:
    """Set quantizer and gains of a network, and zero the output of its decoder; return their quality.

    Args:
        network: Changed in place.
        coefficients: Of training images, float32 [N, 192, h, w], h and w even.
        first_step: Quantizer step of the first iteration, in weighted 8-bit levels.
        last_step: Quantizer step of the last iteration.
    """
    iterations, pairs = network.config.iterations, network.quantizer.pairs
    n, _, h, w = coefficients.shape
    state = network.initial_state(n, h, w)
    network.decoder.zero_output()
    last: list[float | None] = [None] * coefficients.shape[1]
    errors, ones = [], torch.zeros(iterations, pairs)
    for t in range(iterations):
        step = first_step * (last_step / first_step) ** (t / max(1, iterations - 1))
        network.log_gain[t] = -math.log(step)
        scale = network.step_scale(state)
        sample = Sample(coefficients, state, scale, scale)
        chosen = _choose(sample, step, pairs, last, t)
        network.quantizer.set_schedule(t, [(entry.coefficient, entry.step, entry.levels) for entry in chosen])
        for entry in chosen:
            last[entry.coefficient] = entry.step
        schedule = network.weights_of(t)
        margin, _ = network.encode_step(coefficients, schedule, state, None)
        bits = network.binarizer(margin)
        coded = network.coded_values(bits, schedule, state)
        ones[t] = (coded.values > 0).sum((0, 2, 3)) / coded.magnitudes.sum((0, 2, 3)).clamp(min=1)
        state = network.decode_step(bits, schedule, state)
        errors.append(float((coefficients - state.midpoint).square().sum(1).mean() / 64))
    return Start(errors, ones)


@torch.no_grad()
def extend_schedule(
    network: EmbeddedNetwork, coefficients: Tensor, known: int, first_step: float, last_step: float
) -> Tensor:
    """Set the schedule of all iterations from number ``known`` on, to reduce the squared error of pixels.

    Masking and weights of frequencies do not count: errors are measured in pixels. Each coefficient that earlier
    iterations code is halved; the others begin with a step of the iteration in pixels.

    Args:
        network: Its quantizer is changed in place.
        coefficients: Of training images, float32 [N, 192, h, w], h and w even.
        known: Iterations that have a schedule; it stays as it is.
        first_step: Quantizer step of the first new iteration, in 8-bit levels.
        last_step: Quantizer step of the last one.

    Returns:
        How often each context-coded bit of the new iterations is one, float32 [iterations - known, M].
    """
    iterations, pairs = network.config.iterations, network.quantizer.pairs
    weights = torch.tensor(coefficient_weights(), dtype=coefficients.dtype)
    state = network.initial_state(len(coefficients), *coefficients.shape[2:])
    last: list[float | None] = [None] * coefficients.shape[1]
    ones = torch.zeros(iterations - known, pairs)
    for t in range(iterations):
        if t >= known:
            step = first_step * (last_step / first_step) ** ((t - known) / max(1, iterations - known - 1))
            sample = Sample(coefficients, state, network.step_scale(state), weights.view(1, -1, 1, 1))
            chosen = _choose_halvings(sample, step, pairs, weights.tolist(), last)
            network.quantizer.set_schedule(t, [(entry.coefficient, entry.step, entry.levels) for entry in chosen])
        schedule = network.weights_of(t)
        for coefficient in torch.nonzero(schedule.step).flatten().tolist():
            last[coefficient] = float(schedule.step[coefficient])
        bits = network.binarizer(network.encode_step(coefficients, schedule, state, None)[0])
        if t >= known:
            coded = network.coded_values(bits, schedule, state)
            ones[t - known] = (coded.values > 0).sum((0, 2, 3)) / coded.magnitudes.sum((0, 2, 3)).clamp(min=1)
        state = network.decode_step(bits, schedule, state)
    return ones


def best_in_pixels(sample: Sample, coefficient: int, step: float, weight: float, before: float | None) -> _Entry | None:
    """Return how a coefficient is best coded where errors are measured in pixels, None if it is not worth its bits.

    Args:
        sample: Images; its unit is the weight of each coefficient.
        coefficient: Which one.
        step: Of the iteration, in 8-bit levels.
        weight: Of the coefficient.
        before: Its last step, None if it was not coded so far.
    """
    steps = [factor * step * weight for factor in _LATE_STEPS] if before is None else [before / 2]
    multiplier = step * step * math.log(2) / 6
    found = [_best_levels(sample.of(coefficient), coefficient, each, multiplier, whole=False) for each in steps]
    return max(filter(None, found), default=None)


def _choose_halvings(
    sample: Sample, step: float, pairs: int, weights: list[float], last: list[float | None]
) -> list[_Entry]:
    """Return the entries of a new iteration; ``last`` holds the last step of each coefficient, if there is one."""
    chosen: list[_Entry] = []
    candidates = []
    for coefficient, before in enumerate(last):
        best = best_in_pixels(sample, coefficient, step, weights[coefficient], before)
        candidates += [best] if best else []
    for entry in sorted(candidates, reverse=True):
        if entry.merit > 0 and pairs:
            chosen.append(entry._replace(levels=min(entry.levels, pairs)))
            pairs -= chosen[-1].levels
    return chosen
