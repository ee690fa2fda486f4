"""The decoder of the embedded framework: where coefficients are known to lie -> where in there they are shown.

The intervals hold all that the codes have said, so the decoder looks at them once, whichever iteration was the last.
Its recurrent cells then take a few steps without new codes.

Source: steps without new codes are the "diffusion" of Johnston et al., "Improved lossy image compression with priming
and spatially adaptive bit rates for recurrent networks", CVPR 2018, section 3.2; the rest is this project's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from pillow_rnc.entropy.schedule import COEFFICIENTS
from pillow_rnc.models.recurrent.activations import squash
from pillow_rnc.models.recurrent.core import DecoderState, TwoScales
from pillow_rnc.models.recurrent.pointwise import Pointwise

if TYPE_CHECKING:
    from pillow_rnc.models.config import ModelConfig
    from pillow_rnc.models.embedded.torch_quantizer import Intervals

WIDEST = 4.0
"""Half widths of intervals beyond so many steps are seen as so many; those of coefficients that were never visited."""


class IntervalDecoder(TwoScales):
    """Intervals and gain after an iteration -> coefficients that are shown, [N, 192, h, w].

    Attributes:
        bias: float32 [T, d], the input that tells iterations apart.
        shift: float32 [T, 192], where in its interval a coefficient is that is known not to be zero, in half widths
            away from zero: the part of the answer that needs no network.
    """

    def __init__(self, config: ModelConfig) -> None:
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
            gain: One over the quantiser's step, [N, 1, h, w].
            iteration: Index of the last iteration of each picture, int64 [N].
        """
        middle, reach = intervals
        width = (reach.abs() * gain).clamp_max(WIDEST)
        seen = self.midpoint_projection(squash(middle * gain)) + self.half_width_projection(width / WIDEST - 1)
        x = seen + self.bias[iteration][:, :, None, None]
        features, state = self.move(x, DecoderState())
        for _ in range(self.steps - 1):
            features, state = self.move(x, state)
        inside = self.output(features) + self.shift[iteration][:, :, None, None] * middle.sign()
        shown: Tensor = middle + inside * width / gain
        return shown
