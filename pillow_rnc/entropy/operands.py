"""The tensors of the entropy network as operands of floating-point products.

Weights include the shift that follows them as a factor 2^-s. A power of two changes no significand, so all sums remain
exact below 2^24, and `floor` performs `>> s`. The factor 127 of known bits is included in the weights too.

Source: spec, section "Entropy network"; nothing here is normative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pillow_rnc.entropy.layout import PHASES, known_taps, phases_of
from pillow_rnc.entropy.tensors import (
    ACCUMULATOR_SHIFT,
    CANDIDATE_SHIFT,
    FEATURE_SHIFT,
    KNOWN_BIT,
    LOGIT_SHIFT,
    TABLE_CENTRE,
    UPDATE_SHIFT,
    EntropyTensors,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.entropy.matmul import Floats


class PassWeights(NamedTuple):
    """Operands of one pass, each with its sums in columns; C' is the number of taps times channels of its context.

    Attributes:
        context: [C', F], for values of 1, 0 and -1.
        hidden_bias: [F].
        output: [F, G].
        output_bias: [G].
    """

    context: Floats
    hidden_bias: Floats
    output: Floats
    output_bias: Floats


class GateWeights(NamedTuple):
    """Operands that update state and accumulators before one iteration; S' accumulators have been added to by then.

    Attributes:
        bits: [9, M, 2K], for values of 1, 0 and -1.
        rest: [K + S', 2K], for the state, and magnitudes of accumulators.
        bias: [2K].
        accumulator: [2, M, S'], for accumulators that are 0, and for all others.
    """

    bits: Floats
    rest: Floats
    bias: Floats
    accumulator: Floats


class AccumulatorOutput(NamedTuple):
    """Weights from the S' accumulators that have been added to, to the logits of all channels.

    Attributes:
        here: [S', M], for the magnitudes in the cell.
        around: [S', M], for the magnitudes in its neighbours.
    """

    here: Floats
    around: Floats


class FastTensors:
    """The tensors of a network as operands of products, created on first use.

    Args:
        tensors: The integers.
        dtype: float32 or float64.
    """

    def __init__(self, tensors: EntropyTensors, dtype: type[np.float32 | np.float64] = np.float32) -> None:
        self.tensors = tensors
        self.dtype = dtype
        self.feature: Floats = (_columns(tensors.feature_weight) * 2.0**-FEATURE_SHIFT).astype(dtype)  # [9 * K, F]
        # Accumulators in the order in which iterations first add to them, and how many have been added to before each.
        moved = np.any(tensors.accumulator_weight, axis=(1, 3))
        first = np.concatenate([moved, np.ones_like(moved, shape=(1, tensors.accumulators))]).argmax(axis=0)
        self._accumulators = np.argsort(first, kind="stable")
        self.moved: list[int] = [int(np.count_nonzero(first < t)) for t in range(tensors.iterations)]
        self.scale: Floats = (tensors.accumulator_scale * 2.0**-ACCUMULATOR_SHIFT).astype(dtype)
        self._gates: dict[int, GateWeights] = {}
        self._accumulator_outputs: dict[int, list[AccumulatorOutput]] = {}
        self._passes: dict[tuple[int, int], PassWeights] = {}

    def gates(self, t: int) -> GateWeights:
        """Return the operands before iteration t."""
        if t not in self._gates:
            tensors = self.tensors
            scale = np.repeat([2.0**-UPDATE_SHIFT, 2.0**-CANDIDATE_SHIFT], tensors.state_channels)
            taps = _columns(tensors.state_in_weight[t - 1]).reshape(9, tensors.context_coded_channels, -1)
            bits = taps.astype(np.int16) * KNOWN_BIT
            rest = np.concatenate([tensors.state_weight.T, self._of_moved(t, tensors.accumulator_input_weight.T)])
            bias = tensors.state_in_bias[t - 1] * scale + TABLE_CENTRE
            accumulator = self._of_moved(t, tensors.accumulator_weight[t - 1].transpose(1, 0, 2)).transpose(1, 2, 0)
            operands: list[NDArray[Any]] = [bits * scale, rest * scale, bias, accumulator]
            self._gates[t] = GateWeights(*(np.ascontiguousarray(one.astype(self.dtype)) for one in operands))
        return self._gates[t]

    def accumulator_outputs(self, t: int) -> list[AccumulatorOutput]:
        """Return the weights from accumulators to the logits of iteration t, for cells of each phase."""
        if t not in self._accumulator_outputs:
            passes, found = self.tensors.passes, []
            for phase in PHASES:
                own = sorted((one.first, index) for index, one in enumerate(passes) if phase in phases_of(one.lattice))
                weights = [self.tensors.accumulator_output_weight[t - 1, index] for _, index in own]
                weight = self._operand(self._of_moved(t, np.concatenate(weights).T).T, LOGIT_SHIFT)
                found.append(AccumulatorOutput(*np.split(weight, [self.moved[t]])))
            self._accumulator_outputs[t] = found
        return self._accumulator_outputs[t]

    def pass_weights(self, t: int, index: int) -> PassWeights:
        """Return the operands of one pass of iteration t."""
        at, tensors, group = (t, index), self.tensors, self.tensors.group
        if at not in self._passes:
            taps: list[NDArray[Any]] = [
                tensors.context_weight[t, index - 1, :, first : first + group, 1 + dy, 1 + dx]
                for first, (dy, dx) in known_taps(tensors.passes, index)
            ]
            context = np.concatenate(taps, axis=1) if taps else np.empty((tensors.hidden_channels, 0), dtype=np.int8)
            self._passes[at] = PassWeights(
                self._operand(context.astype(np.int16) * KNOWN_BIT, FEATURE_SHIFT),
                self._operand(tensors.feature_bias[at], FEATURE_SHIFT),
                self._operand(tensors.output_weight[at], LOGIT_SHIFT),
                self._operand(tensors.output_bias[at] + (TABLE_CENTRE << LOGIT_SHIFT), LOGIT_SHIFT),
            )
        return self._passes[at]

    def _of_moved(self, t: int, weight: NDArray[Any]) -> NDArray[Any]:
        """Return the rows of a weight [n * S, ...] of the accumulators that have been added to before iteration t."""
        wanted = self._accumulators[: self.moved[t]]
        parts = weight.reshape(-1, self.tensors.accumulators, *weight.shape[1:])[:, wanted]
        return parts.reshape(-1, *weight.shape[1:])

    def _operand(self, weight: NDArray[np.signedinteger[Any]], shift: int) -> Floats:
        """Return a weight [out, in], or a bias [out], as a right operand [in, out] before a shift."""
        return np.ascontiguousarray((weight.T * 2.0**-shift).astype(self.dtype))


def _columns(weight: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return weight [out, in, 3, 3] as a right operand [9 * in, out], taps before channels."""
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0).reshape(-1, len(weight)))
