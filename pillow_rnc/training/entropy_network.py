"""The entropy network for training: the integer arithmetic of the format, simulated so that gradients pass.

Values in the forward pass are the very integers of the specification, held in float32 (exact, because every sum stays
below 2^24); roundings pass gradients straight through.

Source: specification, section "Entropy network".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pillow_rnc.models.layers.pointwise import pointwise
from pillow_rnc.training.accumulators import (
    AccumulatorWeights,
    accumulate,
    accumulated_coefficients,
    accumulator_weights,
    features,
)
from pillow_rnc.training.rounding import (
    BIAS,
    KNOWN,
    floor_through,
    hidden_units,
    integer_bias,
    integer_weight,
    round_through,
    with_value,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pillow_rnc.models.coefficient_network import CoefficientNetwork
    from pillow_rnc.models.config import ModelConfig
    from pillow_rnc.models.network import CodedValues

    AnyNetwork = CoefficientNetwork[Any, Any, Any]

_LOGIT_LIMIT = 127.0 / 16.0


def _lattices(height: int, width: int, like: Tensor) -> list[Tensor]:
    """Return the cells of each lattice as maps of 1 and 0, [h, w]: even and odd checkerboard, all even, all odd."""
    rows = torch.arange(height, device=like.device)[:, None]
    columns = torch.arange(width, device=like.device)[None]
    odd = (rows + columns) % 2
    cells = (odd == 0, odd == 1, (odd == 0) & (rows % 2 == 0), (odd == 0) & (rows % 2 == 1))
    return [one.to(like.dtype) for one in cells]


class Hidden(NamedTuple):
    """What is known before an iteration.

    Attributes:
        state: [N, K, h, w].
        accumulated: Accumulators, [N, S, h, w].
        features: Of the accumulators, [N, 2 S, h, w].
    """

    state: Tensor
    accumulated: Tensor
    features: Tensor


class SharedIntegers(NamedTuple):
    """The integers that all iterations share, as tensors that pass gradients on."""

    state_weight: Tensor
    feature_weight: Tensor
    accumulator_input: Tensor


class IterationIntegers(NamedTuple):
    """The integers of one iteration, as tensors that pass gradients on; the first dimension counts passes."""

    state_in_weight: Tensor | None  # None for the first iteration: nothing comes before it
    state_in_bias: Tensor | None
    feature_bias: Tensor
    context_weight: Tensor  # of the passes after the first
    output_weight: Tensor
    output_bias: Tensor
    accumulator_output: Tensor | None
    accumulator: AccumulatorWeights | None  # for the bits of the iteration before


class EntropyNetwork(nn.Module):
    """Predicts each bit from all earlier iterations and from the earlier passes of its own iteration.

    Raises:
        ValueError: The passes do not fit the channels that the model's family context-codes.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        reached, wanted = max(stop for _, _, stop in config.passes), config.context_coded_channels
        if reached != wanted:
            msg = (
                f"passes reach channel {reached}, must reach {wanted} in family {config.family!r} with "
                f"{config.code_channels} code channels"
            )
            raise ValueError(msg)
        self.config = config
        t, c, p = config.iterations, config.context_coded_channels, len(config.passes)
        k, f, g = (
            config.entropy_state_channels,
            config.entropy_hidden_channels,
            config.passes[0][2] - config.passes[0][1],
        )

        def uniform(*shape: int, fan_in: int) -> nn.Parameter:
            return nn.Parameter((torch.rand(shape) * 2 - 1) / math.sqrt(fan_in))

        self.state_in_weight = uniform(t - 1, 2 * k, c, 3, 3, fan_in=9 * c)
        self.state_in_bias = nn.Parameter(torch.zeros(t - 1, 2 * k))
        self.state_weight = uniform(2 * k, k, fan_in=k)
        self.feature_weight = uniform(f, k, 3, 3, fan_in=9 * k)
        self.feature_bias = nn.Parameter(torch.rand(t, p, f) * 0.5)
        self.context_weight = uniform(t, p - 1, f, c, 3, 3, fan_in=9 * c)
        self.output_weight = uniform(t, p, g, f, fan_in=4 * f)
        self.output_bias = nn.Parameter(torch.zeros(t, p, g))
        accumulators = len(accumulated_coefficients())
        self.accumulator_input = uniform(2 * k, accumulators, fan_in=4 * accumulators)
        self.accumulator_output = nn.Parameter(torch.zeros(t - 1, p, g, 2 * accumulators))

    @torch.no_grad()
    def expect(self, ones: Tensor) -> None:
        """Start from how often each bit is one where it is coded, [iterations, M], instead of from even odds."""
        odds = torch.logit(ones.clamp(1e-3, 1 - 1e-3))
        for p, (_, start, stop) in enumerate(self.config.passes):
            self.output_bias[:, p] = odds[:, start:stop]

    def integers(self, network: AnyNetwork) -> tuple[SharedIntegers, list[IterationIntegers]]:
        """Return all parameters rounded to the integers of the format, split by iteration; once for each step.

        The accumulators come from the codec ``network``, whose codes are predicted.
        """
        output = (None, *integer_weight(self.accumulator_output).unbind())
        accumulators = (None, *accumulator_weights(network))
        return self._integers(integer_weight(self.accumulator_input), output, accumulators)

    def _integers(
        self, accumulator_input: Tensor, *of_accumulators: Iterable[Tensor | AccumulatorWeights | None]
    ) -> tuple[SharedIntegers, list[IterationIntegers]]:
        """Return all integers, those of accumulators as given.

        Splitting with ``unbind`` matters: indexing would build a full-size gradient for every iteration.
        """
        # The hidden unit is 64 per 1.0, half the unit of states: so is the bias of the output.
        own = (
            (None, *integer_weight(self.state_in_weight).unbind()),
            (None, *integer_bias(self.state_in_bias).unbind()),
            integer_bias(self.feature_bias).unbind(),
            integer_weight(self.context_weight).unbind(),
            integer_weight(self.output_weight).unbind(),
            round_through(self.output_bias * (BIAS / 2)).unbind(),
        )
        shared = SharedIntegers(
            integer_weight(self.state_weight), integer_weight(self.feature_weight), accumulator_input
        )
        return shared, [IterationIntegers(*values) for values in zip(*own, *of_accumulators, strict=True)]

    def advance(self, shared: SharedIntegers, values: IterationIntegers, x: Tensor, before: Hidden | None) -> Hidden:
        """Return what is known before an iteration (not the first) from the values 1, 0, -1 of the one before."""
        assert values.state_in_weight is not None
        assert values.accumulator is not None
        accumulated = accumulate(values.accumulator, x, None if before is None else before.accumulated)
        seen = features(accumulated, values.accumulator.scale)
        z = F.conv2d(x * KNOWN, values.state_in_weight, values.state_in_bias, padding=1)
        z = z + pointwise(seen[:, : shared.accumulator_input.shape[1]], shared.accumulator_input)
        return Hidden(self._next_state(shared, z, before), accumulated, seen)

    def _next_state(self, shared: SharedIntegers, z: Tensor, before: Hidden | None) -> Tensor:
        """Return the state [N, K, h, w] from its sums, [N, 2 K, h, w], but for those over the state before."""
        h = None if before is None else before.state
        if h is not None:
            z = z + pointwise(h, shared.state_weight)
        z_u, z_n = z.chunk(2, 1)
        hard_u = torch.round(255 * torch.sigmoid(torch.floor(z_u.detach() / 256).clamp(-128, 127) / 16))
        u = with_value(255 * torch.sigmoid(z_u / 4096), hard_u)
        hard_n = torch.round(127 * torch.tanh(torch.floor(z_n.detach() / 128).clamp(-128, 127) / 32))
        n = with_value(127 * torch.tanh(z_n / 4096), hard_n)
        return floor_through((u * n + 128) / 256) if h is None else h + floor_through((u * (n - h) + 128) / 256)

    def logits(self, shared: SharedIntegers, values: IterationIntegers, x: Tensor, before: Hidden | None) -> Tensor:
        """Return the log-odds of bit 1 for every bit of an iteration, [N, M, h, w], from the values of them all."""
        n, c, height, width = x.shape
        lattices = _lattices(height, width, x)
        f = None if before is None else F.conv2d(before.state, shared.feature_weight, padding=1)
        known = torch.zeros((1, c, height, width), dtype=x.dtype, device=x.device)  # value of a known bit
        out = torch.zeros_like(x)
        feature_bias, output_weight = values.feature_bias.unbind(), values.output_weight.unbind()
        output_bias, context_weight = values.output_bias.unbind(), values.context_weight.unbind()
        accumulator_output = None if values.accumulator_output is None else values.accumulator_output.unbind()
        known_channels = 0  # the ones above are all unknown
        for p, (wanted, start, stop) in enumerate(self.config.passes):
            z = feature_bias[p].view(1, -1, 1, 1)
            if f is not None:
                z = z + f
            if p:
                seen = x[:, :known_channels] * known[:, :known_channels]
                z = z + F.conv2d(seen, context_weight[p - 1][:, :known_channels], padding=1)
            known_channels = max(known_channels, stop)
            a = hidden_units(z)
            sums = pointwise(a, output_weight[p], output_bias[p])
            if before is not None and accumulator_output is not None:
                sums = sums + pointwise(before.features, accumulator_output[p])
            logit = (floor_through(sums / 128) / 16).clamp(-8.0, _LOGIT_LIMIT)
            cells = lattices[wanted][None, None]
            pad = (0, 0, 0, 0, start, c - stop)
            out = out + F.pad((logit * cells).expand(n, -1, -1, -1), pad)
            known = known + F.pad((KNOWN * cells).expand(1, stop - start, -1, -1), pad)
        return out

    def forward(
        self,
        shared: SharedIntegers,
        values: IterationIntegers,
        bits: Tensor,
        coded: CodedValues | None,
        before: Hidden | None,
    ) -> Tensor:
        """Return the code length in bits of each image of the batch for one iteration, float32 [N].

        Where codes are learned, the gradient for a bit is half of what flipping it would cost or save. That of the code
        length itself nearly vanishes at a likely bit, so that codes would forget what the unlikely one costs.

        Args:
            shared: Integers of all iterations.
            values: Integers of this one.
            bits: +-1, [N, C, h, w].
            coded: Which of them are coded, if not all are; bypass-coded bits cost one bit each.
            before: What is known before the iteration.
        """
        fixed = bits.detach()
        if coded is None:
            logit = self.logits(shared, values, fixed, before)
            length = F.softplus(-fixed * logit) - 0.5 * logit.detach() * (bits - fixed)
            return length.sum((1, 2, 3)) / math.log(2.0)
        logit = self.logits(shared, values, coded.values, before)
        length = F.softplus(-fixed[:, : logit.shape[1]] * logit) * coded.magnitudes
        return length.sum((1, 2, 3)) / math.log(2.0) + coded.signs.sum((1, 2, 3))

    @torch.no_grad()
    def integer_tensors(self, network: AnyNetwork) -> dict[str, Tensor]:
        """Return the tensors of the weights file, in the types and names of the specification."""
        accumulators = accumulator_weights(network)
        return self._tensors(
            {
                "accumulator.weight": torch.stack([a.weight for a in accumulators]).to(torch.int16),
                "accumulator.scale": torch.stack([a.scale for a in accumulators]).to(torch.int32),
                "accumulator_input.weight": integer_weight(self.accumulator_input).to(torch.int8),
                "accumulator_output.weight": integer_weight(self.accumulator_output).to(torch.int8),
            }
        )

    def _tensors(self, of_accumulators: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return all tensors of the weights file, those of accumulators as given."""
        weights = {
            "state_in.weight": self.state_in_weight,
            "state.weight": self.state_weight,
            "feature.weight": self.feature_weight,
            "context.weight": self.context_weight,
            "output.weight": self.output_weight,
        }
        biases = {
            "state_in.bias": self.state_in_bias * BIAS,
            "feature.bias": self.feature_bias * BIAS,
            "output.bias": self.output_bias * (BIAS / 2),
        }
        out = {name: integer_weight(p).to(torch.int8) for name, p in weights.items()}
        out |= {name: torch.round(p).to(torch.int32) for name, p in biases.items()}
        return {f"entropy.{name}": value.cpu().contiguous() for name, value in (out | of_accumulators).items()}
