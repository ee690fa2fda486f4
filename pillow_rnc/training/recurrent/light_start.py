"""Where training of the light network with code cells of 16x16 pixels starts: greedy principal components.

Its linear paths code them, one sign each: each iteration takes the largest components of what the ones before left of a
16x16 block, in the weighting of the loss. The recurrent cells start from noise, and the decoder's output near zero. In
the first minutes of training this is worth several decibels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pillow_rnc.models.basis import coefficient_weights
from pillow_rnc.models.recurrent.light_constants import INPUT_UNIT
from pillow_rnc.models.recurrent.light_network import BLOCK_COEFFICIENTS, LightNetwork, folded

if TYPE_CHECKING:
    from collections.abc import Iterable

_LEAST_DEVIATION = 1.0  # 8-bit levels: rarer coefficients must not be blown up
_RECURRENT_SHARE = 0.3  # of the encoder's heads, beside the linear paths
_OUTPUT_SHARE = 0.1


@torch.no_grad()
def measure_deviations(network: LightNetwork, batches: Iterable[Tensor]) -> None:
    """Set the deviations of the transform from pixels [N, 3, H, W] in 0..255."""
    network.transform.deviation.fill_(1.0)
    squares = torch.stack([network.transform(one).double().var((0, 2, 3)) for one in batches])
    network.transform.deviation.copy_(squares.mean(0).sqrt().clamp_min(_LEAST_DEVIATION))


@torch.no_grad()
def start_from_components(network: LightNetwork, pixels: Tensor) -> list[float]:
    """Set the linear paths of a network, whose deviations are set; return the share of the energy left after each.

    Args:
        network: Changed in place.
        pixels: float32 [N, 3, H, W] in 0..255.
    """
    config, encoder, decoder = network.config, network.encoder, network.decoder
    deviation = network.transform.deviation.repeat(4)  # folded maps count channels last
    scale = torch.sqrt(deviation / INPUT_UNIT)
    weight = torch.from_numpy(coefficient_weights()).float().repeat(4)
    blocks = folded(network.transform(pixels)).permute(0, 2, 3, 1).reshape(-1, BLOCK_COEFFICIENTS)
    left = blocks * deviation * weight
    energy, shares = float(left.square().sum()), []
    for t in range(config.iterations):
        _, axes = torch.linalg.eigh((left.T @ left / len(left)).double())
        axes = axes[:, -config.code_channels :].float()  # [768, bits]
        along = left @ axes
        size = along.abs().mean(0)
        left = left - (torch.where(along >= 0, 1.0, -1.0) * size) @ axes.T
        shares.append(float(left.square().sum()) / energy)
        gain = torch.exp(network.log_gain[t])
        # Inputs are coefficients over deviation, times scale and gain; outputs are over deviation, times gain.
        encoder.direct[t] = (axes / size).T * (deviation * weight / (scale * gain))
        # The updates of one-shot do not add up: past its first iteration the linear path could only disturb.
        share = _OUTPUT_SHARE if config.framework == "one_shot" and t else 1.0
        decoder.direct[t] = axes * size / (deviation * weight)[:, None] * gain * share
    encoder.head.mul_(_RECURRENT_SHARE)
    decoder.output.weight.mul_(_OUTPUT_SHARE)
    assert decoder.output.bias is not None
    decoder.output.bias.zero_()
    return shares
