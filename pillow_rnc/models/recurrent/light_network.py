"""The light recurrent network whose codes stand for 16x16 pixels: 32 bits for each and iteration, as in the paper.

One iteration, in the coefficient domain of `cosine_transform` (y: the image, y_hat: its reconstruction so far)::

    y - y_hat --x gain--> Encoder --> Binarizer --> bits (+-1) --> Decoder --/ gain--> update of y_hat
                          [1/8, 1/16]   [1/16]                    [1/16, 1/8]

Encoder and decoder are recurrent over the iterations, with one cell at 1/8 and one at 1/16 of the resolution each, and
shared by all iterations. Each iteration has its own maps to and from the bits, and its own linear paths past the
recurrent cells: residual of a 16x16 block -> bits, bits -> update of a 16x16 block.

The encoder runs the decoder, so both hold the same y_hat. The gain is the residual scaling of the paper: the features
of the decoder determine by how much the residual is scaled up before it is coded, and its update scaled down after.

This module does no input or output and chooses no device.

Source: Toderici et al. 2017, sections 2 and 3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pillow_rnc.entropy.schedule import COEFFICIENTS
from pillow_rnc.errors import WeightsError
from pillow_rnc.models.layers.activations import Binarizer
from pillow_rnc.models.layers.cells import State, make_cell
from pillow_rnc.models.layers.pointwise import Pointwise, pointwise
from pillow_rnc.models.network import CodecNetwork
from pillow_rnc.models.recurrent.cosine_transform import CosineTransform
from pillow_rnc.models.recurrent.light_constants import GAIN_REACH, INPUT_UNIT

if TYPE_CHECKING:
    from pillow_rnc.models.config import RecurrentConfig

CODE_STRIDE = 16
BLOCK_COEFFICIENTS = 4 * COEFFICIENTS
"""Coefficients of a 16x16 block: those of its four 8x8 blocks."""
_GAIN_GROWTH = 0.12  # of the logarithm of the gain from iteration to iteration, where training starts


class LightState(NamedTuple):
    """What encoder and decoder both know of a image after some iterations."""

    reconstruction: Tensor  # y_hat, [N, 192, h, w]
    features: Tensor | None  # of the decoder at 1/8, [N, d, h, w]; None before the first iteration
    context: State | None  # of the decoder's cell at 1/16
    detail: State | None  # of the decoder's cell at 1/8


class EncoderState(NamedTuple):
    """What the encoder alone remembers."""

    detail: State | None = None
    context: State | None = None


class LightWeights(NamedTuple):
    """What belongs to one iteration alone."""

    log_gain: Tensor  # scalar
    encoder_head: Tensor  # [bits, c]
    encoder_bias: Tensor  # [bits]
    encoder_direct: Tensor  # [bits, 768]
    decoder_input: Tensor  # [c, bits]
    decoder_bias: Tensor  # [c]
    decoder_direct: Tensor  # [768, bits]


def folded(x: Tensor) -> Tensor:
    """Return the map [N, 4 C, h / 2, w / 2] of 2x2 cells of a map [N, C, h, w]; cell-major: row, column, channel."""
    n, c, h, w = x.shape
    cells = x.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w // 2, 2, c).transpose(2, 3)
    return cells.reshape(n, h // 2, w // 2, 4 * c).permute(0, 3, 1, 2)


def unfolded(x: Tensor) -> Tensor:
    """Return the map [N, C, 2 h, 2 w] of a map [N, 4 C, h, w] of 2x2 cells; the inverse of ``folded``."""
    n, c, h, w = x.shape
    cells = x.permute(0, 2, 3, 1).reshape(n, h, w, 2, 2, c // 4).transpose(2, 3)
    return cells.reshape(n, 2 * h, 2 * w, c // 4).permute(0, 3, 1, 2)


def _uniform(*shape: int) -> nn.Parameter:
    """Return weights of linear maps, as torch draws those of convolutions; the last dimension counts inputs."""
    return nn.Parameter((torch.rand(shape) * 2 - 1) / math.sqrt(shape[-1]))


class Encoder(nn.Module):
    """Scaled residual and reconstruction [N, 192, h, w] each -> pre-activations [N, bits, h / 2, w / 2]."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        e, c, k, t = config.encoder_channels, config.context_channels, config.code_channels, config.iterations
        cell = config.encoder_cell
        self.stem = Pointwise(2 * COEFFICIENTS, e)
        self.detail = make_cell(cell, e, e, separable=config.separable)
        self.down = Pointwise(4 * e, c)
        self.context = make_cell(cell, c, c, separable=config.separable)
        self.head = _uniform(t, k, c)
        self.bias = nn.Parameter(torch.zeros(t, k))
        self.direct = _uniform(t, k, BLOCK_COEFFICIENTS)

    def forward(
        self, residual: Tensor, reconstruction: Tensor, weights: LightWeights, state: EncoderState
    ) -> tuple[Tensor, EncoderState]:
        """Return the pre-activations and the next memory."""
        fine, detail = self.detail(self.stem(torch.cat([residual, reconstruction], 1)), state.detail)
        wide, context = self.context(self.down(folded(fine)), state.context)
        a = pointwise(wide, weights.encoder_head, weights.encoder_bias)
        return a + pointwise(folded(residual), weights.encoder_direct), EncoderState(detail, context)


