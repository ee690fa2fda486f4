"""The decoder of the embedded family: intervals of coefficients -> where in them each coefficient is reconstructed.

The intervals hold all that the codes have said, so a reconstruction needs one run of the decoder, whichever iteration
was the last. Its recurrent cells then take a few steps without new codes.

Source: steps without new codes are the "diffusion" of Johnston et al., "Improved lossy image compression with priming
and spatially adaptive bit rates for recurrent networks", CVPR 2018, section 3.2; the rest is this project's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pillow_rnc.entropy.schedule import COEFFICIENTS
from pillow_rnc.models.layers.activations import softsign
from pillow_rnc.models.layers.core import DecoderState, RecurrentCore
from pillow_rnc.models.layers.pointwise import Pointwise
from pillow_rnc.models.limits import MAX_HALF_WIDTH

if TYPE_CHECKING:
    from pillow_rnc.models.config import EmbeddedConfig
    from pillow_rnc.models.embedded.torch_quantizer import Intervals


class IntervalDecoder(RecurrentCore):
    """Intervals and gain after an iteration -> reconstructed coefficients, [N, 192, h, w].

    Attributes:
        bias: float32 [T, d], the input that tells iterations apart.
        shift: float32 [T, 192], where in its interval a significant coefficient is, in half widths away from zero: the
            part of the answer that needs no network.
    """

    def __init__(self, config: EmbeddedConfig) -> None:
        super().__init__(config)
        d, t = config.decoder_channels, config.iterations
        self.steps = config.decoder_steps
        self.midpoint_projection = Pointwise(COEFFICIENTS, d, bias=False)
        self.half_width_projection = Pointwise(COEFFICIENTS, d, bias=False)
        self.bias = nn.Parameter(torch.zeros(t, d))
        self.shift = nn.Parameter(torch.zeros(t, COEFFICIENTS))

    def forward(self, intervals: Intervals, gain: Tensor, iteration: Tensor) -> Tensor:
        """Return the coefficients.

        Args:
            intervals: Of [N, 192, h, w] coefficients; h and w even.
            gain: One over the quantizer's step, [N, 1, h, w].
            iteration: Index of the last iteration of each image, int64 [N].
        """
        midpoint, half_width = intervals
        width = (half_width.abs() * gain).clamp_max(MAX_HALF_WIDTH)
        projected = self.midpoint_projection(softsign(midpoint * gain))
        projected = projected + self.half_width_projection(width / MAX_HALF_WIDTH - 1)
        x = projected + self.bias[iteration][:, :, None, None]
        features, state = self.step(x, DecoderState())
        for _ in range(self.steps - 1):
            features, state = self.step(x, state)
        inside = self.output(features) + self.shift[iteration][:, :, None, None] * midpoint.sign()
        coefficients: Tensor = midpoint + inside * width / gain
        return coefficients
