"""The recurrent codec: encoder, binarizer and decoder learned together, 32 bits for each 16x16 pixels and iteration.

One iteration, in the coefficient domain of ``CosineTransform`` (y: the picture, y_hat: its reconstruction so far)::

    y - y_hat --x gain--> Encoder --> sign --> bits (+-1) --> Decoder --/ gain--> update of y_hat
                          [1/8, 1/16]          [1/16]         [1/16, 1/8]

Encoder and decoder are recurrent over the iterations, with one cell at 1/8 and one at 1/16 of the resolution each, and
shared by all iterations. What each iteration has for itself are the maps to and from the bits, and linear paths past
the recurrent cells: residual of a 16x16 block -> bits, bits -> update of a 16x16 block.

The encoder runs the decoder, so both hold the same y_hat. The gain is the residual scaling of the paper: what the
decoder knows says by how much the residual is scaled up before it is coded, and its update scaled down after.

This module does no input or output and chooses no device.

Source: Toderici et al. 2017, sections 2 and 3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pillow_rnc.entropy.schedule import COEFFICIENTS
from pillow_rnc.models.recurrent.cells import State, make_cell
from pillow_rnc.models.recurrent.pointwise import Pointwise, pointwise
from pillow_rnc.models.torch_transform import BLOCK, BlockTransform, _across_borders

if TYPE_CHECKING:
    from pillow_rnc.models.config import CellName, ModelConfig

CODE_STRIDE = 16
BLOCK_COEFFICIENTS = 4 * COEFFICIENTS
"""Coefficients of a 16x16 block: those of its four 8x8 blocks."""
FRAMEWORKS = ("one_shot", "additive", "residual_scaling")
_GAIN_REACH = 3.0  # the gain of a block stays within exp(+-this) of that of the iteration
_GAIN_GROWTH = 0.12  # of the logarithm of the gain from iteration to iteration, where training starts
INPUT_UNIT = 28.0  # 8-bit levels; the encoder sees coefficients over sqrt(this * their deviation)


class CosineTransform(BlockTransform):
    """RGB in 0..255 <-> 192 coefficients per 8x8 block, each over its standard deviation; exact inverses.

    The lapped DCT of `torch_transform` with means that stay means of blocks: where a code cell has 16x16 pixels,
    learned maps do what a wavelet would.

    Attributes:
        deviation: Standard deviation of each coefficient in 8-bit levels, float32 [192]; part of the weights.
    """

    deviation: Tensor

    def __init__(self, *, lapped: bool = True) -> None:
        super().__init__()
        self.lapped = lapped
        self.register_buffer("deviation", torch.ones(COEFFICIENTS))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return coefficients [N, 192, H/8, W/8] of pixels [N, 3, H, W] in 0..255; H and W are multiples of 8."""
        planes = torch.einsum("ij,njhw->nihw", self.colour, pixels - 128.0)
        if self.lapped:
            planes = _across_borders(planes, self.overlap)
        return self._coefficients(planes) / self.deviation.view(1, -1, 1, 1)

    def _planes(self, coefficients: Tensor) -> Tensor:
        n, _, h, w = coefficients.shape
        plain = (coefficients * self.deviation.view(1, -1, 1, 1)).view(n, 3, 64, h, w)
        blocks = torch.einsum("kp,nckhw->ncphw", self.basis, plain).reshape(n, COEFFICIENTS, h, w)
        planes = functional.pixel_shuffle(blocks, BLOCK)
        return _across_borders(planes, self.inverse_overlap) if self.lapped else planes

    def blocks(self, coefficients: Tensor) -> Tensor:
        """Return the plain DCT of each 8x8 block of coefficients [N, 192, h, w]; of the same shape."""
        if not self.lapped:
            return coefficients * self.deviation.view(1, -1, 1, 1)
        return super().blocks(coefficients)


