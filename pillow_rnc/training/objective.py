"""One training step's loss: distortion plus the price of its bits, summed over all iterations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pillow_rnc.models.recurrent.core import DecoderState
from pillow_rnc.models.recurrent.network import CodecState, IterationWeights, Network
from pillow_rnc.training.entropy_network import EntropyNetwork, Hidden, IterationIntegers, SharedIntegers
from pillow_rnc.training.losses import PEAK_DB, hvs_db, ms_ssim, ms_ssim_db, visible_weights
from pillow_rnc.training.recipe import Recipe, target_slope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pillow_rnc.models.embedded.torch_quantizer import Told
    from pillow_rnc.models.recurrent.cells import State


_ENCODER_PARAMETERS = ("encoder.", "quantizer.", "masking.", "log_gain")  # what decides which codes are sent


class StepInputs(NamedTuple):
    """What a step needs beside the parameters.

    Attributes:
        pixels: float32 [N, 3, H, W] in 0..255; H and W multiples of 16.
        judged: Which iterations MS-SSIM judges, and in the embedded framework the only ones that are shown: indices on
            the host, or int64 on the device where a captured graph must read them there.
    """

    pixels: Tensor
    judged: Sequence[int] | Tensor


class StepLoss(NamedTuple):
    """Loss to minimise, and means over the batch after each iteration, float32 [iterations], for the log.

    The error is NaN after iterations that nobody looked at.
    """

    loss: Tensor
    bpp: Tensor
    hvs_db: Tensor


class CodecOutput(NamedTuple):
    """One iteration of the codec: bits +-1, what they tell if not all of them do, and what it remembers."""

    bits: Tensor
    told: Told | None
    state: CodecState
    memory: State | None


class RateOutput(NamedTuple):
    """One iteration of the entropy network: its state and the code length of each picture in bits, [N]."""

    hidden: Hidden | None
    rate: Tensor


def codec_iteration(
    network: Network,
    target: Tensor,
    weights: IterationWeights,
    state: CodecState,
    memory: State | None,
    *,
    through_codes: bool = True,
) -> CodecOutput:
    """Code one iteration of a batch.

    Args:
        network: The codec.
        target: Coefficients of the pictures, [N, 192, h, w].
        weights: Those of the iteration.
        state: State of the codec before the iteration.
        memory: The encoder's memory before the iteration.
        through_codes: Gradients pass through the binarizer; otherwise the codes are taken as given.
    """
    with torch.set_grad_enabled(through_codes and torch.is_grad_enabled()):
        a, memory = network.encode(target, weights, state, memory)
        bits = network.binarizer(a)
    return CodecOutput(bits, network.told(bits, weights, state), network.decode(bits, weights, state), memory)


def look(
    network: Network, state: CodecState, iteration: Tensor, target: Tensor, *, visible: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the coefficients that are shown after some iterations, and their error in decibels, [N].

    Args:
        network: The codec.
        state: State after the iterations.
        iteration: Index of the last of them for each picture, int64 [N].
        target: Coefficients of the pictures, [N, 192, h, w].
        visible: Weights of ``hvs_db``.
    """
    shown = network.shown(state, iteration).float()
    # In bfloat16 the pixels would be up to 3 levels off, and the variances of MS-SSIM would cancel to NaN.
    with torch.autocast(target.device.type, enabled=False):
        return shown, hvs_db(network.transform.blocks(shown - target), visible)


def rate_iteration(  # noqa: PLR0917 -- compiled; every one of them changes
    entropy: EntropyNetwork,
    shared: SharedIntegers,
    values: IterationIntegers,
    bits: Tensor,
    told: Told | None,
    previous: tuple[Tensor, Hidden | None] | None,
) -> RateOutput:
    """Price one iteration of a batch; ``previous`` holds the values of the bits and the state of the one before."""
    hidden = None if previous is None else entropy.advance(shared, values, *previous)
    return RateOutput(hidden, entropy(shared, values, bits, told, hidden))


def values_of(bits: Tensor, told: Told | None) -> Tensor:
    """Return what the entropy network sees of the bits of an iteration once they are known, [N, M, h, w]."""
    return bits.detach().float() if told is None else told.values.float()


