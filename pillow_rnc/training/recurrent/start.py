"""Where training of the `BlockNetwork` starts: an embedded dead-zone quantizer of the coefficients, found greedily.

Code channels come in pairs: "above" and "below" of one coefficient at one level. While a coefficient is not yet
significant, a pair fires outside a dead zone; once it is, the first pair selects the half of its interval in which the
coefficient lies, as bit-plane coders do. Further levels of a coefficient form a thermometer code for large values.
Each iteration assigns its pairs where they reduce squared error + lambda * bits most, with a Lagrange multiplier that
falls from iteration to iteration. Most codes are then zeros, which the entropy network codes almost for nothing: the
rate goes where the image has detail, and a prefix of the codes is close to the best quantizer of its rate. Error is
measured in units of the gain, so that textured blocks are quantized more coarsely.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from pillow_rnc.models.layers.activations import softsign
from pillow_rnc.models.recurrent.block_network import significance
from pillow_rnc.training.start import Start

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pillow_rnc.models.recurrent.block_network import BlockNetwork

_DEAD_ZONE = 0.8  # first threshold of a coefficient that is not significant, in steps
_LEVELS = 8
_FEWEST_BLOCKS = 4  # a level that fewer blocks of the sample reach is not considered
_SHARPNESS = 2.0  # slope of the binarizer's input per step at the threshold
_NEW_LIMITS, _KNOWN_LIMITS = (1.0, 1.6), (0.3, 0.7)  # reconstruction points of a first level, in steps
_IDLE = -1.3  # bias of an idle channel: off, but where training can still change it
_SLOT_COST = 0.5  # prefers a coefficient with few levels to one with many of equal merit per level


class _Level(NamedTuple):
    """One pair of channels: a level of one coefficient, at a step of its own."""

    merit: float
    coefficient: int
    level: int
    step: float


class _Sample:
    """The blocks that the start is fitted to, as an iteration sees them: in weighted 8-bit levels times the masking.

    Args:
        residual: What is not yet coded, [blocks, 192].
        significant: Which coefficients are significant, bool [blocks, 192].
        steps: The last step of each coefficient; None before its first.
    """

    def __init__(self, residual: Tensor, significant: Tensor, steps: list[float | None]) -> None:
        self.residual, self.significant, self.steps = residual, significant, steps

    def fires(self, one: _Level) -> tuple[Tensor, Tensor]:
        """Return where a pair has a one, bool [blocks] each: among blocks not yet significant, and among the others."""
        significant = self.significant[:, one.coefficient]
        dead_zone = torch.where(significant, 0.0, _DEAD_ZONE)
        fires = self.residual[:, one.coefficient].abs() > (one.level - 1 + dead_zone) * one.step
        return fires & ~significant, fires & significant


def _entropy(p: Tensor) -> Tensor:
    p = p.clamp(1e-6, 1 - 1e-6)
    return -(p * p.log2() + (1 - p) * (1 - p).log2())


def _event_bits(event: Tensor, among: Tensor, significant: Tensor) -> Tensor:
    """Return the bits per block that code where an event happens, given significance."""
    bits = torch.zeros(())
    for group in (among & significant, among & ~significant):
        share = group.float().mean()
        if share > 0:
            bits = bits + share * _entropy((event & group).float().mean() / share)
    return bits


def _levels(sample: _Sample, coefficient: int, step: float, multiplier: float) -> list[_Level]:
    """Return the levels of one coefficient that pay at a step, in order."""
    magnitude = sample.residual[:, coefficient].abs()
    significant = sample.significant[:, coefficient]
    among, value = torch.ones_like(significant), torch.zeros_like(magnitude)
    levels = []
    for level in range(1, _LEVELS + 1):
        new, known = sample.fires(_Level(0.0, coefficient, level, step))
        event = (new | known) & among
        if int(event.sum()) < _FEWEST_BLOCKS:
            break
        better = torch.where(event, value + step, value)
        bits = _event_bits(event, among, significant)
        if level == 1:
            for group, limits in ((new, _NEW_LIMITS), (known, _KNOWN_LIMITS)):
                better = torch.where(group, _amount(magnitude, group, step, limits) * step, better)
            bits = bits + event.float().mean()  # the sign
        gain = ((magnitude - value) ** 2 - (magnitude - better) ** 2).mean()
        merit = float(gain - multiplier * bits)
        if merit <= 0:
            break
        levels.append(_Level(merit, coefficient, level, step))
        among, value = event, better
    return levels


def _amount(magnitude: Tensor, group: Tensor, step: float, limits: tuple[float, float]) -> float:
    """Return the reconstruction point of a group of blocks, in steps."""
    low, high = limits
    if not bool(group.any()):
        return (low + high) / 2
    return min(max(float(magnitude[group].clamp(max=(high + 0.3) * step).mean()) / step, low), high)


def _merit(levels: Iterable[_Level]) -> float:
    merits = [one.merit for one in levels]
    return sum(merits) / (len(merits) + _SLOT_COST)


def _choose(sample: _Sample, step: float, pairs: int) -> list[_Level]:
    """Return the levels that an iteration assigns its pairs to; of each coefficient the lower levels first."""
    multiplier = step * step * math.log(2) / 6  # where a uniform quantizer of this step is efficient
    candidates: list[_Level] = []
    for coefficient, own in enumerate(sample.steps):
        options = (step, 2 * step, 4 * step) if own is None else (own, own / 2, own / 4)
        levels = [_levels(sample, coefficient, option, multiplier) for option in options]
        candidates += max(levels, key=_merit)
    candidates.sort(reverse=True)
    chosen: list[_Level] = []
    reached = [0] * len(sample.steps)
    while len(chosen) < pairs:
        found = next((one for one in candidates if one.level == reached[one.coefficient] + 1), None)
        if found is None:
            break
        chosen.append(found)
        reached[found.coefficient] = found.level
    return chosen


def _limited(threshold: float) -> float:
    return float(softsign(torch.tensor(threshold)))


def _set_pair(network: BlockNetwork, iteration: int, slot: int, one: _Level, amounts: list[float]) -> None:
    """Write one pair into the direct paths; ``amounts`` are the steps it stands for, new and known."""
    pairs = network.config.code_channels // 2
    encoder, bias = network.encoder.direct[iteration].weight, network.encoder.direct[iteration].bias
    widening, direct = network.encoder.significance[iteration].weight, network.decoder.direct[iteration].weight
    refinement = network.decoder.refinement[iteration].weight
    assert bias is not None
    scale = one.step * math.exp(float(network.log_gain[iteration]))  # thresholds in units of the gain
    new, known = ((one.level - 1 + zone) * scale for zone in (_DEAD_ZONE, 0.0))
    slope = _SHARPNESS / scale * (new / _limited(new)) ** 2  # softsign flattens as 1 / (1 + |x| / limit)^2
    for sign, channel in ((1.0, slot), (-1.0, slot + pairs)):
        encoder[channel, :, 0, 0] = 0.0
        encoder[channel, one.coefficient, 0, 0] = sign * slope
        bias[channel] = -slope * _limited(new)
        widening[channel, one.coefficient, 0, 0] = slope * (_limited(new) - _limited(known))
        direct[:, channel, 0, 0] = 0.0
        direct[one.coefficient, channel, 0, 0] = sign * amounts[0] * scale / 2
        refinement[one.coefficient, channel, 0, 0] = sign * (amounts[1] - amounts[0]) * scale / 2


@torch.no_grad()
def greedy_quantizer(network: BlockNetwork, coefficients: Tensor, first_step: float, last_step: float) -> Start:
    """Set the direct paths and gains of ``network``; return their quality.

    Args:
        network: Changed in place.
        coefficients: Of training images, float32 [N, 192, h, w], h and w even.
        first_step: Quantizer step of the first iteration, in weighted 8-bit levels.
        last_step: Quantizer step of the last iteration.
    """
    config = network.config
    n, _, h, w = coefficients.shape
    state, memory = network.initial_state(n, h, w), None
    steps: list[float | None] = [None] * coefficients.shape[1]
    network.decoder.zero_output()
    errors, ones = [], torch.zeros(config.iterations, config.code_channels)
    for t in range(config.iterations):
        masking = network.gain_map(torch.zeros(()), state)
        residual = _blocks((coefficients - state.reconstruction) * masking)
        coded = _blocks(state.coded * masking).abs()
        step = first_step * (last_step / first_step) ** (t / max(1, config.iterations - 1))
        network.log_gain[t] = -math.log(step)
        significant = significance(coded, torch.tensor(1 / step)) > 0.5
        sample = _Sample(residual, significant, steps)
        _set_iteration(network, t, sample, _choose(sample, step, config.code_channels // 2))
        weights = network.weights_of(t)
        a, memory = network.encode_step(coefficients, weights, state, memory)
        bits = network.binarizer(a)
        state = network.decode_step(bits, weights, state)
        ones[t] = (bits > 0).float().mean((0, 2, 3))
        errors.append(float((coefficients - state.reconstruction).square().sum(1).mean() / 64))
    return Start(errors, ones)


def _blocks(maps: Tensor) -> Tensor:
    """Return maps [N, C, h, w] as [blocks, C]."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2)


def _set_iteration(network: BlockNetwork, t: int, sample: _Sample, chosen: list[_Level]) -> None:
    """Write the pairs of an iteration into its direct paths, and zero all else; record the steps of the sample."""
    bias = network.encoder.direct[t].bias
    assert bias is not None
    bias.fill_(_IDLE)
    network.encoder.direct[t].weight.mul_(0.05)
    network.encoder.significance[t].weight.zero_()
    network.encoder.heads[t].weight.zero_()
    network.decoder.direct[t].weight.zero_()
    network.decoder.refinement[t].weight.zero_()
    for slot, one in enumerate(chosen):
        magnitude, amounts = sample.residual[:, one.coefficient].abs(), [1.0, 1.0]
        if one.level == 1:
            limits = (_NEW_LIMITS, _KNOWN_LIMITS)
            groups = zip(sample.fires(one), limits, strict=True)
            amounts = [_amount(magnitude, group, one.step, limit) for group, limit in groups]
        _set_pair(network, t, slot, one, amounts)
        sample.steps[one.coefficient] = one.step
