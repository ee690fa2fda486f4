"""The entropy network for training: the integer arithmetic of the format, simulated so that gradients pass.

Values in the forward pass are the very integers of the specification, held in float32 (exact, because every sum stays
below 2^24); roundings pass gradients straight through. Parameters are kept in units of 1/32 of their integer.

Source: specification, section "Entropy network".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pillow_rnc.models.recurrent.pointwise import pointwise
from pillow_rnc.training.tally import Tally, count, features, tallies, tally_coefficients

if TYPE_CHECKING:
    from torch.autograd.function import FunctionCtx

    from pillow_rnc.models.config import ModelConfig
    from pillow_rnc.models.embedded.torch_quantizer import Told
    from pillow_rnc.models.recurrent.network import Network

_KNOWN = 127.0  # value of a known bit and of full state
_WEIGHT = 32.0  # integer weight per unit of the parameter
_BIAS = _KNOWN * _WEIGHT  # integer bias per unit of the parameter
_LOGIT_LIMIT = 127.0 / 16.0


class _Replaced(torch.autograd.Function):
    """``soft`` in the backward pass, ``hard`` in the forward pass; exact, and at no cost."""

    @staticmethod
    def forward(ctx: FunctionCtx, soft: Tensor, hard: Tensor) -> Tensor:
        """Return ``hard``."""
        del ctx, soft
        return hard.view_as(hard)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> tuple[Tensor, None]:
        """Pass the gradient to ``soft``."""
        del ctx
        return gradients[0], None


def _with_value(soft: Tensor, hard: Tensor) -> Tensor:
    """Return ``hard`` in the forward pass and the gradient of ``soft`` in the backward pass."""
    replaced: Tensor = _Replaced.apply(soft, hard.detach())  # type: ignore[no-untyped-call]
    return replaced


def _round(x: Tensor) -> Tensor:
    return _with_value(x, torch.round(x.detach()))


def _floor(x: Tensor) -> Tensor:
    return _with_value(x, torch.floor(x.detach()))


class _Hidden(torch.autograd.Function):
    """Sums to the hidden units of the format, 0..255; a unit at its limit passes no gradient."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:  # noqa: ANN401 -- as torch wants it
        """Return floor(z / 64), clamped."""
        units = torch.floor(z / 64)
        clamped = units.clamp(0, 255)
        ctx.save_for_backward((units == clamped).to(z.dtype) / 64)
        return clamped

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401 -- as torch wants it
        """Return the gradient as if there were no rounding."""
        (slope,) = ctx.saved_tensors
        passed: Tensor = gradients[0] * slope
        return passed


def _hidden(z: Tensor) -> Tensor:
    hidden: Tensor = _Hidden.apply(z)  # type: ignore[no-untyped-call]
    return hidden


def _integer_weight(parameter: Tensor) -> Tensor:
    return _round((parameter * _WEIGHT).clamp(-127, 127))


def _integer_bias(parameter: Tensor) -> Tensor:
    return _round(parameter * _BIAS)


def _lattices(height: int, width: int, like: Tensor) -> list[Tensor]:
    """Return the cells of each lattice as maps of 1 and 0, [h, w]: even and odd checkerboard, all even, all odd."""
    rows = torch.arange(height, device=like.device)[:, None]
    columns = torch.arange(width, device=like.device)[None]
    odd = (rows + columns) % 2
    cells = (odd == 0, odd == 1, (odd == 0) & (rows % 2 == 0), (odd == 0) & (rows % 2 == 1))
    return [one.to(like.dtype) for one in cells]


class Hidden(NamedTuple):
    """What is known before an iteration: state [N, K, h, w], counts [N, S, h, w], their features [N, 2 S, h, w]."""

    state: Tensor
    counted: Tensor
    features: Tensor


class SharedIntegers(NamedTuple):
    """The integers that all iterations share, as tensors that pass gradients on."""

    state_weight: Tensor
    feature_weight: Tensor
    tally_input: Tensor


