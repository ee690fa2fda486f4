"""The codec network: encoder, binarizer and decoder, each recurrent over the iterations.

One iteration, in the coefficient domain of ``block_transform`` (y: the picture, y_hat: its reconstruction so far)::

      y - y_hat --x gain--> Encoder --> Binarizer --> bits (+-1) --> Decoder --/ gain--> update of y_hat
                            [1/8, state]   [1/8]                    [1/8 and 1/16, state]

Encoder and decoder cores are shared by all iterations; binarizer and the decoder's input are own 1x1 convolutions for
each iteration, each with a direct linear path past the recurrent core. The encoder runs the decoder, so both hold the
same y_hat. This module does no input or output and chooses no device.

The framework "embedded" has an `embedded_quantiser` in place of encoder and direct paths: the codes narrow the
interval of each coefficient, and an `interval_decoder` says where in there it is shown, once somebody looks. So coding
needs no decoder, and no bit depends on what only floats know.

Source: Toderici et al. 2017, sections 2 and 3; ``gain`` is its residual scaling: a function of what was coded so far,
with one value for each 8x8 block and two parameters.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pillow_rnc.entropy.schedule import COEFFICIENTS, MEANS
from pillow_rnc.models.embedded.interval_decoder import IntervalDecoder
from pillow_rnc.models.embedded.torch_quantizer import (
    EmbeddedQuantiser,
    Intervals,
    Told,
    Visits,
    advanced,
    at_rest,
    margins,
    told,
)
from pillow_rnc.models.recurrent.activations import Binarizer, significance, squash
from pillow_rnc.models.recurrent.cells import State, make_cell
from pillow_rnc.models.recurrent.core import DecoderState, TwoScales
from pillow_rnc.models.recurrent.pointwise import Pointwise, pointwise
from pillow_rnc.models.torch_transform import BlockTransform

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pillow_rnc.models.config import CellName, ModelConfig

_EMBEDDED = "embedded"
_MASKED = ("residual_scaling", _EMBEDDED)  # frameworks whose gain follows what was coded
_MASKING_EXPONENT, _MASKING_FLOOR = 0.2, 200.0  # by measurement: MS-SSIM gains most before PSNR-HVS loses


class CodecState(NamedTuple):
    """State of one picture after some iterations."""

    coded: Tensor  # the part of y_hat that the codes alone say, [N, 192, h, w]
    reach: Tensor  # half widths of the intervals that are left, [N, 192, h, w]; of use in the embedded framework
    reconstruction: Tensor  # y_hat, [N, 192, h, w]; in the embedded framework ask `Network.shown`
    decoder: DecoderState


class DirectWeights(NamedTuple):
    """Maps of one iteration to, from and past the recurrent cores, in frameworks that learn their codes."""

    input: Tensor
    input_bias: Tensor
    head: Tensor
    encoder_direct: Tensor
    encoder_bias: Tensor
    encoder_significance: Tensor
    decoder_direct: Tensor
    decoder_refinement: Tensor


class IterationWeights(NamedTuple):
    """What belongs to one iteration alone: its gains, 1x1 maps and visits. All else is shared by all iterations."""

    log_gain: Tensor
    log_update_gain: Tensor  # of the decoder's output; the same unless every update is a whole picture
    direct: DirectWeights | None
    visits: Visits | None  # in the embedded framework


def _linear(inputs: int, outputs: int, count: int, *, bias: bool) -> Sequence[nn.Conv2d]:
    """Return ``count`` separate 1x1 convolutions, as a module list with the type of what it holds."""
    return cast("Sequence[nn.Conv2d]", nn.ModuleList(Pointwise(inputs, outputs, bias=bias) for _ in range(count)))


def _encoder_cell(config: ModelConfig) -> CellName:
    """Return the encoder's cell: as published, associative memory is for the decoder alone."""
    return "lstm" if config.cell == "associative_lstm" else config.cell