class CodecState(NamedTuple):
    """What encoder and decoder both know of a picture after some iterations."""

    reconstruction: Tensor  # y_hat, [N, 192, h, w]
    features: Tensor | None  # of the decoder at 1/8, [N, d, h, w]; None before the first iteration
    context: State | None  # of the decoder's cell at 1/16
    detail: State | None  # of the decoder's cell at 1/8


class EncoderState(NamedTuple):
    """What the encoder alone remembers."""

    detail: State | None = None
    context: State | None = None


class IterationWeights(NamedTuple):
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

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        e, c, k, t = config.encoder_channels, config.context_channels, config.code_channels, config.iterations
        # As published, associative memory is for the decoder alone.
        cell: CellName = "lstm" if config.cell == "associative_lstm" else config.cell
        self.stem = Pointwise(2 * COEFFICIENTS, e)
        self.detail = make_cell(cell, e, e, separable=True)
        self.down = Pointwise(4 * e, c)
        self.context = make_cell(cell, c, c, separable=True)
        self.head = _uniform(t, k, c)
        self.bias = nn.Parameter(torch.zeros(t, k))
        self.direct = _uniform(t, k, BLOCK_COEFFICIENTS)

    def forward(
        self, residual: Tensor, reconstruction: Tensor, weights: IterationWeights, state: EncoderState
    ) -> tuple[Tensor, EncoderState]:
        """Return the pre-activations and the next memory."""
        fine, detail = self.detail(self.stem(torch.cat([residual, reconstruction], 1)), state.detail)
        wide, context = self.context(self.down(folded(fine)), state.context)
        a = pointwise(wide, weights.encoder_head, weights.encoder_bias)
        return a + pointwise(folded(residual), weights.encoder_direct), EncoderState(detail, context)