class IterationIntegers(NamedTuple):
    """The integers of one iteration, as tensors that pass gradients on; the first dimension counts passes."""

    state_in_weight: Tensor | None  # None for the first iteration: nothing comes before it
    state_in_bias: Tensor | None
    feature_bias: Tensor
    context_weight: Tensor  # of the passes after the first
    output_weight: Tensor
    output_bias: Tensor
    tally_output: Tensor | None
    tally: Tally | None  # counts the bits of the iteration before


class EntropyNetwork(nn.Module):
    """Predicts each bit from all earlier iterations and from the earlier passes of its own iteration.

    Raises:
        ValueError: The passes are for codes of another framework.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        wanted = config.code_channels // 2 if config.framework == "embedded" else config.code_channels
        if config.modelled_channels != wanted:
            msg = (
                f"passes reach channel {config.modelled_channels}, must reach {wanted} in framework "
                f"{config.framework!r} with {config.code_channels} code channels"
            )
            raise ValueError(msg)
        self.config = config
        t, c, p = config.iterations, config.modelled_channels, len(config.passes)
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
        counted = len(tally_coefficients())
        self.tally_input = uniform(2 * k, counted, fan_in=4 * counted)
        self.tally_output = nn.Parameter(torch.zeros(t - 1, p, g, 2 * counted))

    @torch.no_grad()
    def expect(self, ones: Tensor) -> None:
        """Start from how often each bit is one where it is told, [iterations, M], instead of from even odds."""
        odds = torch.logit(ones.clamp(1e-3, 1 - 1e-3))
        for p, (_, start, stop) in enumerate(self.config.passes):
            self.output_bias[:, p] = odds[:, start:stop]

    def integers(self, network: Network) -> tuple[SharedIntegers, list[IterationIntegers]]:
        """Return all parameters rounded to the integers of the format, split by iteration; once for each step.

        The tallies come from the codec ``network``, whose codes are predicted. Splitting with ``unbind`` matters:
        indexing would build a full-size gradient for every iteration.
        """
        # The hidden unit is 64 per 1.0, half the unit of states: so is the bias of the output.
        own = (
            (None, *_integer_weight(self.state_in_weight).unbind()),
            (None, *_integer_bias(self.state_in_bias).unbind()),
            _integer_bias(self.feature_bias).unbind(),
            _integer_weight(self.context_weight).unbind(),
            _integer_weight(self.output_weight).unbind(),
            _round(self.output_bias * (_BIAS / 2)).unbind(),
            (None, *_integer_weight(self.tally_output).unbind()),
            (None, *tallies(network)),
        )
        shared = SharedIntegers(
            _integer_weight(self.state_weight), _integer_weight(self.feature_weight), _integer_weight(self.tally_input)
        )
        return shared, [IterationIntegers(*values) for values in zip(*own, strict=True)]

    def advance(self, shared: SharedIntegers, values: IterationIntegers, x: Tensor, before: Hidden | None) -> Hidden:
        """Return what is known before an iteration (not the first) from the values 1, 0, -1 of the one before."""
        assert values.state_in_weight is not None
        assert values.tally is not None
        counted = count(values.tally, x, None if before is None else before.counted)
        seen = features(counted, values.tally.scale)
        z = F.conv2d(x * _KNOWN, values.state_in_weight, values.state_in_bias, padding=1)
        z = z + pointwise(seen[:, : shared.tally_input.shape[1]], shared.tally_input)
        h = None if before is None else before.state
        if h is not None:
            z = z + pointwise(h, shared.state_weight)
        z_u, z_n = z.chunk(2, 1)
        hard_u = torch.round(255 * torch.sigmoid(torch.floor(z_u.detach() / 256).clamp(-128, 127) / 16))
        u = _with_value(255 * torch.sigmoid(z_u / 4096), hard_u)
        hard_n = torch.round(127 * torch.tanh(torch.floor(z_n.detach() / 128).clamp(-128, 127) / 32))
        n = _with_value(127 * torch.tanh(z_n / 4096), hard_n)
        state = _floor((u * n + 128) / 256) if h is None else h + _floor((u * (n - h) + 128) / 256)
        return Hidden(state, counted, seen)

    def logits(self, shared: SharedIntegers, values: IterationIntegers, x: Tensor, before: Hidden | None) -> Tensor:
        """Return the log-odds of bit 1 for every bit of an iteration, [N, M, h, w], from the values of them all."""
        n, c, height, width = x.shape
        lattices = _lattices(height, width, x)
        f = None if before is None else F.conv2d(before.state, shared.feature_weight, padding=1)
        known = torch.zeros((1, c, height, width), dtype=x.dtype, device=x.device)  # value of a known bit
        out = torch.zeros_like(x)
        feature_bias, output_weight = values.feature_bias.unbind(), values.output_weight.unbind()
        output_bias, context_weight = values.output_bias.unbind(), values.context_weight.unbind()
        tally_output = None if values.tally_output is None else values.tally_output.unbind()
        reach = 0  # channels beyond are all unknown
        for p, (wanted, start, stop) in enumerate(self.config.passes):
            z = feature_bias[p].view(1, -1, 1, 1)
            if f is not None:
                z = z + f
            if p:
                seen = x[:, :reach] * known[:, :reach]
                z = z + F.conv2d(seen, context_weight[p - 1][:, :reach], padding=1)
            reach = max(reach, stop)
            a = _hidden(z)
            sums = pointwise(a, output_weight[p], output_bias[p])
            if before is not None and tally_output is not None:
                sums = sums + pointwise(before.features, tally_output[p])
            logit = (_floor(sums / 128) / 16).clamp(-8.0, _LOGIT_LIMIT)
            cells = lattices[wanted][None, None]
            pad = (0, 0, 0, 0, start, c - stop)
            out = out + F.pad((logit * cells).expand(n, -1, -1, -1), pad)
            known = known + F.pad((_KNOWN * cells).expand(1, stop - start, -1, -1), pad)
        return out

    def forward(
        self,
        shared: SharedIntegers,
        values: IterationIntegers,
        bits: Tensor,
        told: Told | None,
        before: Hidden | None,
    ) -> Tensor:
        """Return the code length in bits of each picture of the batch for one iteration, float32 [N].

        In frameworks that learn their codes, the gradient for a bit is half of what flipping it would cost or save.
        That of the code length itself nearly vanishes at a likely bit, so that codes would forget what the unlikely
        one costs.

        Args:
            shared: Integers of all iterations.
            values: Integers of this one.
            bits: +-1, [N, C, h, w].
            told: What they tell, if not all of them do; signs cost one bit each.
            before: What is known before the iteration.
        """
        fixed = bits.detach()
        if told is None:
            logit = self.logits(shared, values, fixed, before)
            length = F.softplus(-fixed * logit) - 0.5 * logit.detach() * (bits - fixed)
            return length.sum((1, 2, 3)) / math.log(2.0)
        logit = self.logits(shared, values, told.values, before)
        length = F.softplus(-fixed[:, : logit.shape[1]] * logit) * told.magnitudes
        return length.sum((1, 2, 3)) / math.log(2.0) + told.signs.sum((1, 2, 3))

    @torch.no_grad()
    def integer_tensors(self, network: Network) -> dict[str, Tensor]:
        """Return the tensors of the weights file, in the types and names of the specification."""
        weights = {
            "entropy.state_in.weight": self.state_in_weight,
            "entropy.state.weight": self.state_weight,
            "entropy.feature.weight": self.feature_weight,
            "entropy.context.weight": self.context_weight,
            "entropy.output.weight": self.output_weight,
            "entropy.accumulator_input.weight": self.tally_input,
            "entropy.accumulator_output.weight": self.tally_output,
        }
        biases = {
            "entropy.state_in.bias": self.state_in_bias * _BIAS,
            "entropy.feature.bias": self.feature_bias * _BIAS,
            "entropy.output.bias": self.output_bias * (_BIAS / 2),
        }
        out = {name: _integer_weight(p).to(torch.int8).cpu().contiguous() for name, p in weights.items()}
        out.update({name: torch.round(p).to(torch.int32).cpu().contiguous() for name, p in biases.items()})
        counts = tallies(network)
        out["entropy.accumulator.weight"] = torch.stack([c.weight for c in counts]).to(torch.int16).cpu().contiguous()
        out["entropy.accumulator.scale"] = torch.stack([c.scale for c in counts]).to(torch.int32).cpu().contiguous()
        return out
