"""A light recurrent network whose codes stand for 8x8 blocks: encoder, binarizer and decoder learned together.

One iteration, in the coefficient domain of ``torch_transform`` (y: the image, y_hat: its reconstruction so far)::

    y - y_hat --x gain--> Encoder --> Binarizer --> bits (+-1) --> Decoder --/ gain--> update of y_hat
                          [1/8, state]   [1/8]                    [1/8 and 1/16, state]

Encoder and decoder cells are shared by all iterations; binarizer and the decoder's input are own 1x1 convolutions for
each iteration, each with a direct linear path past the recurrent cells. The encoder runs the decoder, so both hold the
same y_hat. It starts as the quantizer that `training.recurrent.start` finds.

This module does no input or output and chooses no device.

Source: Toderici et al. 2017, sections 2 and 3; ``gain`` is its residual scaling: a function of what was coded so far,
with one value for each 8x8 block and two parameters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn

from pillow_rnc.entropy.schedule import COEFFICIENTS
from pillow_rnc.models.coefficient_network import CoefficientNetwork, initial_log_gain
from pillow_rnc.models.layers.activations import Binarizer, softsign
from pillow_rnc.models.layers.cells import State, make_cell
from pillow_rnc.models.layers.core import DecoderState, RecurrentCore
from pillow_rnc.models.layers.masking import Masking
from pillow_rnc.models.layers.pointwise import Pointwise, pointwise
from pillow_rnc.models.torch_transform import BlockTransform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pillow_rnc.models.config import RecurrentConfig


class BlockState(NamedTuple):
    """State of a batch of images after some iterations."""

    coded: Tensor  # the part of y_hat that comes by the direct path from the codes, [N, 192, h, w]
    reconstruction: Tensor  # y_hat, [N, 192, h, w]
    decoder: DecoderState


class BlockWeights(NamedTuple):
    """What belongs to one iteration alone: its gains, and its maps to, from and past the recurrent cells."""

    log_gain: Tensor
    log_update_gain: Tensor  # of the decoder's output; the same unless every update is a whole image
    input: Tensor
    input_bias: Tensor
    head: Tensor
    encoder_direct: Tensor
    encoder_bias: Tensor
    encoder_significance: Tensor
    decoder_direct: Tensor
    decoder_refinement: Tensor


def significance(coded: Tensor, gain: Tensor) -> Tensor:
    """Return how far each coefficient is significant, 0 to 1: 1 once a whole quantizer step of it has been coded.

    Embedded coders of transform coefficients rely on this distinction: what is still zero needs a wide dead zone, what
    is significant needs its interval halved. Below half a step it is 0, so that small stray updates which training
    brings do not add up to significance.

    Args:
        coded: Coefficients by the direct path, [N, 192, h, w].
        gain: One over the quantizer's step, [N or 1, 1, h or 1, w or 1].
    """
    return (2.0 * (coded * gain).abs() - 1.0).clamp(0.0, 1.0)


def _linear(inputs: int, outputs: int, count: int, *, bias: bool) -> Sequence[nn.Conv2d]:
    """Return ``count`` separate 1x1 convolutions, as a module list with the type of what it holds."""
    return cast("Sequence[nn.Conv2d]", nn.ModuleList(Pointwise(inputs, outputs, bias=bias) for _ in range(count)))


class Encoder(nn.Module):
    """Scaled residual and reconstruction [N, 192, h, w] each -> pre-activations [N, code_channels, h, w]."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        c, t = config.encoder_channels, config.iterations
        self.stem = Pointwise(2 * COEFFICIENTS, c)
        self.core = make_cell(config.encoder_cell, c, c, separable=config.separable)
        self.heads = _linear(c, config.code_channels, t, bias=False)
        self.direct = _linear(COEFFICIENTS, config.code_channels, t, bias=True)
        self.significance = _linear(COEFFICIENTS, config.code_channels, t, bias=False)

    def forward(
        self,
        residual: Tensor,
        reconstruction: Tensor,
        significant: Tensor,
        weights: BlockWeights,
        state: State | None,
    ) -> tuple[Tensor, State]:
        residual = softsign(residual)
        features, state = self.core(self.stem(torch.cat([residual, softsign(reconstruction)], 1)), state)
        a = pointwise(features, weights.head) + pointwise(residual, weights.encoder_direct, weights.encoder_bias)
        return a + pointwise(significant, weights.encoder_significance), state


