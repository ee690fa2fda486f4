"""The weights of a codec network as operands of matrix products, for `numpy_network`.

What is linear is folded here:

- the shift of a map is a last row of its weights, for inputs with a last column of ones;
- the depthwise bias of a cell's input is in the shift of what follows;
- the halves of ``sigmoid(x) = (1 + tanh(x / 2)) / 2`` are in the weights before it and behind it;
- the limits of what the decoder sees are in the weights behind it.

Source: `network` and `cells`, for names and shapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pillow_rnc.entropy.schedule import COEFFICIENTS
from pillow_rnc.errors import WeightsError

if TYPE_CHECKING:
    from pillow_rnc.entropy.schedule import IterationSchedule
    from pillow_rnc.models.config import ModelConfig
    from pillow_rnc.models.weights import Weights

Floats = NDArray[np.float32]

SQUASH = np.float32(4)  # what the decoder sees saturates at this many quantiser steps, see `activations`
WIDEST = np.float32(4)  # and widths of intervals end at this many, see `interval_decoder`

_PREFIX = "network."


def can_run(config: ModelConfig) -> bool:
    """Return whether there is all here that a model needs: the embedded quantiser and separable GRU cells."""
    return config.framework == "embedded" and config.cell == "gru" and config.separable


class _Reader:
    """The network's tensors of a weights file, taken out one by one, each of the shape that the model must have."""

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
        """Check that nothing is left.

        Raises:
            WeightsError: There is.
        """
        if self._left:
            raise self.misfit(*sorted(self._left))

    def misfit(self, *names: str) -> WeightsError:
        """Return the error for tensors that are missing, too many or of a wrong shape."""
        return WeightsError(f"weights {self._name!r} do not fit their own configuration in {', '.join(names)}")


def _operand(weight: Floats, shift: Floats | None = None) -> Floats:
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

    def __init__(self, reader: _Reader, name: str, c: int) -> None:
        self.channels = c
        self.input_kernel = _taps(reader.take(f"{name}.input.spatial.weight", c, 1, 3, 3))
        self.hidden_kernel = _taps(reader.take(f"{name}.hidden.spatial.weight", c, 1, 3, 3))
        self.hidden_shift = reader.take(f"{name}.hidden.spatial.bias", c)
        weight, bias = reader.take(f"{name}.input.mix.weight", 3 * c, c), reader.take(f"{name}.input.mix.bias", 3 * c)
        shift = weight @ reader.take(f"{name}.input.spatial.bias", c) + bias
        hidden = reader.take(f"{name}.hidden.mix.weight", 2 * c, c)
        self.gates = _operand(np.hstack([weight[: 2 * c], hidden]), shift[: 2 * c]) * np.float32(0.5)
        hidden = reader.take(f"{name}.candidate.weight", c, c) * np.float32(0.5)
        self.candidate = _operand(np.hstack([weight[2 * c :], hidden]), shift[2 * c :])


def _taps(kernel: Floats) -> Floats:
    return np.ascontiguousarray(kernel[:, 0].transpose(1, 2, 0))


class IterationWeights(NamedTuple):
    """What belongs to one iteration alone. d channels of the decoder.

    Attributes:
        gain: One over the step of the iteration.
        visits: Of the iteration.
        visited: intp [V], the coefficients that this iteration or one before it visits, in order.
        bias: float32 [d], of what is seen of these.
        shift: float32 [192].
    """

    gain: float
    visits: IterationSchedule
    visited: NDArray[np.intp]
    bias: Floats
    shift: Floats


class NetworkWeights:
    """A whole network.

    Raises:
        WeightsError: The tensors do not fit the model's configuration.
    """

    @np.errstate(all="ignore")
    def __init__(self, weights: Weights) -> None:
        config, reader = weights.config, _Reader(weights)
        d, c = config.decoder_channels, config.context_channels
        self.config = config
        width = reader.take("decoder.half_width_projection.weight", d, COEFFICIENTS)
        # From what is seen of middles and widths, [384, d]; of widths, how much less they are than the widest.
        sight = np.hstack([SQUASH * reader.take("decoder.midpoint_projection.weight", d, COEFFICIENTS), width / WIDEST])
        self.sight = _operand(sight)
        # The four cells one after another: [4 d + 1, c] and [c + 1, 4 d].
        down = reader.take("decoder.down.weight", c, 4 * d).reshape(c, d, 4).transpose(0, 2, 1).reshape(c, -1)
        self.down = _operand(down, reader.take("decoder.down.bias", c))
        up, shift = reader.take("decoder.up.weight", 4 * d, c), reader.take("decoder.up.bias", 4 * d)
        self.up = np.ascontiguousarray(_operand(up, shift).reshape(c + 1, d, 4).transpose(0, 2, 1).reshape(c + 1, -1))
        self.context = CellWeights(reader, "decoder.context", c)
        self.detail = CellWeights(reader, "decoder.detail", d)
        output = reader.take("decoder.output.weight", COEFFICIENTS, d)
        self.output = _operand(output, reader.take("decoder.output.bias", COEFFICIENTS))  # [d + 1, 192]
        self.masking_exponent = float(reader.take("masking.exponent"))
        self.masking_floor = float(np.exp(reader.take("masking.log_floor")))
        visits = weights.entropy_model.schedule
        assert visits is not None  # which this runtime is for
        for name in ("coefficient", "level", "step"):  # the entropy model has looked at them
            reader.take(f"quantizer.{name}", config.iterations, config.code_channels // 2)
        self.iterations = _iterations(reader, config, visits, width)
        reader.finish()


def _iterations(
    reader: _Reader, config: ModelConfig, visits: tuple[IterationSchedule, ...], width: Floats
) -> list[IterationWeights]:
    """Return what belongs to each iteration; ``width`` [d, 192] are the weights of widths."""
    d, count = config.decoder_channels, config.iterations
    gains = np.exp(reader.take("log_gain", count))
    biases = reader.take("decoder.bias", count, d)
    shifts = reader.take("decoder.shift", count, COEFFICIENTS)
    found, visited = [], np.empty(0, np.intp)
    for t in range(count):
        visited = np.union1d(visited, visits[t].coefficients)
        bias = biases[t] - width[:, visited].sum(1)
        found.append(IterationWeights(float(gains[t]), visits[t], visited, bias, shifts[t]))
    return found
