"""Muon: descent along the momentum with all its singular values close to one, for weights that are matrices.

Why not torch.optim.Muon: it takes plain matrices alone, where these are kernels of convolutions; and an invalid step
must leave everything as it was without waiting for the device.

Source: Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOMENTUM = 0.95
_ROUNDS = 5
_A, _B, _C = 3.4445, -4.7750, 2.0315  # the polynomial of a round: steep at zero, near one in the end
_TAPS = 9


def is_matrix(name: str, parameter: Tensor) -> bool:
    """Return whether a parameter mixes channels: no table, no bias and no depthwise kernel."""
    return name.endswith("weight") and parameter.dim() > 1 and parameter[0].numel() > _TAPS


def orthogonalised(matrix: Tensor) -> Tensor:
    """Return a matrix [m, n] with the same singular vectors and singular values of about 0.7 to 1.2."""
    wide = matrix.shape[0] <= matrix.shape[1]
    x: Tensor = matrix if wide else matrix.T
    x = x / (torch.linalg.vector_norm(x) + 1e-12)
    for _ in range(_ROUNDS):
        square = x @ x.T
        x = _A * x + (_B * square + _C * square @ square) @ x
    return x if wide else x.T


class Muon:
    """The optimizer of some parameters.

    Args:
        parameters: By name, all such that `is_matrix`.
        rate: The learning rate, a scalar that may change between steps: how far a matrix moves, in spectral norm.

    Attributes:
        momentum: By name.
    """

    def __init__(self, parameters: Iterable[tuple[str, Tensor]], rate: Tensor) -> None:
        self._parameters = dict(parameters)
        self._rate = rate
        self.momentum = {name: torch.zeros_like(parameter) for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def step(self, invalid: Tensor) -> None:
        """Update the parameters; where the scalar ``invalid`` is one, everything stays as it was."""
        valid = invalid == 0
        for name, parameter in self._parameters.items():
            if parameter.grad is None:
                continue
            momentum = self.momentum[name]
            new = torch.lerp(momentum, parameter.grad, 1 - _MOMENTUM)
            ahead = torch.lerp(parameter.grad, new, _MOMENTUM)
            update = orthogonalised(ahead.flatten(1))
            longer = max(1.0, update.shape[0] / update.shape[1]) ** 0.5
            momentum.copy_(torch.where(valid, new, momentum))
            moved = parameter - self._rate * longer * update.view_as(parameter)
            parameter.copy_(torch.where(valid, moved, parameter))
