"""The embedded family in training: the decoder is run for the supervised iterations only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pillow_rnc.models.embedded.torch_quantizer import Intervals, ScheduleTensors
from pillow_rnc.training.embedded.start import greedy_schedule
from pillow_rnc.training.objective import RateDistortionModel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pillow_rnc.models.embedded.network import EmbeddedNetwork


class EmbeddedModel(RateDistortionModel[Intervals, ScheduleTensors, None]):
    """An embedded network and its entropy network, trained together."""

    network: EmbeddedNetwork

    def start(self, pixels: Tensor) -> None:
        """Begin with the schedule that suits the images, and with a decoder that adds nothing."""
        coefficients = self.network.transform(pixels)
        start = greedy_schedule(self.network, coefficients, self.recipe.first_step, self.recipe.last_step)
        self.entropy.expect(start.ones)

    def _distortion(
        self, pixels: Tensor, target: Tensor, states: Sequence[Intervals], supervised: Tensor
    ) -> tuple[Tensor, Tensor]:
        errors = torch.full((len(states),), torch.nan, device=pixels.device)
        if not (self.codec_learns and len(supervised)):
            return torch.zeros((), device=pixels.device), errors
        n, count = len(target), len(supervised)
        maps = (torch.stack(part).index_select(0, supervised).flatten(0, 1) for part in zip(*states, strict=True))
        coefficients, found = self._reconstruction_error(
            self.network,
            Intervals(*maps),
            supervised.repeat_interleave(n),
            target.repeat(count, 1, 1, 1),
            visible=self.visible,
        )
        errors = errors.index_copy(0, supervised, found.detach().view(-1, n).mean(1))
        return self._with_ms_ssim(self.recipe.hvs_share * found.mean(), coefficients, pixels, count), errors
