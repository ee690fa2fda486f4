"""The loss of the light networks: distortion plus weighted code length, summed over all iterations.

What the two families do differently, see `embedded.model` and `recurrent.block_model`, is which iterations are
reconstructed, and how training starts.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pillow_rnc.models.complexity import macs_per_pixel
from pillow_rnc.models.network import MemoryT, StateT, WeightsT
from pillow_rnc.training.entropy_network import EntropyNetwork, Hidden, IterationIntegers, SharedIntegers
from pillow_rnc.training.losses import PEAK_DB, hvs_db, ms_ssim, ms_ssim_db, visible_weights
from pillow_rnc.training.model import CurvePoint, StepInputs, StepLoss, TrainableModel
from pillow_rnc.training.recipe import Recipe, target_slope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pillow_rnc.models.coefficient_network import CoefficientNetwork
    from pillow_rnc.models.network import CodecNetwork, CodedValues


_ENCODER_PARAMETERS = ("encoder.", "quantizer.", "masking.", "log_gain")  # these determine which codes are sent


class CodecOutput(NamedTuple, Generic[StateT, MemoryT]):
    """One iteration of the codec: bits +-1, which of them are coded if not all, and what it remembers."""

    bits: Tensor
    coded: CodedValues | None
    state: StateT
    memory: MemoryT | None


class RateOutput(NamedTuple):
    """One iteration of the entropy network: its state and the code length of each image in bits, [N]."""

    hidden: Hidden | None
    length: Tensor


def codec_iteration(
    network: CodecNetwork[StateT, WeightsT, MemoryT],
    target: Tensor,
    weights: WeightsT,
    state: StateT,
    memory: MemoryT | None,
    *,
    through_codes: bool = True,
) -> CodecOutput[StateT, MemoryT]:
    """Code one iteration of a batch.

    Args:
        network: The codec.
        target: Output of its transform.
        weights: Those of the iteration.
        state: State of the codec before the iteration.
        memory: The encoder's memory before the iteration.
        through_codes: Gradients pass through the binarizer; otherwise the codes are taken as given.
    """
    with torch.set_grad_enabled(through_codes and torch.is_grad_enabled()):
        a, memory = network.encode_step(target, weights, state, memory)
        bits = network.binarizer(a)
    coded = network.coded_values(bits, weights, state)
    return CodecOutput(bits, coded, network.decode_step(bits, weights, state), memory)


def reconstruction_error(
    network: CoefficientNetwork[StateT, WeightsT, MemoryT],
    state: StateT,
    iteration: Tensor,
    target: Tensor,
    *,
    visible: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return the reconstructed coefficients after some iterations, and their error in decibels, [N].

    Args:
        network: The codec.
        state: State after the iterations.
        iteration: Index of the last of them for each image, int64 [N].
        target: Coefficients of the images, [N, 192, h, w].
        visible: Weights of ``hvs_db``.
    """
    coefficients = network.reconstruct(state, iteration).float()
    # In bfloat16 the pixels would be up to 3 levels off, and the variances of MS-SSIM would cancel to NaN.
    with torch.autocast(target.device.type, enabled=False):
        return coefficients, hvs_db(network.transform.blocks(coefficients - target), visible)


def rate_iteration(  # noqa: PLR0917 -- compiled; every one of them changes
    entropy: EntropyNetwork,
    shared: SharedIntegers,
    values: IterationIntegers,
    bits: Tensor,
    coded: CodedValues | None,
    previous: tuple[Tensor, Hidden | None] | None,
) -> RateOutput:
    """Return the code length of one iteration; ``previous`` holds the bits' values and the state of the one before."""
    hidden = None if previous is None else entropy.advance(shared, values, *previous)
    return RateOutput(hidden, entropy(shared, values, bits, coded, hidden))


def values_of(bits: Tensor, coded: CodedValues | None) -> Tensor:
    """Return what the entropy network sees of the bits of an iteration once they are known, [N, M, h, w]."""
    return bits.detach().float() if coded is None else coded.values.float()


