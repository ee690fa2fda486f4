"""The accumulators of the entropy network: coefficients as far as the codes alone determine them, in integers.

An accumulator sums what each bit stands for, at the step or gain of its iteration, without what only floats know
(predictions, masking): magnitudes in the embedded family, the decoder's direct path in the recurrent one. So the
entropy network knows which coefficients are significant, here and in the cells around.

Source: specification, section "Entropy network".
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pillow_rnc.models.layers.pointwise import pointwise

if TYPE_CHECKING:
    from pillow_rnc.models.coefficient_network import CoefficientNetwork

SHIFT = 10
LIMIT = 127.0
_UNIT = 16.0  # accumulators count sixteenths of a weighted 8-bit level
_PER_STEP = 48.0  # feature value of one quantizer step
_LARGEST_WEIGHT, _LARGEST_SCALE = 32767.0, 65535.0
_LOW_CHROMA = 16


class AccumulatorWeights(NamedTuple):
    """Integers by which the bits of one iteration are accumulated before the next.

    Attributes:
        weight: [2, S, M], for accumulators that are zero so far, and for all others.
        scale: A scalar: the unit in which the next iteration sees them.
    """

    weight: Tensor
    scale: Tensor


def accumulated_coefficients() -> list[int]:
    """Return the coefficients that are accumulated: all of luma, the lowest 16 of Cb and of Cr."""
    zigzag = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8))
    low = sorted(zigzag[:_LOW_CHROMA])
    return [*range(64), *(64 + i for i in low), *(128 + i for i in low)]


@cache
def _selected(device: torch.device) -> Tensor:
    """Return the coefficients that are accumulated, int64 [S]; cached: a CUDA graph may hold no copy from the host."""
    return torch.tensor(accumulated_coefficients(), device=device)


@torch.no_grad()
def accumulator_weights(network: CoefficientNetwork[Any, Any, Any]) -> list[AccumulatorWeights]:
    """Return the integers of each pair of neighbouring iterations, float32; they follow the decoder as it learns."""
    steps = torch.exp(-network.log_gain.float())
    selected = _selected(steps.device)
    out = []
    for t in range(network.config.iterations - 1):
        new, known = (amounts[selected] * _UNIT for amounts in network.bit_amounts(t))
        scale = torch.round(_PER_STEP * 2**SHIFT / (_UNIT * steps[t + 1])).clamp(1.0, _LARGEST_SCALE)
        weight = torch.round(torch.stack([new, known])).clamp(-_LARGEST_WEIGHT, _LARGEST_WEIGHT)
        out.append(AccumulatorWeights(weight, scale))
    return out


@torch.no_grad()
def accumulate(weights: AccumulatorWeights, values: Tensor, accumulated: Tensor | None) -> Tensor:
    """Return the accumulators [N, S, h, w] after one more iteration, from the values of its bits, [N, M, h, w]."""
    new = pointwise(values, weights.weight[0])
    if accumulated is None:
        return new
    return accumulated + torch.where(accumulated == 0, new, pointwise(values, weights.weight[1]))


def _scaled(accumulated: Tensor, scale: Tensor) -> Tensor:
    """Return accumulators as the network sees them, in 1/48 of a step."""
    return torch.floor(accumulated * scale / 2**SHIFT).clamp(-LIMIT, LIMIT)


@torch.no_grad()
def features(accumulated: Tensor, scale: Tensor) -> Tensor:
    """Return what an iteration sees of accumulators [N, S, h, w]: magnitudes, and those around, [N, 2 S, h, w]."""
    magnitudes = _scaled(accumulated, scale).abs()
    around = 9 * F.avg_pool2d(magnitudes, 3, stride=1, padding=1) - magnitudes
    return torch.cat([magnitudes, torch.floor(torch.round(around) / 8)], 1)
