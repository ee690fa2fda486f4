"""What the entropy network counts: the coefficients as far as the codes alone tell them, in integers.

A tally adds up what each bit stands for, at the step or gain of its iteration, without what only floats know
(predictions, masking): magnitudes in the embedded framework, in others the decoder's direct path. It tells which
coefficients are significant, here and in the cells around.

Source: specification, section "Entropy network".
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pillow_rnc.models.embedded.torch_quantizer import amounts
from pillow_rnc.models.recurrent.pointwise import pointwise

if TYPE_CHECKING:
    from pillow_rnc.models.recurrent.network import Network

SHIFT = 10
LIMIT = 127.0
_UNIT = 16.0  # tallies count sixteenths of a weighted 8-bit level
_PER_STEP = 48.0  # feature value of one quantiser step
_LARGEST_WEIGHT, _LARGEST_SCALE = 32767.0, 65535.0
_LOW_CHROMA = 16


class Tally(NamedTuple):
    """Integers by which the bits of one iteration are counted before the next.

    Attributes:
        weight: [2, S, M], for tallies that are zero so far, and for all others.
        scale: A scalar: the unit in which the next iteration sees them.
    """

    weight: Tensor
    scale: Tensor


def tally_coefficients() -> list[int]:
    """Return the coefficients that are counted: all of luma, the lowest 16 of Cb and of Cr."""
    zigzag = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8))
    low = sorted(zigzag[:_LOW_CHROMA])
    return [*range(64), *(64 + i for i in low), *(128 + i for i in low)]


@cache
def _chosen(device: torch.device) -> Tensor:
    """Return the coefficients that are counted, int64 [S]; made once: a CUDA graph may hold no copy from the host."""
    return torch.tensor(tally_coefficients(), device=device)


@torch.no_grad()
def tallies(network: Network) -> list[Tally]:
    """Return the integers of each pair of neighbouring iterations, float32; they follow the decoder as it learns."""
    steps = torch.exp(-network.log_gain.float())
    chosen = _chosen(steps.device)
    out = []
    for t in range(network.config.iterations - 1):
        fresh, known = (amounts[chosen] * _UNIT for amounts in _amounts(network, t))
        scale = torch.round(_PER_STEP * 2**SHIFT / (_UNIT * steps[t + 1])).clamp(1.0, _LARGEST_SCALE)
        weight = torch.round(torch.stack([fresh, known])).clamp(-_LARGEST_WEIGHT, _LARGEST_WEIGHT)
        out.append(Tally(weight, scale))
    return out


def _amounts(network: Network, iteration: int) -> tuple[Tensor, Tensor]:
    """Return what each bit stands for in a coefficient that is zero so far, and in any other: [192, M] each."""
    weights = network.weights_of(iteration)
    if weights.visits is not None:
        return amounts(weights.visits)
    assert weights.direct is not None
    step = torch.exp(-network.log_gain[iteration].float())
    fresh = weights.direct.decoder_direct[:, :, 0, 0].float() * step
    return fresh, fresh + weights.direct.decoder_refinement[:, :, 0, 0].float() * step


@torch.no_grad()
def count(tally: Tally, values: Tensor, counted: Tensor | None) -> Tensor:
    """Return the counts [N, S, h, w] with those of one more iteration, of the values of its bits, [N, M, h, w]."""
    fresh = pointwise(values, tally.weight[0])
    if counted is None:
        return fresh
    return counted + torch.where(counted == 0, fresh, pointwise(values, tally.weight[1]))


def _seen(counted: Tensor, scale: Tensor) -> Tensor:
    """Return tallies as the network sees them, in 1/48 of a step."""
    return torch.floor(counted * scale / 2**SHIFT).clamp(-LIMIT, LIMIT)


@torch.no_grad()
def features(counted: Tensor, scale: Tensor) -> Tensor:
    """Return what an iteration sees of tallies [N, S, h, w]: magnitudes, and those around, [N, 2 S, h, w]."""
    magnitudes = _seen(counted, scale).abs()
    around = 9 * F.avg_pool2d(magnitudes, 3, stride=1, padding=1) - magnitudes
    return torch.cat([magnitudes, torch.floor(torch.round(around) / 8)], 1)
