"""The weights of a codec network as operands of matrix products, for `numpy_network`.

What is linear is folded here:

- the shift of a map is a last row of its weights, for inputs with a last column of ones;
- the depthwise bias of a cell's input is in the shift of what follows;
- the halves of ``sigmoid(x) = (1 + tanh(x / 2)) / 2`` are in the weights before it and behind it;
- the limits of the decoder's inputs are in the weights behind them.

Source: `network` and `layers.cells`, for names and shapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeGuard

import numpy as np
from numpy.typing import NDArray

from pillow_rnc.entropy.schedule import COEFFICIENTS
from pillow_rnc.errors import WeightsError
from pillow_rnc.models.config import EmbeddedConfig
from pillow_rnc.models.limits import MAX_HALF_WIDTH, SOFTSIGN_LIMIT

if TYPE_CHECKING:
    from pillow_rnc.entropy.schedule import IterationSchedule
    from pillow_rnc.models.config import ModelConfig
    from pillow_rnc.models.weights import Weights

Floats = NDArray[np.float32]

_PREFIX = "network."


def can_run(config: ModelConfig) -> TypeGuard[EmbeddedConfig]:
    """Return whether the NumPy runtime can run a model: it has the embedded quantizer and separable GRU cells."""
    return isinstance(config, EmbeddedConfig) and config.cell == "gru" and config.separable


class _Reader:
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


class IterationOperands(NamedTuple):
    """What belongs to one iteration alone. d channels of the decoder.

    Attributes:
        gain: One over the step of the iteration.
        schedule: Of the iteration.
        scheduled: intp [V], the coefficients that this iteration or one before it codes, in order.
        bias: float32 [d], of the projection of these.
        shift: float32 [192].
    """

    gain: float
    schedule: IterationSchedule
    scheduled: NDArray[np.intp]
    bias: Floats
    shift: Floats


class NetworkWeights:
    """A whole network.

    Args:
        weights: The model.
        config: Its configuration.

    Raises:
        WeightsError: The tensors do not fit the model's configuration.
    """

    @np.errstate(all="ignore")
    def __init__(self, weights: Weights, config: EmbeddedConfig) -> None:
        reader = _Reader(weights)
        d, c = config.decoder_channels, config.context_channels
        self.config = config
        width = reader.take("decoder.half_width_projection.weight", d, COEFFICIENTS)
        # From midpoints and half widths, [384, d]; of half widths, by how much they are below the maximum.
        midpoint = SOFTSIGN_LIMIT * reader.take("decoder.midpoint_projection.weight", d, COEFFICIENTS)
        self.projection = _operand(np.hstack([midpoint, width / MAX_HALF_WIDTH]))
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
        schedule = weights.entropy_model.schedule
        if schedule is None:
            raise reader.misfit("quantizer")
        for name in ("coefficient", "level", "step"):  # checked by the entropy model
            reader.take(f"quantizer.{name}", config.iterations, config.code_channels // 2)
        self.iterations = _iterations(reader, config, schedule, width)
        reader.finish()


def _iterations(
    reader: _Reader, config: EmbeddedConfig, schedule: tuple[IterationSchedule, ...], width: Floats
) -> list[IterationOperands]:
    """Return what belongs to each iteration; ``width`` [d, 192] are the weights of half widths."""
    d, count = config.decoder_channels, config.iterations
    gains = np.exp(reader.take("log_gain", count))
    biases = reader.take("decoder.bias", count, d)
    shifts = reader.take("decoder.shift", count, COEFFICIENTS)
    found, scheduled = [], np.empty(0, np.intp)
    for t in range(count):
        scheduled = np.union1d(scheduled, schedule[t].coefficients)
        bias = biases[t] - width[:, scheduled].sum(1)
        found.append(IterationOperands(float(gains[t]), schedule[t], scheduled, bias, shifts[t]))
    return found
