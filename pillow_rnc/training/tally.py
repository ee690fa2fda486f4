"""What the entropy network counts: the coefficients as far as the codes alone tell them, in integers.

A tally adds up what each bit stands for in the decoder's direct path, at the gain of its iteration, without what only
floats know (predictions, spatial gain). It tells which coefficients are significant, here and in the cells around.

Source: specification, section "Entropy network".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from pillow_rnc.pointwise import pointwise

if TYPE_CHECKING:
    from pillow_rnc.network import Network

SHIFT = 10
LIMIT = 127.0
_UNIT = 4.0  # tallies count quarters of a weighted 8-bit level
_PER_STEP = 48.0  # feature value of one quantiser step
_LARGEST_WEIGHT, _LARGEST_SCALE = 32767.0, 65535.0
_LOW_CHROMA = 16


class Tally(NamedTuple):
    """Integers by which the bits of one iteration are counted before the next: weight [S, C] and scale, a scalar."""

    weight: Tensor
    scale: Tensor


def tally_coefficients() -> list[int]:
    """Return the coefficients that are counted: all of luma, the lowest 16 of Cb and of Cr."""
    zigzag = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8))
    low = sorted(zigzag[:_LOW_CHROMA])
    return [*range(64), *(64 + i for i in low), *(128 + i for i in low)]


@torch.no_grad()
def tallies(network: Network) -> list[Tally]:
    """Return the integers of each pair of neighbouring iterations, float32; they follow the decoder as it learns."""
    steps = torch.exp(-network.log_gain.float())
    chosen = torch.tensor(tally_coefficients(), device=steps.device)
    out = []
    for t in range(network.config.iterations - 1):
        amounts = network.decoder.direct[t].weight[chosen, :, 0, 0].float() * steps[t] * _UNIT
        scale = torch.round(_PER_STEP * 2**SHIFT / (_UNIT * steps[t + 1])).clamp(1.0, _LARGEST_SCALE)
        out.append(Tally(torch.round(amounts).clamp(-_LARGEST_WEIGHT, _LARGEST_WEIGHT), scale))
    return out


@torch.no_grad()
def count(tally: Tally, bits: Tensor, counted: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the counts [N, S, h, w] with those of one more iteration, and their features [N, 2 S, h, w]."""
    added = pointwise(bits, tally.weight)
    counted = added if counted is None else counted + added
    v = torch.floor(counted * tally.scale / 2**SHIFT).clamp(-LIMIT, LIMIT)
    return counted, torch.cat([v, v.abs()], 1)
