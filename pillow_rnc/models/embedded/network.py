"""The network of the embedded family: an embedded quantizer, and a recurrent decoder of its intervals.

One iteration, in the coefficient domain of ``torch_transform``::

    coefficients --> EmbeddedQuantizer --> bits (+-1) --> refine --> intervals
                      step x masking                                    |
                                             IntervalDecoder <----------+   only when an image is requested

The codes narrow the interval of each coefficient, and the `interval_decoder` estimates each coefficient within its
interval. So coding needs no decoder, and no bit depends on the output of the learned layers.

This module does no input or output and chooses no device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pillow_rnc.entropy.schedule import COEFFICIENTS, MEANS
from pillow_rnc.models.coefficient_network import CoefficientNetwork, initial_log_gain
from pillow_rnc.models.embedded.interval_decoder import IntervalDecoder
from pillow_rnc.models.embedded.torch_quantizer import (
    EmbeddedQuantizer,
    Intervals,
    ScheduleTensors,
    bit_amounts,
    coded_values,
    initial_intervals,
    margins,
    refine,
)
from pillow_rnc.models.layers.activations import Binarizer
from pillow_rnc.models.layers.masking import Masking
from pillow_rnc.models.torch_transform import BlockTransform

if TYPE_CHECKING:
    from pillow_rnc.models.config import EmbeddedConfig
    from pillow_rnc.models.network import CodedValues


class EmbeddedNetwork(CoefficientNetwork[Intervals, ScheduleTensors, None]):
    """The codec on coefficients; its state are the intervals, and its encoder remembers nothing else."""

    config: EmbeddedConfig
    decoder: IntervalDecoder
    unmasked: Tensor

    def __init__(self, config: EmbeddedConfig) -> None:
        super().__init__()
        self.config = config
        self.transform = BlockTransform()
        self.quantizer = EmbeddedQuantizer(config.iterations, COEFFICIENTS, config.code_channels // 2)
        unmasked = torch.zeros(COEFFICIENTS)
        unmasked[list(MEANS)] = 1.0
        self.register_buffer("unmasked", unmasked.view(1, -1, 1, 1), persistent=False)
        self.decoder = IntervalDecoder(config)
        self.binarizer = Binarizer()
        self.log_gain = initial_log_gain(config.iterations)
        self.masking = Masking()

    def initial_state(self, batch: int, height: int, width: int) -> Intervals:
        parameter = self.log_gain
        shape = (batch, COEFFICIENTS, height, width)
        zeros = torch.zeros(shape, dtype=parameter.dtype, device=parameter.device)
        return initial_intervals(zeros.contiguous(memory_format=torch.channels_last))

    def weights_of(self, iteration: int) -> ScheduleTensors:
        return self.quantizer.schedule(iteration)

    def step_scale(self, state: Intervals, schedule: ScheduleTensors | None = None) -> Tensor:
        """Return the factor by which masking enlarges the quantizer's steps; block means are not masked.

        [N, G, h, w] for the pairs of an iteration; without a schedule, [N, 192, h, w] for all coefficients.
        """
        scale: Tensor = 1 / self.masking(state.midpoint)
        unmasked = self.unmasked if schedule is None else self.unmasked[:, schedule.coefficient]
        return scale + unmasked * (1 - scale)

    def encode_step(
        self, target: Tensor, weights: ScheduleTensors, state: Intervals, memory: None
    ) -> tuple[Tensor, None]:
        return margins(target, state, weights, self.step_scale(state, weights)), memory

    def decode_step(self, bits: Tensor, weights: ScheduleTensors, state: Intervals) -> Intervals:
        return refine(bits, state, weights, self.step_scale(state, weights))

    def coded_values(self, bits: Tensor, weights: ScheduleTensors, state: Intervals) -> CodedValues:
        return coded_values(bits, state, weights)

    def gain_map(self, log_gain: Tensor, state: Intervals) -> Tensor:
        """Return one over the masked step, [1 or N, 1, h, w]; ``log_gain`` is a scalar, or [N] for each image."""
        gain: Tensor = torch.exp(log_gain).view(-1, 1, 1, 1) * self.masking(state.midpoint)
        return gain

    def reconstruct(self, state: Intervals, iteration: Tensor) -> Tensor:
        coefficients: Tensor = self.decoder(state, self.gain_map(self.log_gain[iteration], state), iteration)
        return coefficients

    def bit_amounts(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Return what each context-coded bit adds to a magnitude that is zero so far, and to any other: [192, M]."""
        return bit_amounts(self.weights_of(iteration))