class Decoder(nn.Module):
    """Bits [N, bits, h / 2, w / 2] -> update in units of the gain, [N, 192, h, w]."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        d, c, k, t = config.decoder_channels, config.context_channels, config.code_channels, config.iterations
        self.input = _uniform(t, c, k)
        self.bias = nn.Parameter(torch.zeros(t, c))
        self.context = make_cell(config.cell, c, c, separable=config.separable)
        self.up = Pointwise(c, 4 * d)
        self.stem = Pointwise(COEFFICIENTS, d, bias=False)
        self.detail = make_cell(config.cell, d, d, separable=config.separable)
        self.output = Pointwise(d, COEFFICIENTS)
        self.direct = _uniform(t, BLOCK_COEFFICIENTS, k)

    def forward(
        self, bits: Tensor, reconstruction: Tensor, weights: LightWeights, state: LightState
    ) -> tuple[Tensor, Tensor, State, State]:
        """Return the update, the features at 1/8, [N, d, h, w], and the next states of the coarse and the fine cell.

        Args:
            bits: Those of the iteration.
            reconstruction: As far as known before it, scaled as the encoder sees it, [N, 192, h, w].
            weights: Those of the iteration.
            state: State before it.
        """
        wide, context = self.context(pointwise(bits, weights.decoder_input, weights.decoder_bias), state.context)
        features, detail = self.detail(unfolded(self.up(wide)) + self.stem(reconstruction), state.detail)
        update = self.output(features) + unfolded(pointwise(bits, weights.decoder_direct))
        return update, features, context, detail


class LightNetwork(CodecNetwork[LightState, LightWeights, EncoderState]):
    """The codec on coefficients; ``transform`` leads to and from pixels.

    Args:
        config: Cell, framework, widths and iterations.
        lapped: As for `CosineTransform`.

    Raises:
        WeightsError: The code cells of the configuration do not have 16x16 pixels.
    """

    config: RecurrentConfig
    transform: CosineTransform

    def __init__(self, config: RecurrentConfig, *, lapped: bool = True) -> None:
        super().__init__()
        if config.code_stride != CODE_STRIDE:
            raise WeightsError(f"model configuration: code_stride is {config.code_stride}, must be {CODE_STRIDE}")
        self.config = config
        self.transform = CosineTransform(lapped=lapped)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.binarizer = Binarizer()
        self.log_gain = nn.Parameter(torch.arange(float(config.iterations)) * _GAIN_GROWTH)
        self._one_shot = config.framework == "one_shot"
        self._scaled = config.framework == "residual_scaling"
        if self._scaled:
            self.gain = Pointwise(config.decoder_channels, 1)
            nn.init.zeros_(self.gain.weight)
            assert self.gain.bias is not None
            nn.init.zeros_(self.gain.bias)

    def initial_state(self, batch: int, height: int, width: int) -> LightState:
        zeros = self.log_gain.new_zeros((batch, COEFFICIENTS, height, width))
        return LightState(zeros.contiguous(memory_format=torch.channels_last), None, None, None)

    def _own(self) -> tuple[nn.Parameter, ...]:
        """Return the parameters whose first dimension counts iterations, in the order of `LightWeights`."""
        e, d = self.encoder, self.decoder
        return self.log_gain, e.head, e.bias, e.direct, d.input, d.bias, d.direct

    def weights_of(self, iteration: int) -> LightWeights:
        return LightWeights(*(parameter[iteration] for parameter in self._own()))

    def all_weights(self) -> list[LightWeights]:
        """Return what belongs to each iteration. Split at once: indexing would build a full gradient each time."""
        return [LightWeights(*one) for one in zip(*(parameter.unbind() for parameter in self._own()), strict=True)]

    def gain_map(self, weights: LightWeights, state: LightState) -> Tensor:
        """Return the gain of the next iteration, [1 or N, 1, 1 or h, 1 or w]: one for each 16x16 pixels at most."""
        gain = torch.exp(weights.log_gain).view(1, 1, 1, 1)
        if not self._scaled or state.features is None:
            return gain
        mean = F.avg_pool2d(self.gain(state.features).float(), 2)
        own = torch.exp(GAIN_REACH * torch.tanh(mean))
        return gain * own.repeat_interleave(2, 2).repeat_interleave(2, 3)

    def encode_step(
        self, target: Tensor, weights: LightWeights, state: LightState, memory: EncoderState | None
    ) -> tuple[Tensor, EncoderState]:
        scale = self._input_scale()
        residual = (target - state.reconstruction) * (scale * self.gain_map(weights, state))
        a, memory = self.encoder(residual, state.reconstruction * scale, weights, memory or EncoderState())
        return a, memory

    def decode_step(self, bits: Tensor, weights: LightWeights, state: LightState) -> LightState:
        seen = state.reconstruction * self._input_scale()
        update, features, context, detail = self.decoder(bits, seen, weights, state)
        built = update.float()
        if not self._one_shot:
            built = state.reconstruction + built / self.gain_map(weights, state)
        return LightState(built, features, context, detail)

    def reconstruct(self, state: LightState, iteration: Tensor) -> Tensor:
        del iteration
        return state.reconstruction

    def _input_scale(self) -> Tensor:
        """Return what coefficients are multiplied by where the recurrent parts see them, [1, 192, 1, 1]."""
        return torch.sqrt(self.transform.deviation / INPUT_UNIT).view(1, -1, 1, 1)
