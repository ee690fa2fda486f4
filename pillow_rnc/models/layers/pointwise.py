"""1x1 convolutions as matrix products.

On one core torch sends 1x1 convolutions of small batches down a slow path; as a product over the channels-last layout
they run several times faster, and on other devices no slower.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the 1x1 convolution of a map [N, in, h, w] with weight [out, in] or [out, in, 1, 1]: [N, out, h, w]."""
    matrix = weight.reshape(weight.shape[0], weight.shape[1])
    return F.linear(x.permute(0, 2, 3, 1), matrix, bias).permute(0, 3, 1, 2)


class Pointwise(nn.Conv2d):
    """A 1x1 convolution of stride 1."""

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True) -> None:
        super().__init__(inputs, outputs, 1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 -- the name of the base class
        """Return the map [N, outputs, h, w] of a map [N, inputs, h, w]."""
        return pointwise(input, self.weight, self.bias)
