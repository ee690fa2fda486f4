"""The light network on 8x8 blocks in training: every iteration is reconstructed, as the encoder needs it anyway."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from pillow_rnc.models.layers.cells import State
from pillow_rnc.models.layers.core import DecoderState
from pillow_rnc.models.recurrent.block_network import BlockState, BlockWeights
from pillow_rnc.training.objective import RateDistortionModel
from pillow_rnc.training.recurrent.start import greedy_quantizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pillow_rnc.models.recurrent.block_network import BlockNetwork


class BlockModel(RateDistortionModel[BlockState, BlockWeights, State]):
    """A light recurrent network and its entropy network, trained together."""

    network: BlockNetwork

    def start(self, pixels: Tensor) -> None:
        """Begin as a quantizer of the coefficients, unless the updates of the framework do not add up."""
        if self.network.config.framework == "one_shot":
            return
        coefficients = self.network.transform(pixels)
        start = greedy_quantizer(self.network, coefficients, self.recipe.first_step, self.recipe.last_step)
        self.entropy.expect(start.ones)

    def _distortion(
        self, pixels: Tensor, target: Tensor, states: Sequence[BlockState], supervised: Tensor
    ) -> tuple[Tensor, Tensor]:
        n, iterations = len(target), len(states)
        built = torch.stack([state.reconstruction for state in states]).flatten(0, 1)
        coefficients, found = self._reconstruction_error(
            self.network,
            BlockState(built, built, DecoderState()),  # of which the reconstruction matters
            self.every.repeat_interleave(n),
            target.repeat(iterations, 1, 1, 1),
            visible=self.visible,
        )
        errors = found.detach().view(-1, n).mean(1)
        chosen = coefficients.view(-1, *target.shape).index_select(0, supervised).flatten(0, 1)
        loss = self.recipe.hvs_share * found.mean()
        return self._with_ms_ssim(loss, chosen, pixels, len(supervised)), errors
