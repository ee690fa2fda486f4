"""What the light networks of both families have in common: they code 8x8 blocks of transform coefficients."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Generic

import torch
from torch import Tensor, nn

from pillow_rnc.models.network import CodecNetwork, MemoryT, StateT, WeightsT

if TYPE_CHECKING:
    from pillow_rnc.models.layers.core import RecurrentCore
    from pillow_rnc.models.torch_transform import BlockTransform

_FIRST_STEP, _LAST_SHARE = 120.0, 0.1  # in weighted 8-bit levels; the last step as a share of the first


class CoefficientNetwork(CodecNetwork[StateT, WeightsT, MemoryT], Generic[StateT, WeightsT, MemoryT]):
    """A codec of coefficients [N, 192, h, w], in units of a step for each iteration.

    Attributes:
        log_gain: Logarithm of one over the step of each iteration, float32 [T].
        decoder: The learned decoder.
    """

    transform: BlockTransform
    log_gain: nn.Parameter
    decoder: RecurrentCore

    @abstractmethod
    def bit_amounts(self, iteration: int) -> tuple[Tensor, Tensor]:
        """Return what each context-coded bit of an iteration adds to a coefficient, [192, M] each.

        First to one that is zero so far, then to any other; without masking and without what the decoder predicts.
        """


def initial_log_gain(iterations: int) -> nn.Parameter:
    """Return the gains that training starts from, float32 [T]; steps fall geometrically to a tenth."""
    steps = [_FIRST_STEP * _LAST_SHARE ** (t / max(1, iterations - 1)) for t in range(iterations)]
    return nn.Parameter(-torch.log(torch.tensor(steps)))