class Decoder(RecurrentCore):
    """Bits [N, code_channels, h, w] -> update of the coefficients, in units of the gain, [N, 192, h, w].

    The update comes in two parts: the direct path carries what the bits mean, and the recurrent path predicts the rest.
    The step that a bit stands for depends on whether its coefficient is significant.
    """

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__(config)
        k, d, t = config.code_channels, config.decoder_channels, config.iterations
        self.inputs = _linear(k, d, t, bias=True)
        self.direct = _linear(k, COEFFICIENTS, t, bias=False)
        self.refinement = _linear(k, COEFFICIENTS, t, bias=False)

    def direct_update(self, bits: Tensor, significant: Tensor, weights: BlockWeights) -> Tensor:
        """Return the update by the direct path, [N, 192, h, w].

        Args:
            bits: [N, code_channels, h, w], +-1.
            significant: Of each coefficient, 0 to 1, [N, 192, h, w]; see `significance`.
            weights: Those of the iteration.
        """
        return pointwise(bits, weights.decoder_direct) + pointwise(bits, weights.decoder_refinement) * significant

    def forward(self, bits: Tensor, weights: BlockWeights, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return what the recurrent path predicts, in units of the gain, [N, 192, h, w], and its next state."""
        features, state = self.step(pointwise(bits, weights.input, weights.input_bias), state)
        return self.output(features), state


class BlockNetwork(CoefficientNetwork[BlockState, BlockWeights, State]):
    """The codec on coefficients; ``transform`` leads to and from pixels."""

    config: RecurrentConfig
    decoder: Decoder

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        self.config = config
        self.transform = BlockTransform()
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.binarizer = Binarizer()
        self.log_gain = initial_log_gain(config.iterations)
        self._one_shot = config.framework == "one_shot"
        self._masked = config.framework == "residual_scaling"
        if self._masked:
            self.masking = Masking()

    def initial_state(self, batch: int, height: int, width: int) -> BlockState:
        parameter = self.log_gain
        shape = (batch, COEFFICIENTS, height, width)
        zeros = torch.zeros(shape, dtype=parameter.dtype, device=parameter.device)
        zeros = zeros.contiguous(memory_format=torch.channels_last)
        return BlockState(torch.zeros_like(zeros), zeros, DecoderState())

    def weights_of(self, iteration: int) -> BlockWeights:
        inputs, encoder_direct = self.decoder.inputs[iteration], self.encoder.direct[iteration]
        assert inputs.bias is not None
        assert encoder_direct.bias is not None
        log_gain = self.log_gain[iteration]
        return BlockWeights(
            log_gain,
            self.log_gain[0] if self._one_shot else log_gain,
            inputs.weight,
            inputs.bias,
            self.encoder.heads[iteration].weight,
            encoder_direct.weight,
            encoder_direct.bias,
            self.encoder.significance[iteration].weight,
            self.decoder.direct[iteration].weight,
            self.decoder.refinement[iteration].weight,
        )

    def gain_map(self, log_gain: Tensor, state: BlockState) -> Tensor:
        """Return the gain of an iteration, [1 or N, 1, 1 or h, 1 or w], from what the decoder already holds."""
        gain = torch.exp(log_gain).view(-1, 1, 1, 1)
        return gain * self.masking(state.coded) if self._masked else gain

    def encode_step(
        self, target: Tensor, weights: BlockWeights, state: BlockState, memory: State | None
    ) -> tuple[Tensor, State | None]:
        gain = self.gain_map(weights.log_gain, state)
        significant = significance(state.coded, gain)
        residual = (target - state.reconstruction) * gain
        return self.encoder(residual, state.reconstruction * gain, significant, weights, memory)  # type: ignore[no-any-return]

    def decode_step(self, bits: Tensor, weights: BlockWeights, state: BlockState) -> BlockState:
        gain = self.gain_map(weights.log_update_gain, state)
        coded = self.decoder.direct_update(bits, significance(state.coded, gain), weights) / gain
        predicted, decoder = self.decoder(bits, weights, state.decoder)
        update = predicted / gain + coded
        if self._one_shot:
            return BlockState(coded, update, decoder)
        return BlockState(state.coded + coded, state.reconstruction + update, decoder)

    def reconstruct(self, state: BlockState, iteration: Tensor) -> Tensor:
        del iteration
        return state.reconstruction

    def bit_amounts(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Return what each bit adds to a coefficient that is zero so far, and to any other: [192, M] each."""
        weights = self.weights_of(iteration)
        step = torch.exp(-self.log_gain[iteration].float())
        amount = weights.decoder_direct[:, :, 0, 0].float() * step
        return amount, amount + weights.decoder_refinement[:, :, 0, 0].float() * step
