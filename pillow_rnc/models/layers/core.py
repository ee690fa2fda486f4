"""The recurrent core of the light decoders: two cells, at 1/8 and at 1/16 of the resolution.

The output of the coarse cell, which sees further, enters the fine one in the same step.

Source: Toderici et al. 2017, section 2, for decoders with cells at several resolutions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pillow_rnc.entropy.schedule import COEFFICIENTS
from pillow_rnc.models.layers.cells import State, make_cell
from pillow_rnc.models.layers.pointwise import Pointwise

if TYPE_CHECKING:
    from pillow_rnc.models.config import ModelConfig


class DecoderState(NamedTuple):
    """What the decoder remembers between steps; ``None`` before the first."""

    context: State | None = None  # 1/16 of the resolution
    detail: State | None = None  # 1/8 of the resolution


class RecurrentCore(nn.Module):
    """Input map [N, d, h, w] -> features of the same shape, which ``output`` maps to coefficients [N, 192, h, w]."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        c, d = config.context_channels, config.decoder_channels
        self.down = Pointwise(4 * d, c)
        self.context = make_cell(config.cell, c, c, separable=config.separable)
        self.up = Pointwise(c, 4 * d)
        self.detail = make_cell(config.cell, d, d, separable=config.separable)
        self.output = Pointwise(d, COEFFICIENTS)

    def step(self, x: Tensor, state: DecoderState) -> tuple[Tensor, DecoderState]:
        """Return the features of one step, [N, d, h, w] like their input, and the next state; h and w are even."""
        wide, context = self.context(self._halved(x), state.context)  # [N, c, h/2, w/2]
        features, detail = self.detail(x + self._doubled(wide), state.detail)
        return features, DecoderState(context, detail)

    @torch.no_grad()
    def zero_output(self) -> None:
        """Zero the output layer."""
        for parameter in self.output.parameters():
            parameter.zero_()

    def _halved(self, x: Tensor) -> Tensor:
        """Return ``down(pixel_unshuffle(x, 2))``, moving whole cells instead of single numbers.

        The maps hold the channels of a cell side by side, so the four cells are laid side by side and the weights,
        which are far fewer, are put in their order.
        """
        n, d, h, w = x.shape
        cells = (
            x.permute(0, 2, 3, 1).reshape(n, h // 2, 2, w // 2, 2, d).transpose(2, 3).reshape(n, h // 2, w // 2, 4 * d)
        )
        weight = self.down.weight.view(-1, d, 4).transpose(1, 2).reshape(-1, 4 * d)
        return F.linear(cells, weight, self.down.bias).permute(0, 3, 1, 2)

    def _doubled(self, wide: Tensor) -> Tensor:
        """Return ``pixel_shuffle(up(wide), 2)``, likewise."""
        n, c, h, w = wide.shape
        weight, bias = self.up.weight, self.up.bias
        assert bias is not None
        weight = weight.view(-1, 4, c).transpose(0, 1).reshape(-1, c)
        cells = F.linear(wide.permute(0, 2, 3, 1), weight, bias.view(-1, 4).T.reshape(-1))
        return cells.view(n, h, w, 2, 2, -1).transpose(2, 3).reshape(n, 2 * h, 2 * w, -1).permute(0, 3, 1, 2)