class Decoder(nn.Module):
    """Bits [N, bits, h / 2, w / 2] -> update in units of the gain, [N, 192, h, w]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        d, c, k, t = config.decoder_channels, config.context_channels, config.code_channels, config.iterations
        self.input = _uniform(t, c, k)
        self.bias = nn.Parameter(torch.zeros(t, c))
        self.context = make_cell(config.cell, c, c, separable=True)
        self.up = Pointwise(c, 4 * d)
        self.stem = Pointwise(COEFFICIENTS, d, bias=False)
        self.detail = make_cell(config.cell, d, d, separable=True)
        self.output = Pointwise(d, COEFFICIENTS)
        self.direct = _uniform(t, BLOCK_COEFFICIENTS, k)

    def forward(
        self, bits: Tensor, reconstruction: Tensor, weights: IterationWeights, state: CodecState
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


class RecurrentNetwork(nn.Module):
    """The whole codec on coefficients; ``transform`` leads to and from pixels.

    Args:
        config: Cell, framework, widths and iterations.
        lapped: Whether the transform laps over block borders.

    Raises:
        ValueError: The framework is none of the paper's, or the code cell is not one of 16x16 pixels.
    """

    def __init__(self, config: ModelConfig, *, lapped: bool = True) -> None:
        super().__init__()
        if config.framework not in FRAMEWORKS:
            raise ValueError(f"framework {config.framework!r} is not one of the paper's {FRAMEWORKS}")
        if config.code_stride != CODE_STRIDE:
            raise ValueError(f"code_stride is {config.code_stride}, must be {CODE_STRIDE}")
        self.config = config
        self.transform = CosineTransform(lapped=lapped)
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.log_gain = nn.Parameter(torch.arange(float(config.iterations)) * _GAIN_GROWTH)
        if config.framework == "residual_scaling":
            self.gain = Pointwise(config.decoder_channels, 1)
            nn.init.zeros_(self.gain.weight)
            assert self.gain.bias is not None
            nn.init.zeros_(self.gain.bias)

    def initial_state(self, batch: int, height: int, width: int) -> CodecState:
        """Return the state before the first iteration; ``height`` and ``width`` count 8x8 blocks, both even."""
        zeros = torch.zeros((batch, COEFFICIENTS, height, width), device=self.log_gain.device)
        return CodecState(zeros.contiguous(memory_format=torch.channels_last), None, None, None)

    def all_weights(self) -> list[IterationWeights]:
        """Return what belongs to each iteration. Split at once: indexing would build a full gradient each time."""
        e, d = self.encoder, self.decoder
        own = (self.log_gain, e.head, e.bias, e.direct, d.input, d.bias, d.direct)
        return [IterationWeights(*one) for one in zip(*(p.unbind() for p in own), strict=True)]

    def gain_map(self, weights: IterationWeights, state: CodecState) -> Tensor:
        """Return the gain of the next iteration, [1 or N, 1, 1 or h, 1 or w]: one for each 16x16 block at most."""
        gain = torch.exp(weights.log_gain).view(1, 1, 1, 1)
        if self.config.framework != "residual_scaling" or state.features is None:
            return gain
        says = functional.avg_pool2d(self.gain(state.features).float(), 2)
        own = torch.exp(_GAIN_REACH * torch.tanh(says))
        return gain * own.repeat_interleave(2, 2).repeat_interleave(2, 3)

    def encode_step(
        self, target: Tensor, weights: IterationWeights, state: CodecState, memory: EncoderState
    ) -> tuple[Tensor, EncoderState]:
        """Return the pre-activations of the bits of the next iteration, [N, bits, h / 2, w / 2], and the memory.

        Args:
            target: Coefficients of the picture, [N, 192, h, w].
            weights: Those of the iteration.
            state: What the decoder knows before it.
            memory: What the encoder remembers.
        """
        scale = self._input_scale()
        residual = (target - state.reconstruction) * (scale * self.gain_map(weights, state))
        a, memory = self.encoder(residual, state.reconstruction * scale, weights, memory)
        return a, memory

    def decode_step(self, bits: Tensor, weights: IterationWeights, state: CodecState) -> CodecState:
        """Return the state after one more iteration, from its bits +-1, [N, bits, h / 2, w / 2]."""
        seen = state.reconstruction * self._input_scale()
        update, features, context, detail = self.decoder(bits, seen, weights, state)
        built = update.float()
        if self.config.framework != "one_shot":
            built = state.reconstruction + built / self.gain_map(weights, state)
        return CodecState(built, features, context, detail)

    def encode(self, target: Tensor, iterations: int) -> Tensor:
        """Return the bits +-1 of the first iterations, [iterations, N, bits, h / 2, w / 2].

        Args:
            target: Coefficients of the picture, [N, 192, h, w], h and w even.
            iterations: How many, at least one.
        """
        state, memory, planes = self.initial_state(len(target), *target.shape[2:]), EncoderState(), []
        for weights in self.all_weights()[:iterations]:
            a, memory = self.encode_step(target, weights, state, memory)
            planes.append(self.bits_of(a))
            state = self.decode_step(planes[-1], weights, state)
        return torch.stack(planes)

    def reconstruct(self, planes: Tensor) -> Tensor:
        """Return the coefficients after some iterations, [N, 192, h, w], from the bits that ``encode`` returns."""
        _, n, _, h, w = planes.shape
        state = self.initial_state(n, 2 * h, 2 * w)
        for bits, weights in zip(planes, self.all_weights(), strict=False):
            state = self.decode_step(bits, weights, state)
        return state.reconstruction

    def _input_scale(self) -> Tensor:
        """Return what coefficients are multiplied by where the recurrent parts see them, [1, 192, 1, 1]."""
        return torch.sqrt(self.transform.deviation / INPUT_UNIT).view(1, -1, 1, 1)

    @staticmethod
    def bits_of(pre_activations: Tensor) -> Tensor:
        """Return the bits +-1 of pre-activations of any shape; zero is +1."""
        return torch.where(pre_activations >= 0, 1.0, -1.0)
