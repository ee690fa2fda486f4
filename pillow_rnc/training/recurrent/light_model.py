"""The light network with code cells of 16x16 pixels in training: PSNR-HVS and MS-SSIM of all iterations, no rate term.

Source: the gradient of the binarizer is that of Toderici et al. 2016, section 3.2, with the sign in place of a random
draw and a limit beyond which it passes nothing.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pillow_rnc.models.recurrent.light_network import EncoderState, LightNetwork, LightState, LightWeights
from pillow_rnc.training.losses import PEAK_DB, hvs_db, ms_ssim, ms_ssim_db, visible_weights
from pillow_rnc.training.recipe import BLOCK_PX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pillow_rnc.models.config import RecurrentConfig
    from pillow_rnc.models.recurrent.cosine_transform import CosineTransform
    from pillow_rnc.training.model import CurvePoint

_PASSES = 1.5  # pre-activations beyond this pass no gradient
BITS_PER_BLOCK = 32


class StepLoss(NamedTuple):
    """Loss to minimize, and for the log the error in decibels after each iteration, [T], and the commitment."""

    loss: Tensor
    hvs_db: Tensor
    commitment: Tensor


class Coded(NamedTuple):
    """One iteration: bits +-1, states, and how far the pre-activations are from their bits."""

    bits: Tensor
    state: LightState
    memory: EncoderState
    commitment: Tensor


def code_iteration(
    network: LightNetwork, target: Tensor, weights: LightWeights, state: LightState, memory: EncoderState
) -> Coded:
    """Code one iteration of a batch; gradients pass the binarizer straight."""
    a, memory = network.encode_step(target, weights, state, memory)
    a = a.float()
    sign = torch.where(a.detach() >= 0, 1.0, -1.0)
    near = a.clamp(-_PASSES, _PASSES)
    bits = near + (sign - near).detach()
    commitment = (a - sign).square().mean()
    return Coded(bits, network.decode_step(bits, weights, state), memory, commitment)


def distortion(
    transform: CosineTransform, visible: Tensor, pixels: Tensor, by_hvs: Tensor, by_ms_ssim: Tensor
) -> tuple[Tensor, Tensor]:
    """Return PSNR-HVS's error in decibels after each iteration that it judges, [I], and the mean of MS-SSIM's.

    Args:
        transform: Of the codec.
        visible: Weights of ``hvs_db``.
        pixels: float32 [N, 3, H, W] in 0..255.
        by_hvs: Reconstructed coefficients that PSNR-HVS judges, [I, N, 192, h, w].
        by_ms_ssim: Those that MS-SSIM judges, [J, N, 192, h, w].
    """
    errors = hvs_db(transform.blocks((by_hvs - transform(pixels)).flatten(0, 1)), visible)
    prices = ms_ssim_db(transform.inverse(by_ms_ssim.flatten(0, 1)), pixels.repeat(len(by_ms_ssim), 1, 1, 1))
    return errors.view(len(by_hvs), -1).mean(1), prices.mean()


class LightModel(nn.Module):
    """The codec and its loss.

    Args:
        config: Of the codec.
        lapped: Whether the transform laps over block borders.
        ms_ssim_share: Weight of the MS-SSIM distortion beside that of PSNR-HVS.
    """

    visible: Tensor

    def __init__(self, config: RecurrentConfig, *, lapped: bool = True, ms_ssim_share: float = 0.5) -> None:
        super().__init__()
        self.network = LightNetwork(config, lapped=lapped)
        self.ms_ssim_share = ms_ssim_share
        self.register_buffer("visible", visible_weights(), persistent=False)
        self.autocast: torch.dtype | None = None
        self._code_iteration: Callable[..., Coded] = code_iteration
        self._distortion: Callable[..., tuple[Tensor, Tensor]] = distortion

    def compile_parts(self) -> None:
        """Compile the arithmetic of an iteration and of the loss; the first iteration, without memory, is one more."""
        self._code_iteration = torch.compile(code_iteration, dynamic=False, fullgraph=True)
        self._distortion = torch.compile(distortion, dynamic=False, fullgraph=True)

    def coded(self, pixels: Tensor, iterations: int | None = None) -> list[Coded]:
        """Return the first iterations, or all, of images [N, 3, H, W] in 0..255; sides are multiples of 16."""
        network = self.network
        target = network.transform(pixels).contiguous(memory_format=torch.channels_last)
        state, memory = network.initial_state(len(target), *target.shape[2:]), EncoderState()
        out = []
        with torch.autocast(pixels.device.type, self.autocast or torch.bfloat16, enabled=self.autocast is not None):
            for weights in network.all_weights()[:iterations]:
                one = self._code_iteration(network, target, weights, state, memory)
                state, memory = one.state, one.memory
                out.append(one)
        return out

    def forward(self, pixels: Tensor, judged: Judged) -> StepLoss:
        """Return the loss of a batch, float32 [N, 3, H, W] in 0..255."""
        iterations = self.coded(pixels, judged.iterations)
        built = torch.stack([iterations[t].state.reconstruction for t in judged.by_hvs])
        shown = torch.stack([iterations[t].state.reconstruction for t in judged.by_ms_ssim])
        errors, ms_ssim_price = self._distortion(self.network.transform, self.visible, pixels, built, shown)
        commitment = torch.stack([one.commitment for one in iterations]).mean()
        loss = errors.mean() + self.ms_ssim_share * ms_ssim_price + commitment
        return StepLoss(loss, errors.detach(), commitment.detach())

    @torch.no_grad()
    def curve(self, pixels: Tensor) -> list[CurvePoint]:
        """Return the curve over images of one size; bpp counts the bits before entropy coding."""
        transform, target, points = self.network.transform, self.network.transform(pixels), []
        for t, one in enumerate(self.coded(pixels)):
            shown = transform.inverse(one.state.reconstruction).clamp(0, 255).round()
            psnr_hvs = PEAK_DB - float(hvs_db(transform.blocks(transform(shown) - target), self.visible).mean())
            points.append((BITS_PER_BLOCK * (t + 1) / BLOCK_PX**2, psnr_hvs, float(ms_ssim(shown, pixels).mean())))
        return points


class Judged(NamedTuple):
    """How many iterations a step does, and which of them each distortion judges."""

    iterations: int
    by_hvs: list[int]
    by_ms_ssim: list[int]


def judged_iterations(seed: int, step: int, iterations: int, counts: tuple[int, int]) -> Judged:
    """Return which iterations PSNR-HVS and MS-SSIM judge in a step: so many, one of each of as many equal parts.

    A image costs as much to judge as some iterations cost to code, and neighbours say nearly the same.
    """
    rng = np.random.default_rng([seed, step, 1])
    chosen = []
    for count in counts:
        bounds = np.linspace(0, iterations, count + 1).round().astype(int)
        chosen.append([int(rng.integers(low, high)) for low, high in pairwise(bounds)])
    return Judged(iterations, *chosen)


def area(points: Sequence[CurvePoint]) -> float:
    """Return the area under the MS-SSIM curve, by trapezoids, from 0.125 to 2 bpp."""
    grid = np.linspace(0.125, 2.0, 1876)
    rates, _, heights = np.array(points).T
    return float(np.trapezoid(np.interp(grid, rates, heights), grid))