class TrainedModel(nn.Module):
    """The codec network and the entropy network, trained together.

    Calling it gives the loss of a batch. ``compile_parts`` may replace the functions that do the arithmetic by
    compiled ones; the results stay the same up to rounding.
    """

    visible: Tensor
    every: Tensor

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.codec_learns = True  # False while the entropy network learns alone
        self.network = Network(recipe.model)
        self.entropy = EntropyNetwork(recipe.model)
        self.register_buffer("visible", visible_weights(), persistent=False)
        self.register_buffer("every", torch.arange(recipe.model.iterations), persistent=False)
        if not recipe.train_encoder:
            for name, parameter in self.network.named_parameters():
                parameter.requires_grad = not name.startswith(_ENCODER_PARAMETERS)
        self.autocast: torch.dtype | None = None
        self._codec_iteration: Callable[..., CodecOutput] = codec_iteration
        self._look: Callable[..., tuple[Tensor, Tensor]] = look
        self._rate_iteration: Callable[..., RateOutput] = rate_iteration

    def compile_parts(self, compiler: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Replace the functions of an iteration by what ``compiler`` makes of them."""
        self._codec_iteration = compiler(codec_iteration)
        self._look = compiler(look)
        self._rate_iteration = compiler(rate_iteration)

    def forward(self, inputs: StepInputs) -> StepLoss:
        recipe, iterations = self.recipe, self.recipe.model.iterations
        pixels, judged = inputs
        device = pixels.device.type
        shared, integers = self.entropy.integers(self.network)
        target = self.network.transform(pixels).contiguous(memory_format=torch.channels_last)
        n, _, h, w = target.shape
        state, memory, previous = self.network.initial_state(n, h, w), None, None
        price, rate = torch.zeros((), device=pixels.device), torch.zeros(n, device=pixels.device)
        rates, states = [], []
        learning = self.codec_learns and torch.is_grad_enabled()
        # Convolutions and matrix products of the codec may run in less precision; everything else stays in float32,
        # above all the integers of the entropy network.
        with torch.autocast(device, dtype=self.autocast or torch.bfloat16, enabled=self.autocast is not None):
            for t in range(iterations):
                weights = self.network.weights_of(t)
                with torch.set_grad_enabled(learning):
                    bits, told, state, memory = self._codec_iteration(
                        self.network, target, weights, state, memory, through_codes=recipe.train_encoder
                    )
                with torch.autocast(device, enabled=False):
                    hidden, length = self._rate_iteration(
                        self.entropy, shared, integers[t], bits.float(), told, previous
                    )
                previous = (values_of(bits, told), hidden)
                rate = rate + length / pixels[0, 0].numel()
                hvs_price, ms_ssim_price = target_slope(t, iterations)
                worth = recipe.hvs_share * hvs_price + recipe.ms_ssim_share * ms_ssim_price
                price = price + recipe.rate_weight * worth * rate.mean() / iterations
                rates.append(rate.detach().mean())
                states.append(state)
            with torch.set_grad_enabled(learning):
                loss, errors = self._distortion(pixels, target, states, judged)
        return StepLoss(price + loss, torch.stack(rates), errors)

    def _distortion(
        self, pixels: Tensor, target: Tensor, states: list[CodecState], judged: Sequence[int] | Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the distortion's part of the loss, and the error after each iteration in decibels, [iterations]."""
        recipe, n = self.recipe, len(target)
        errors = torch.full((len(states),), torch.nan, device=pixels.device)
        judged = judged if isinstance(judged, Tensor) else self.every[list(judged)]
        embedded = recipe.model.framework == "embedded"
        if embedded and not (self.codec_learns and len(judged)):  # nobody asks the decoder while it waits
            return torch.zeros((), device=pixels.device), errors
        at = judged if embedded else self.every
        parts = zip(*((state.coded, state.reach, state.reconstruction) for state in states), strict=True)
        coded, reach, built = (torch.stack(maps).index_select(0, at).flatten(0, 1) for maps in parts)
        seen = CodecState(coded, reach, built, DecoderState())
        looks = target.repeat(len(at), 1, 1, 1)
        shown, found = self._look(self.network, seen, at.repeat_interleave(n), looks, visible=self.visible)
        loss = recipe.hvs_share * found.mean()
        errors = errors.index_copy(0, at, found.detach().view(-1, n).mean(1))
        if len(judged) and recipe.ms_ssim_share:
            if not embedded:
                shown = shown.view(-1, *target.shape).index_select(0, judged).flatten(0, 1)
            with torch.autocast(pixels.device.type, enabled=False):
                found = ms_ssim_db(self.network.transform.inverse(shown), pixels.repeat(len(judged), 1, 1, 1))
            loss = loss + recipe.ms_ssim_share * found.mean()
        return loss, errors


def judged_iterations(recipe: Recipe, step: int) -> list[int]:
    """Return the iterations that MS-SSIM judges in a step, in order: chosen by the seed and the step alone."""
    order = np.random.default_rng([recipe.seed, step, 1]).permutation(recipe.model.iterations)
    return sorted(int(t) for t in order[: recipe.ms_ssim_iterations])


def codec_ramp(recipe: Recipe, step: int) -> float:
    """Return the share of the learning rate that the codec gets in a step, 0 to 1."""
    return min(1.0, max(0.0, (step - recipe.entropy_only_steps) / max(1, recipe.codec_ramp_steps)))


@torch.no_grad()
def curve(model: TrainedModel, pixels: Tensor) -> list[tuple[float, float, float]]:
    """Return (bpp, PSNR-HVS with a chroma share in dB, MS-SSIM) after each iteration, means over pictures of one size.

    bpp is the ideal code length of the entropy network; headers are not counted.

    Args:
        model: On the device of the pixels.
        pixels: float32 [N, 3, H, W] in 0..255, H and W multiples of 16.
    """
    network, entropy = model.network, model.entropy
    shared, integers = entropy.integers(network)
    target = network.transform(pixels).contiguous(memory_format=torch.channels_last)
    n, _, h, w = target.shape
    state, memory, previous = network.initial_state(n, h, w), None, None
    rate = torch.zeros(n, device=pixels.device)
    points = []
    for t in range(network.config.iterations):
        bits, told, state, memory = codec_iteration(network, target, network.weights_of(t), state, memory)
        hidden, length = rate_iteration(entropy, shared, integers[t], bits, told, previous)
        previous = (values_of(bits, told), hidden)
        rate = rate + length / pixels[0, 0].numel()
        coefficients = network.shown(state, model.every[t].expand(n))
        shown = network.transform.inverse(coefficients).clamp(0, 255).round()
        error = hvs_db(network.transform.blocks(network.transform(shown) - target), model.visible)
        psnr_hvs = PEAK_DB - float(error.mean())
        points.append((float(rate.mean()), psnr_hvs, float(ms_ssim(shown, pixels).mean())))
    return points
