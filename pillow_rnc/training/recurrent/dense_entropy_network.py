"""The entropy network of dense codes, whose every bit is +-1: that of `entropy_network` without accumulators.

Accumulators sum up magnitudes; a sum of signs predicts nothing of the next sign.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from pillow_rnc.training.entropy_network import EntropyNetwork, Hidden, IterationIntegers, SharedIntegers
from pillow_rnc.training.rounding import KNOWN

if TYPE_CHECKING:
    from pillow_rnc.models.config import RecurrentConfig


class DenseEntropyNetwork(EntropyNetwork):
    """The entropy network without accumulators."""

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__(config)
        del self.accumulator_input, self.accumulator_output

    def dense_integers(self) -> tuple[SharedIntegers, list[IterationIntegers]]:
        """Return all parameters rounded to the integers of the format, split by iteration."""
        nothing = (None,) * self.config.iterations
        return self._integers(torch.zeros(0), nothing, nothing)

    def advance(self, shared: SharedIntegers, values: IterationIntegers, x: Tensor, before: Hidden | None) -> Hidden:
        """Return the state before an iteration (not the first) from the values +-1 of the one before."""
        assert values.state_in_weight is not None
        z = F.conv2d(x * KNOWN, values.state_in_weight, values.state_in_bias, padding=1)
        return Hidden(self._next_state(shared, z, before), x, x)  # nothing is accumulated

    def odds(self, planes: Tensor) -> list[Tensor]:
        """Return the log-odds of bit 1 for every bit, T of [N, C, h, w], of bits +-1 [T, N, C, h, w]."""
        shared, integers = self.dense_integers()
        hidden, out = None, []
        for t, bits in enumerate(planes):
            if t:
                hidden = self.advance(shared, integers[t], planes[t - 1], hidden)
            out.append(self.logits(shared, integers[t], bits, hidden))
        return out

    def lengths(self, planes: Tensor) -> Tensor:
        """Return the ideal code length in bits of each iteration and image, [T, N], of bits +-1 [T, N, C, h, w]."""
        pairs = zip(planes, self.odds(planes), strict=True)
        return torch.stack([F.softplus(-bits * odds).sum((1, 2, 3)) / math.log(2) for bits, odds in pairs])

    @torch.no_grad()
    def dense_tensors(self) -> dict[str, Tensor]:
        """Return the tensors of the weights file; one accumulator, which the format demands, stays 0."""
        c = self.config
        t, p, m = c.iterations, len(c.passes), c.context_coded_channels
        g, k = c.passes[0][2] - c.passes[0][1], c.entropy_state_channels
        return self._tensors(
            {
                "accumulator.weight": torch.zeros(t - 1, 2, 1, m, dtype=torch.int16),
                "accumulator.scale": torch.ones(t - 1, dtype=torch.int32),
                "accumulator_input.weight": torch.zeros(2 * k, 1, dtype=torch.int8),
                "accumulator_output.weight": torch.zeros(t - 1, p, g, 2, dtype=torch.int8),
            }
        )
