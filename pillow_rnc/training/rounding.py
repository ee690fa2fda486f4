"""Roundings of the entropy network that pass gradients, as if there were no rounding.

Parameters are kept in units of 1/32 of their integer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from torch.autograd.function import FunctionCtx

KNOWN = 127.0
"""Value of a known bit and of full state."""
WEIGHT = 32.0
"""Integer weight per unit of the parameter."""
BIAS = KNOWN * WEIGHT
"""Integer bias per unit of the parameter."""


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


def with_value(soft: Tensor, hard: Tensor) -> Tensor:
    """Return ``hard`` in the forward pass and the gradient of ``soft`` in the backward pass."""
    replaced: Tensor = _Replaced.apply(soft, hard.detach())  # type: ignore[no-untyped-call]
    return replaced


def round_through(x: Tensor) -> Tensor:
    """Return the nearest integers."""
    return with_value(x, torch.round(x.detach()))


def floor_through(x: Tensor) -> Tensor:
    """Return the next lower integers."""
    return with_value(x, torch.floor(x.detach()))


class _HiddenUnits(torch.autograd.Function):
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


def hidden_units(z: Tensor) -> Tensor:
    """Return the hidden units 0..255 of sums of any shape."""
    hidden: Tensor = _HiddenUnits.apply(z)  # type: ignore[no-untyped-call]
    return hidden


def integer_weight(parameter: Tensor) -> Tensor:
    """Return the integer weights of a parameter, -127..127."""
    return round_through((parameter * WEIGHT).clamp(-127, 127))


def integer_bias(parameter: Tensor) -> Tensor:
    """Return the integer biases of a parameter."""
    return round_through(parameter * BIAS)