class Encoder(nn.Module):
    """Scaled residual and reconstruction [N, 192, h, w] each -> pre-activations [N, code_channels, h, w]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        c, t = config.encoder_channels, config.iterations
        self.stem = Pointwise(2 * COEFFICIENTS, c)
        self.core = make_cell(_encoder_cell(config), c, c, separable=config.separable)
        self.heads = _linear(c, config.code_channels, t, bias=False)
        self.direct = _linear(COEFFICIENTS, config.code_channels, t, bias=True)
        self.significance = _linear(COEFFICIENTS, config.code_channels, t, bias=False)

    def forward(
        self,
        residual: Tensor,
        reconstruction: Tensor,
        significant: Tensor,
        weights: DirectWeights,
        state: State | None,
    ) -> tuple[Tensor, State]:
        residual = squash(residual)
        features, state = self.core(self.stem(torch.cat([residual, squash(reconstruction)], 1)), state)
        a = pointwise(features, weights.head) + pointwise(residual, weights.encoder_direct, weights.encoder_bias)
        return a + pointwise(significant, weights.encoder_significance), state


class Decoder(TwoScales):
    """Bits [N, code_channels, h, w] -> update of the coefficients, in units of the gain, [N, 192, h, w].

    The update comes in two parts: the direct path carries what the bits say, and the recurrent path predicts the rest.
    The step that a bit stands for depends on whether its coefficient is significant.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        k, d, t = config.code_channels, config.decoder_channels, config.iterations
        self.inputs = _linear(k, d, t, bias=True)
        self.direct = _linear(k, COEFFICIENTS, t, bias=False)
        self.refinement = _linear(k, COEFFICIENTS, t, bias=False)

    def carried(self, bits: Tensor, significant: Tensor, weights: DirectWeights) -> Tensor:
        """Return what the bits say by the direct path, [N, 192, h, w].

        Args:
            bits: [N, code_channels, h, w], +-1.
            significant: Of each coefficient, 0 to 1, [N, 192, h, w]; see `activations.significance`.
            weights: Those of the iteration.
        """
        return pointwise(bits, weights.decoder_direct) + pointwise(bits, weights.decoder_refinement) * significant

    def forward(self, bits: Tensor, weights: DirectWeights, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return what the recurrent path predicts, in units of the gain, [N, 192, h, w], and its next state."""
        features, state = self.move(pointwise(bits, weights.input, weights.input_bias), state)
        return self.output(features), state


class Masking(nn.Module):
    """What was coded, [N, 192, h, w] -> factor of the gain [N, 1, h, w], 0 to 1: less where the picture is busy.

    The eye, and MS-SSIM with it, forgives errors under texture: ``(1 + activity / floor) ** -exponent``, where the
    activity of a block is the mean energy of its luma coefficients but the first, half its own, half that of the nine
    blocks around it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.exponent = nn.Parameter(torch.tensor(_MASKING_EXPONENT))
        self.log_floor = nn.Parameter(torch.tensor(math.log(_MASKING_FLOOR)))

    def forward(self, coded: Tensor) -> Tensor:
        energy = coded[:, 1:64].float().square().mean(1, keepdim=True)
        around = F.avg_pool2d(energy, 3, stride=1, padding=1, count_include_pad=False)
        return torch.exp(-self.exponent * torch.log1p((energy + around) / 2 * torch.exp(-self.log_floor)))


class Network(nn.Module):
    """The whole codec on coefficients; ``transform`` leads to and from pixels."""

    unmasked: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.transform = BlockTransform()
        if config.framework == _EMBEDDED:
            self.quantizer = EmbeddedQuantiser(config.iterations, COEFFICIENTS, config.code_channels // 2)
            unmasked = torch.zeros(COEFFICIENTS)
            unmasked[list(MEANS)] = 1.0
            self.register_buffer("unmasked", unmasked.view(1, -1, 1, 1), persistent=False)
            self.decoder: Decoder | IntervalDecoder = IntervalDecoder(config)
        else:
            self.encoder = Encoder(config)
            self.decoder = Decoder(config)
        self.binarizer = Binarizer()
        # Quantiser step of each iteration, in weighted 8-bit levels; training starts from these.
        steps = torch.tensor([120.0 * 0.1 ** (t / max(1, config.iterations - 1)) for t in range(config.iterations)])
        self.log_gain = nn.Parameter(-torch.log(steps))
        if config.framework in _MASKED:
            self.masking = Masking()

    def initial_state(self, batch: int, height: int, width: int) -> CodecState:
        """Return the state before the first iteration; ``height`` and ``width`` count 8x8 blocks, both even."""
        parameter = self.log_gain
        shape = (batch, COEFFICIENTS, height, width)
        zeros = torch.zeros(shape, dtype=parameter.dtype, device=parameter.device)
        zeros = zeros.contiguous(memory_format=torch.channels_last)
        return CodecState(*at_rest(zeros), zeros, DecoderState())

    def weights_of(self, iteration: int) -> IterationWeights:
        """Return what belongs to one iteration alone; index from 0."""
        log_gain = self.log_gain[iteration]
        embedded = self.config.framework == _EMBEDDED
        return IterationWeights(
            log_gain,
            self.log_gain[0] if self.config.framework == "one_shot" else log_gain,
            None if embedded else self._direct_weights(iteration),
            self.quantizer.visits(iteration) if embedded else None,
        )

    def _direct_weights(self, iteration: int) -> DirectWeights:
        assert isinstance(self.decoder, Decoder)
        inputs, encoder_direct = self.decoder.inputs[iteration], self.encoder.direct[iteration]
        assert inputs.bias is not None
        assert encoder_direct.bias is not None
        return DirectWeights(
            inputs.weight,
            inputs.bias,
            self.encoder.heads[iteration].weight,
            encoder_direct.weight,
            encoder_direct.bias,
            self.encoder.significance[iteration].weight,
            self.decoder.direct[iteration].weight,
            self.decoder.refinement[iteration].weight,
        )

    def gain_map(self, log_gain: Tensor, state: CodecState) -> Tensor:
        """Return the gain of an iteration, [1 or N, 1, 1 or h, 1 or w], from what the decoder already holds.

        ``log_gain`` is a scalar, or [N]: each picture's own.
        """
        gain = torch.exp(log_gain).view(-1, 1, 1, 1)
        return gain * self.masking(state.coded) if self.config.framework in _MASKED else gain

    def scale_map(self, state: CodecState, visits: Visits | None = None) -> Tensor:
        """Return by what the masking widens the steps of the quantiser; means are not masked.

        [N, G, h, w] for the pairs of an iteration; without one, [N, 192, h, w] for all coefficients.
        """
        wider: Tensor = 1 / self.masking(state.coded)
        unmasked = self.unmasked if visits is None else self.unmasked[:, visits.coefficient]
        return wider + unmasked * (1 - wider)

    def encode(
        self, target: Tensor, weights: IterationWeights, state: CodecState, memory: State | None
    ) -> tuple[Tensor, State | None]:
        """Return the binarizer's input, [N, code_channels, h, w], and the encoder's next memory; see `encode_step`."""
        if weights.visits is not None:
            scale = self.scale_map(state, weights.visits)
            return margins(target, Intervals(state.coded, state.reach), weights.visits, scale), None
        assert weights.direct is not None
        gain = self.gain_map(weights.log_gain, state)
        significant = significance(state.coded, gain)
        residual = (target - state.reconstruction) * gain
        return self.encoder(residual, state.reconstruction * gain, significant, weights.direct, memory)  # type: ignore[no-any-return]

    def decode(self, bits: Tensor, weights: IterationWeights, state: CodecState) -> CodecState:
        """Return the state after one more iteration, from its bits [N, code_channels, h, w]; see `decode_step`."""
        if weights.visits is not None:
            intervals, scale = Intervals(state.coded, state.reach), self.scale_map(state, weights.visits)
            coded, reach = advanced(bits, intervals, weights.visits, scale)
            return CodecState(coded, reach, state.reconstruction, state.decoder)
        assert weights.direct is not None
        assert isinstance(self.decoder, Decoder)
        gain = self.gain_map(weights.log_update_gain, state)
        coded = self.decoder.carried(bits, significance(state.coded, gain), weights.direct) / gain
        predicted, decoder = self.decoder(bits, weights.direct, state.decoder)
        update = predicted / gain + coded
        if self.config.framework == "one_shot":
            return CodecState(coded, state.reach, update, decoder)
        return CodecState(state.coded + coded, state.reach, state.reconstruction + update, decoder)

    def told(self, bits: Tensor, weights: IterationWeights, state: CodecState) -> Told | None:
        """Return what the bits of an iteration tell, from the state before it; None if all of them do."""
        if weights.visits is None:
            return None
        return told(bits, Intervals(state.coded, state.reach), weights.visits)

    def shown(self, state: CodecState, iteration: Tensor) -> Tensor:
        """Return the coefficients of the picture after some iterations, [N, 192, h, w].

        Args:
            state: State after them.
            iteration: Index of the last of them for each picture, int64 [N].
        """
        if not isinstance(self.decoder, IntervalDecoder):
            return state.reconstruction
        gain = self.gain_map(self.log_gain[iteration], state)
        shown: Tensor = self.decoder(Intervals(state.coded, state.reach), gain, iteration)
        return shown

    def encode_step(
        self, target: Tensor, iteration: int, state: CodecState, memory: State | None
    ) -> tuple[Tensor, State | None]:
        """Return the binarizer's input of one iteration and the encoder's next memory.

        Args:
            target: Coefficients of the picture, [N, 192, h, w].
            iteration: Index from 0.
            state: State after ``iteration`` iterations.
            memory: The encoder's own state, ``None`` before the first iteration.
        """
        return self.encode(target, self.weights_of(iteration), state, memory)

    def decode_step(self, bits: Tensor, iteration: int, state: CodecState) -> CodecState:
        """Return the state after one more iteration, from its bits +-1, [N, code_channels, h, w]."""
        return self.decode(bits, self.weights_of(iteration), state)