class RateDistortionModel(TrainableModel, Generic[StateT, WeightsT, MemoryT]):
    """A light codec network and its entropy network, trained together.

    ``compile_parts`` may replace the functions that do the arithmetic by compiled ones; the results stay the same up to
    rounding.
    """

    network: CoefficientNetwork[StateT, WeightsT, MemoryT]
    entropy: EntropyNetwork
    visible: Tensor
    every: Tensor

    def __init__(self, recipe: Recipe, network: CoefficientNetwork[StateT, WeightsT, MemoryT]) -> None:
        super().__init__(recipe, network)
        self.entropy = EntropyNetwork(network.config)
        self.register_buffer("visible", visible_weights(), persistent=False)
        self.register_buffer("every", torch.arange(network.config.iterations), persistent=False)
        if not recipe.train_entropy:
            self.entropy.requires_grad_(requires_grad=False)
        if not recipe.train_encoder:
            for name, parameter in self.network.named_parameters():
                parameter.requires_grad = not name.startswith(_ENCODER_PARAMETERS)
        self._codec_iteration: Callable[..., CodecOutput[StateT, MemoryT]] = codec_iteration
        self._reconstruction_error: Callable[..., tuple[Tensor, Tensor]] = reconstruction_error
        self._rate_iteration: Callable[..., RateOutput] = rate_iteration

    def compile_parts(self, compiler: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Replace the functions of an iteration by those that ``compiler`` returns for them."""
        self._codec_iteration = compiler(codec_iteration)
        self._reconstruction_error = compiler(reconstruction_error)
        self._rate_iteration = compiler(rate_iteration)

    def forward(self, inputs: StepInputs) -> StepLoss:
        recipe, iterations = self.recipe, self.network.config.iterations
        pixels, supervised = inputs
        supervised = supervised if isinstance(supervised, Tensor) else self.every[list(supervised)]
        device = pixels.device.type
        shared, integers = self.entropy.integers(self.network)
        target = self.network.transform(pixels).contiguous(memory_format=torch.channels_last)
        n, _, h, w = target.shape
        state, memory = self.network.initial_state(n, h, w), None
        previous = None
        rate_loss, rate = torch.zeros((), device=pixels.device), torch.zeros(n, device=pixels.device)
        rates, states = [], []
        learning = self.codec_learns and torch.is_grad_enabled()
        # Convolutions and matrix products of the codec may run in less precision; everything else stays in float32,
        # above all the integers of the entropy network.
        with torch.autocast(device, dtype=self.autocast or torch.bfloat16, enabled=self.autocast is not None):
            for t in range(iterations):
                weights = self.network.weights_of(t)
                with torch.set_grad_enabled(learning):
                    bits, coded, state, memory = self._codec_iteration(
                        self.network, target, weights, state, memory, through_codes=recipe.train_encoder
                    )
                states.append(state)
                if not recipe.train_entropy:
                    rates.append(rate.new_full((), torch.nan))
                    continue
                with torch.autocast(device, enabled=False):
                    hidden, length = self._rate_iteration(
                        self.entropy, shared, integers[t], bits.float(), coded, previous
                    )
                previous = (values_of(bits, coded), hidden)
                rate = rate + length / pixels[0, 0].numel()
                hvs_slope, ms_ssim_slope = target_slope(t, iterations)
                slope = recipe.hvs_share * hvs_slope + recipe.ms_ssim_share * ms_ssim_slope
                rate_loss = rate_loss + recipe.rate_weight * slope * rate.mean() / iterations
                rates.append(rate.detach().mean())
            with torch.set_grad_enabled(learning):
                loss, errors = self._distortion(pixels, target, states, supervised)
        return StepLoss(rate_loss + loss, torch.stack(rates), errors)

    @abstractmethod
    def _distortion(
        self, pixels: Tensor, target: Tensor, states: Sequence[StateT], supervised: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the distortion's part of the loss, and the error after each iteration in decibels, [iterations].

        Args:
            pixels: Those of the step.
            target: Their coefficients.
            states: After each iteration.
            supervised: Indices of the iterations that MS-SSIM supervises, int64, on the device.
        """

    def _with_ms_ssim(self, loss: Tensor, coefficients: Tensor, pixels: Tensor, count: int) -> Tensor:
        """Return a loss plus that of MS-SSIM, of ``count`` reconstructions of each image, [count N, 192, h, w]."""
        if not (count and self.recipe.ms_ssim_share):
            return loss
        with torch.autocast(pixels.device.type, enabled=False):
            found = ms_ssim_db(self.network.transform.inverse(coefficients), pixels.repeat(count, 1, 1, 1))
        return loss + self.recipe.ms_ssim_share * found.mean()

    @torch.no_grad()
    def curve(self, pixels: Tensor) -> list[CurvePoint]:
        """Return the curve over images of one size; bpp is the ideal code length, headers are not counted.

        Args:
            pixels: float32 [N, 3, H, W] in 0..255, H and W multiples of 16, on the device of the model.
        """
        network, entropy = self.network, self.entropy
        shared, integers = entropy.integers(network)
        target = network.transform(pixels).contiguous(memory_format=torch.channels_last)
        n, _, h, w = target.shape
        state, previous = network.initial_state(n, h, w), None
        memory: MemoryT | None = None
        rate = torch.zeros(n, device=pixels.device)
        points = []
        for t in range(network.config.iterations):
            one = codec_iteration(network, target, network.weights_of(t), state, memory)
            bits, coded, state, memory = one
            hidden, length = rate_iteration(entropy, shared, integers[t], bits, coded, previous)
            previous = (values_of(bits, coded), hidden)
            rate = rate + length / pixels[0, 0].numel()
            coefficients = network.reconstruct(state, self.every[t].expand(n))
            image = network.transform.inverse(coefficients).clamp(0, 255).round()
            error = hvs_db(network.transform.blocks(network.transform(image) - target), self.visible)
            psnr_hvs = PEAK_DB - float(error.mean())
            points.append((float(rate.mean()), psnr_hvs, float(ms_ssim(image, pixels).mean())))
        return points

    def tensors(self) -> dict[str, Tensor]:
        """Return the float32 tensors of the codec and the integers of the entropy network."""
        own = {f"network.{n}": p.detach().float().cpu().contiguous() for n, p in self.network.named_parameters()}
        return own | self.entropy.integer_tensors(self.network)

    def macs_per_pixel(self) -> float:
        """Return multiply-accumulates per pixel of a forward pass."""
        reconstructions = self.recipe.ms_ssim_iterations if self.codec_learns else 0
        config = self.network.config
        return macs_per_pixel(config, config.iterations, reconstructions=reconstructions)


def supervised_iterations(recipe: Recipe, step: int) -> list[int]:
    """Return the iterations that MS-SSIM supervises in a step, in order: chosen by the seed and the step alone."""
    order = np.random.default_rng([recipe.seed, step, 1]).permutation(recipe.model.iterations)
    return sorted(int(t) for t in order[: recipe.ms_ssim_iterations])


def codec_ramp(recipe: Recipe, step: int) -> float:
    """Return the share of the learning rate that the codec gets in a step, 0 to 1."""
    waits = recipe.entropy_only_steps if recipe.train_entropy else -1  # nothing else would learn in the first step
    return min(1.0, max(0.0, (step - waits) / max(1, recipe.codec_ramp_steps)))
