"""Nonlinear functions with gradients of their own: the softsign of the inputs, and the binarizer."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pillow_rnc.models.limits import SOFTSIGN_LIMIT

_STRAIGHT_THROUGH = 0.5  # the binarizer passes gradients while its input is within +-this


class _Softsign(torch.autograd.Function):
    """``softsign`` with its gradient computed from its own value: half the passes over the map."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401 -- as torch wants it
        """Return the softsign of a map."""
        y = x / (1.0 + x.abs() / SOFTSIGN_LIMIT)
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401 -- as torch wants it
        """Return the gradient: the slope is (1 - |y| / limit)^2."""
        (y,) = ctx.saved_tensors
        slope: Tensor = torch.sub(1.0, y.abs(), alpha=1 / SOFTSIGN_LIMIT)
        return gradients[0] * slope * slope


def softsign(x: Tensor) -> Tensor:
    """Return a map of any shape limited to ``+-SOFTSIGN_LIMIT``: slope 1 at zero, strictly increasing."""
    limited: Tensor = _Softsign.apply(x)  # type: ignore[no-untyped-call]
    return limited


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
    """Pre-activations of any shape -> bits +-1; sign(0) = +1. Gradients pass straight through near the threshold."""

    def forward(self, a: Tensor) -> Tensor:
        bits: Tensor = _Sign.apply(a)  # type: ignore[no-untyped-call]
        return bits
