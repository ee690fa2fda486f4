"""The starting point of training: an embedded dead-zone quantiser of DCT coefficients, found greedily.

Each iteration has a quantiser step; its code channels are spent in pairs, "above +threshold" and "below -threshold" of
one coefficient, on those coefficients where a pair lowers distortion + lambda * entropy most. Several pairs on one
coefficient form a thermometer code. Such codes are mostly zeros, which the entropy network codes almost for nothing:
the rate goes where the picture has detail, which one sign per component cannot do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pillow_rnc.activations import squash

if TYPE_CHECKING:
    from pillow_rnc.network import Network

_DEAD_ZONE = 0.6  # first threshold, in steps; the next ones lie one step apart
_LEVELS = 6
_SHARPNESS = 2.0  # slope of the binarizer's input per step at the threshold


def _entropy(p: Tensor) -> Tensor:
    p = p.clamp(1e-9, 1 - 1e-9)
    return -(p * p.log2() + (1 - p) * (1 - p).log2())


def _best_pairs(residual: Tensor, step: float, pairs: int) -> list[tuple[int, int]]:
    """Return (coefficient, level) of the pairs that lower the Lagrangian most, levels of a coefficient in order."""
    slope = step * step / 6  # of squared error per bit where a uniform quantiser of this step is efficient
    candidates: list[tuple[float, int, int]] = []
    magnitude = residual.abs()
    reached_by = torch.ones(residual.shape[1], device=residual.device)  # share of blocks at the level below
    for level in range(_LEVELS):
        beyond = magnitude > (_DEAD_ZONE + level) * step
        left = magnitude - level * step
        gain = torch.where(beyond, left**2 - (left - step) ** 2, torch.zeros_like(left)).mean(0)
        p = beyond.float().mean(0)
        sign_bits = p if level == 0 else torch.zeros_like(p)
        bits = reached_by * _entropy(p / reached_by.clamp_min(1e-9)) + sign_bits
        reached_by = p
        candidates += [(score, i, level) for i, score in enumerate((gain - slope * bits).tolist()) if score > 0]
    chosen: list[tuple[int, int]] = []
    reached = dict.fromkeys(range(residual.shape[1]), 0)
    candidates.sort(reverse=True)
    progress = True
    while len(chosen) < pairs and progress:
        progress = False
        for _, coefficient, level in candidates:
            if reached[coefficient] == level:
                chosen.append((coefficient, level))
                reached[coefficient] += 1
                progress = True
                break
    if len(chosen) < pairs:  # nothing else pays yet: spend the rest on the strongest coefficients
        spare = residual.square().mean(0).argsort(descending=True).tolist()
        chosen += [(i, reached[i]) for i in spare if reached[i] < _LEVELS][: pairs - len(chosen)]
    return chosen


@torch.no_grad()
def greedy_quantiser(network: Network, coefficients: Tensor, first_step: float, last_step: float) -> list[float]:
    """Set the direct paths and gains of ``network``; return the mean squared error after each iteration.

    Args:
        network: Changed in place; iteration t gets a step on the geometric line between the two steps.
        coefficients: Weighted coefficients of training blocks, float32 [blocks, 192].
        first_step: Quantiser step of the first iteration, in weighted 8-bit levels.
        last_step: Quantiser step of the last iteration.
    """
    config = network.config
    residual = coefficients.clone()
    errors = []
    for t in range(config.iterations):
        step = first_step * (last_step / first_step) ** (t / max(1, config.iterations - 1))
        network.log_gain[t] = -math.log(step)
        encoder, bias, decoder = (
            network.encoder.direct[t].weight,
            network.encoder.direct[t].bias,
            network.decoder.direct[t].weight,
        )
        encoder.mul_(0.05)
        assert bias is not None
        bias.fill_(-3.0)
        decoder.mul_(0.02)
        update = torch.zeros_like(residual)
        for slot, (coefficient, level) in enumerate(_best_pairs(residual, step, config.code_channels // 2)):
            threshold = _DEAD_ZONE + level
            bent = float(squash(torch.tensor(threshold)))
            slope = _SHARPNESS * (threshold / bent) ** 2  # squash flattens as 1 / (1 + |x| / limit)^2
            value = residual[:, coefficient]
            beyond = value.abs() > threshold * step
            amount = float((value.abs()[beyond] / step - level).mean()) if bool(beyond.any()) else 1.0
            amount = min(max(amount, 0.8), 1.3)
            for sign, channel in ((1.0, slot), (-1.0, slot + config.code_channels // 2)):
                encoder[channel, :, 0, 0] = 0.0
                encoder[channel, coefficient, 0, 0] = sign * slope
                bias[channel] = -slope * bent
                decoder[:, channel, 0, 0] = 0.0
                decoder[coefficient, channel, 0, 0] = sign * amount / 2
            update[:, coefficient] += torch.where(beyond, value.sign() * amount * step, torch.zeros_like(value))
        residual -= update
        errors.append(float(residual.square().sum(1).mean() / 64))
        network.encoder.heads[t].weight.mul_(0.1)
    network.decoder.output.weight.mul_(0.02)
    assert network.decoder.output.bias is not None
    network.decoder.output.bias.zero_()
    return errors
