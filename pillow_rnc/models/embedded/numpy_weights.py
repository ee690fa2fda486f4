"""The weights of a codec network as operands of matrix products, for `numpy_network`.

Beyond what `numpy_operands` folds, the limits of the decoder's inputs are in the weights behind them.

Source: `network` and `layers.cells`, for names and shapes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeGuard

import numpy as np

from pillow_rnc.entropy.schedule import COEFFICIENTS, union
from pillow_rnc.models.config import EmbeddedConfig
from pillow_rnc.models.limits import MAX_HALF_WIDTH, SOFTSIGN_LIMIT
from pillow_rnc.models.numpy_operands import CellWeights, TensorReader, operand

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.entropy.schedule import IterationSchedule
    from pillow_rnc.models.config import ModelConfig
    from pillow_rnc.models.numpy_operands import Floats
    from pillow_rnc.models.weights import Weights


def can_run(config: ModelConfig) -> TypeGuard[EmbeddedConfig]:
    """Return whether the NumPy runtime can run a model: it has the embedded quantizer and separable GRU cells."""
    return isinstance(config, EmbeddedConfig) and config.cell == "gru" and config.separable


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
        reader = TensorReader(weights)
        d, c = config.decoder_channels, config.context_channels
        self.config = config
        width = reader.take("decoder.half_width_projection.weight", d, COEFFICIENTS)
        # From midpoints and half widths, [384, d]; of half widths, by how much they are below the maximum.
        midpoint = SOFTSIGN_LIMIT * reader.take("decoder.midpoint_projection.weight", d, COEFFICIENTS)
        self.projection = operand(np.hstack([midpoint, width / MAX_HALF_WIDTH]))
        # The four cells one after another: [4 d + 1, c] and [c + 1, 4 d].
        down = reader.take("decoder.down.weight", c, 4 * d).reshape(c, d, 4).transpose(0, 2, 1).reshape(c, -1)
        self.down = operand(down, reader.take("decoder.down.bias", c))
        up, shift = reader.take("decoder.up.weight", 4 * d, c), reader.take("decoder.up.bias", 4 * d)
        self.up = np.ascontiguousarray(operand(up, shift).reshape(c + 1, d, 4).transpose(0, 2, 1).reshape(c + 1, -1))
        self.context = CellWeights(reader, "decoder.context", c)
        self.detail = CellWeights(reader, "decoder.detail", d)
        output = reader.take("decoder.output.weight", COEFFICIENTS, d)
        self.output = operand(output, reader.take("decoder.output.bias", COEFFICIENTS))  # [d + 1, 192]
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
    reader: TensorReader, config: EmbeddedConfig, schedule: tuple[IterationSchedule, ...], width: Floats
) -> list[IterationOperands]:
    """Return what belongs to each iteration; ``width`` [d, 192] are the weights of half widths."""
    d, count = config.decoder_channels, config.iterations
    gains = np.exp(reader.take("log_gain", count))
    biases = reader.take("decoder.bias", count, d)
    shifts = reader.take("decoder.shift", count, COEFFICIENTS)
    found, scheduled = [], np.empty(0, np.intp)
    for t in range(count):
        scheduled = union(scheduled, schedule[t].coefficients)
        bias = biases[t] - width[:, scheduled].sum(1)
        found.append(IterationOperands(float(gains[t]), schedule[t], scheduled, bias, shifts[t]))
    return found
