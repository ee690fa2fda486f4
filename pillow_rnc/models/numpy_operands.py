"""The tensors of a weights file as operands of matrix products, for the NumPy networks of both families.

What is linear is folded here:

- the shift of a map is a last row of its weights, for inputs with a last column of ones;
- the depthwise bias of a cell's input is in the shift of what follows;
- the halves of ``sigmoid(x) = (1 + tanh(x / 2)) / 2`` are in the weights before it and behind it.

Source: `layers.cells`, for names and shapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pillow_rnc.errors import WeightsError

if TYPE_CHECKING:
    from pillow_rnc.models.weights import Weights

Floats = NDArray[np.float32]

_PREFIX = "network."


class TensorReader:
    """The network's tensors of a weights file, removed one by one, each checked for its shape."""

    def __init__(self, weights: Weights) -> None:
        self._name = weights.name
        self._left = {
            name.removeprefix(_PREFIX): tensor for name, tensor in weights.tensors.items() if name.startswith(_PREFIX)
        }

    def take(self, name: str, *shape: int) -> Floats:
        """Return a tensor of a shape; 1x1 convolutions come without their last two dimensions.

        Raises:
            WeightsError: There is none of that name and shape.
        """
        tensor = self._left.pop(name, None)
        if tensor is None or tensor.shape not in (shape, (*shape, 1, 1)):
            raise self.misfit(name)
        return tensor.reshape(shape)

    def finish(self) -> None:
        """Check that no tensor is left over.

        Raises:
            WeightsError: One is.
        """
        if self._left:
            raise self.misfit(*sorted(self._left))

    def misfit(self, *names: str) -> WeightsError:
        """Return the error for tensors that are missing, too many or of a wrong shape."""
        return WeightsError(f"weights {self._name!r} do not fit their own configuration in {', '.join(names)}")


def operand(weight: Floats, shift: Floats | None = None) -> Floats:
    """Return weight [out, in] as a right operand: [in, out], or [in + 1, out] with its shift."""
    rows = [weight.T] if shift is None else [weight.T, shift[None]]
    return np.ascontiguousarray(np.concatenate(rows), dtype=np.float32)


class CellWeights:
    """A separable GRU of c channels.

    Attributes:
        input_kernel: float32 [3, 3, c].
        hidden_kernel: float32 [3, 3, c].
        hidden_shift: float32 [c].
        gates: float32 [2 c + 1, 2 c], from input, hidden map and one to half of update and reset.
        candidate: float32 [2 c + 1, c], from input, hidden map times twice the reset gate, and one.
    """

    def __init__(self, reader: TensorReader, name: str, c: int) -> None:
        self.channels = c
        self.input_kernel = _taps(reader.take(f"{name}.input.spatial.weight", c, 1, 3, 3))
        self.hidden_kernel = _taps(reader.take(f"{name}.hidden.spatial.weight", c, 1, 3, 3))
        self.hidden_shift = reader.take(f"{name}.hidden.spatial.bias", c)
        weight, bias = reader.take(f"{name}.input.mix.weight", 3 * c, c), reader.take(f"{name}.input.mix.bias", 3 * c)
        shift = weight @ reader.take(f"{name}.input.spatial.bias", c) + bias
        hidden = reader.take(f"{name}.hidden.mix.weight", 2 * c, c)
        self.gates = operand(np.hstack([weight[: 2 * c], hidden]), shift[: 2 * c]) * np.float32(0.5)
        hidden = reader.take(f"{name}.candidate.weight", c, c) * np.float32(0.5)
        self.candidate = operand(np.hstack([weight[2 * c :], hidden]), shift[2 * c :])


def _taps(kernel: Floats) -> Floats:
    return np.ascontiguousarray(kernel[:, 0].transpose(1, 2, 0))
