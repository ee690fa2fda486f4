"""The nonlinear functions round the code bits, two of them with a gradient of their own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_SQUASH = 4.0  # inputs of the encoder saturate at this many quantiser steps
_STRAIGHT_THROUGH = 0.5  # the binarizer passes gradients while its input is inside +-this


class _Squash(torch.autograd.Function):
    """``squash`` with its gradient from its own value: half the passes over the map."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401 -- as torch wants it
        """Return the bent map."""
        y = x / (1.0 + x.abs() / _SQUASH)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401 -- as torch wants it
        """Return the gradient: the slope is (1 - |y| / limit)^2."""
        (y,) = ctx.saved_tensors
        slope: Tensor = torch.sub(1.0, y.abs(), alpha=1 / _SQUASH)
        return gradients[0] * slope * slope


def squash(x: Tensor) -> Tensor:
    """Return a map of any shape bent to stay within ``+-_SQUASH``; slope 1 at zero, strictly rising."""
    bent: Tensor = _Squash.apply(x)  # type: ignore[no-untyped-call]
    return bent


def significance(coded: Tensor, gain: Tensor) -> Tensor:
    """Return how far each coefficient is significant, 0 to 1: 1 once a whole quantiser step of it has been coded.

    Embedded coders of transform coefficients live by this distinction: what is still zero needs a wide dead zone,
    what is significant needs its interval halved. Below half a step it is 0, so that small stray updates which
    training brings do not add up to significance.

    Args:
        coded: Coefficients that the codes alone say, [N, 192, h, w].
        gain: One over the quantiser's step, [N or 1, 1, h or 1, w or 1].
    """
    return (2.0 * (coded * gain).abs() - 1.0).clamp(0.0, 1.0)


class _Sign(torch.autograd.Function):
    """Sign with sign(0) = +1; its gradient is 1 within +-_STRAIGHT_THROUGH and 0 beyond."""

    @staticmethod
    def forward(ctx: Any, a: Tensor) -> Tensor:  # noqa: ANN401 -- as torch wants it
        """Return +-1."""
        ctx.save_for_backward(a)
        return torch.where(a >= 0, 1.0, -1.0).to(a.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401 -- as torch wants it
        """Pass gradients near the threshold."""
        (a,) = ctx.saved_tensors
        near: Tensor = a.abs() <= _STRAIGHT_THROUGH
        return gradients[0] * near


class Binarizer(nn.Module):
    """Pre-activations of any shape to bits +-1; sign(0) = +1. Gradients pass straight through near the threshold."""

    def forward(self, a: Tensor) -> Tensor:
        bits: Tensor = _Sign.apply(a)  # type: ignore[no-untyped-call]
        return bits
