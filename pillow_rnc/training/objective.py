"""One training step's loss: distortion plus the price of its bits, summed over all iterations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from pillow_rnc.network import Network
from pillow_rnc.training.entropy_network import EntropyNetwork
from pillow_rnc.training.losses import hvs_db, ms_ssim, ms_ssim_db
from pillow_rnc.training.recipe import Recipe, target_slope


class TrainedModel(nn.Module):
    """The codec network and the entropy network, trained together."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.network = Network(recipe.model)
        self.entropy = EntropyNetwork(recipe.model)


@dataclass(frozen=True, slots=True)
class StepLoss:
    """Loss to minimise, and means over the batch after each iteration for the log."""

    loss: Tensor
    bpp: list[float]
    hvs_db: list[float]


def step_loss(model: TrainedModel, pixels: Tensor, recipe: Recipe, step: int) -> StepLoss:
    """Return the loss of one batch.

    Args:
        model: In training mode.
        pixels: float32 [N, 3, H, W] in 0..255; H and W multiples of 16.
        recipe: Weights of the terms.
        step: Index of the step; decides the ramp of the rate and which iterations MS-SSIM judges.
    """
    network, entropy, iterations = model.network, model.entropy, recipe.model.iterations
    judged = set(np.random.default_rng([recipe.seed, step, 1]).permutation(iterations)[: recipe.ms_ssim_iterations])
    ramp = min(1.0, max(0.0, (step - recipe.rate_free_steps) / max(1, recipe.rate_ramp_steps)))
    values = entropy.integers()
    target = network.transform(pixels)
    n, _, h, w = target.shape
    state, memory, hidden, previous = network.initial_state(n, h, w), None, None, None
    loss = torch.zeros((), device=pixels.device)
    rate = torch.zeros(n, device=pixels.device)
    bpp, hvs = [], []
    for t in range(iterations):
        a, memory = network.encode_step(target, t, state, memory)
        bits = network.binarizer(a)
        if previous is not None:
            hidden = entropy.advance(values, previous, t, hidden)
        # While the ramp is at zero the entropy network learns alone; then codes and network learn for rate together.
        felt = bits.detach() + ramp * (bits - bits.detach())
        previous = felt
        rate = rate + entropy(values, felt, t, hidden) / pixels[0, 0].numel()
        state = network.decode_step(bits, t, state)
        error = hvs_db(network.transform, state.reconstruction - target)
        hvs_price, ms_ssim_price = target_slope(t, iterations)
        price = recipe.hvs_share * hvs_price + recipe.ms_ssim_share * ms_ssim_price
        loss = loss + recipe.hvs_share * error.mean() + recipe.rate_weight * price * rate.mean()
        if t in judged and recipe.ms_ssim_share:
            weight = recipe.ms_ssim_share * iterations / len(judged)
            loss = loss + weight * ms_ssim_db(network.transform.inverse(state.reconstruction), pixels).mean()
        bpp.append(float(rate.detach().mean()))
        hvs.append(float(error.detach().mean()))
    return StepLoss(loss / iterations, bpp, hvs)


@torch.no_grad()
def curve(model: TrainedModel, pixels: Tensor) -> list[tuple[float, float, float]]:
    """Return (bpp, PSNR-HVS with a chroma share in dB, MS-SSIM) after each iteration, means over pictures of one size.

    bpp is the ideal code length of the entropy network; headers are not counted.
    """
    network, entropy = model.network, model.entropy
    values = entropy.integers()
    target = network.transform(pixels)
    n, _, h, w = target.shape
    state, memory, hidden, previous = network.initial_state(n, h, w), None, None, None
    rate = torch.zeros(n, device=pixels.device)
    points = []
    for t in range(network.config.iterations):
        a, memory = network.encode_step(target, t, state, memory)
        bits = network.binarizer(a)
        if previous is not None:
            hidden = entropy.advance(values, previous, t, hidden)
        previous = bits
        rate = rate + entropy(values, bits, t, hidden) / pixels[0, 0].numel()
        state = network.decode_step(bits, t, state)
        shown = network.transform.inverse(state.reconstruction).clamp(0, 255).round()
        error = hvs_db(network.transform, network.transform(shown) - target)
        psnr_hvs = 20 * np.log10(255) - float(error.mean())
        points.append((float(rate.mean()), psnr_hvs, float(ms_ssim(shown, pixels).mean())))
    return points
