"""The tensors of the entropy network as operands of products of floats.

Weights carry the shift that follows them as a factor 2^-s. A power of two changes no significand, so all sums stay
exact below 2^24, and `>> s` is what `floor` leaves. The value of 127 of a known bit is in the weights.

Source: spec, section "Entropy network"; nothing here is normative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pillow_rnc.entropy_bounds import KNOWN_BIT
from pillow_rnc.entropy_context import PHASES, phases_of, seen_taps
from pillow_rnc.entropy_reference import (
    CANDIDATE_SHIFT,
    FEATURE_SHIFT,
    LOGIT_SHIFT,
    TABLE_CENTRE,
    TALLY_SHIFT,
    UPDATE_SHIFT,
    EntropyTensors,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.entropy_products import Floats


class PassWeights(NamedTuple):
    """Operands of one pass, each with its sums in columns; C', the taps times channels that its context may see.

    Attributes:
        context: [C', F], for bits of +1 and -1.
        hidden_bias: [F].
        output: [F, G].
        output_bias: [G].
    """

    context: Floats
    hidden_bias: Floats
    output: Floats
    output_bias: Floats


class FastTensors:
    """The tensors of a network as operands of products; made when first needed.

    Args:
        tensors: The integers.
        dtype: float32 or float64.
    """

    def __init__(self, tensors: EntropyTensors, dtype: type[np.float32 | np.float64] = np.float32) -> None:
        self.tensors = tensors
        self.dtype = dtype
        self.feature: Floats = (_columns(tensors.feature_weight) * 2.0**-FEATURE_SHIFT).astype(dtype)  # [9 * K, F]
        # Weights [T-1, 2, C, S] of tallies that are 0 and of others, and scales [T-1].
        self.tally: Floats = np.ascontiguousarray(tensors.tally_weight.transpose(0, 1, 3, 2), dtype=dtype)
        self.scale: Floats = (tensors.tally_scale * 2.0**-TALLY_SHIFT).astype(dtype)
        self._gates: dict[int, tuple[Floats, Floats]] = {}
        self._tally_outputs: dict[int, list[tuple[Floats, Floats]]] = {}
        self._passes: dict[tuple[int, int], PassWeights] = {}

    def gates(self, t: int) -> tuple[Floats, Floats]:
        """Return the weights [9 * C + K + 2S, 2K] and biases [2K] of u and n before iteration t."""
        if t not in self._gates:
            tensors = self.tensors
            bits = _columns(tensors.state_in_weight[t - 1]) * np.int16(KNOWN_BIT)
            rows = np.concatenate([bits, tensors.state_weight.T, tensors.tally_input_weight.T])
            scale = np.repeat([2.0**-UPDATE_SHIFT, 2.0**-CANDIDATE_SHIFT], tensors.state_channels)
            bias = tensors.state_in_bias[t - 1] * scale + TABLE_CENTRE
            self._gates[t] = ((rows * scale).astype(self.dtype), bias.astype(self.dtype))
        return self._gates[t]

    def tally_output(self, t: int) -> list[tuple[Floats, Floats]]:
        """Return the weights from tallies to the logits of iteration t, for cells of each phase.

        Those [2S, C] of values and magnitudes in the cell, and those [S, C] of what is around it.
        """
        if t not in self._tally_outputs:
            passes, found = self.tensors.passes, []
            for phase in PHASES:
                own = sorted((one.first, index) for index, one in enumerate(passes) if phase in phases_of(one.lattice))
                weights = [self.tensors.tally_output_weight[t - 1, index] for _, index in own]
                weight = self._operand(np.concatenate(weights), LOGIT_SHIFT)
                found.append((weight[: 2 * self.tensors.tallies], weight[2 * self.tensors.tallies :]))
            self._tally_outputs[t] = found
        return self._tally_outputs[t]

    def pass_weights(self, t: int, index: int) -> PassWeights:
        """Return the operands of one pass of iteration t."""
        at, tensors, group = (t, index), self.tensors, self.tensors.group
        if at not in self._passes:
            taps: list[NDArray[Any]] = [
                tensors.context_weight[t, index - 1, :, first : first + group, 1 + dy, 1 + dx]
                for first, (dy, dx) in seen_taps(tensors.passes, index)
            ]
            context = np.concatenate(taps, axis=1) if taps else np.empty((tensors.hidden_channels, 0), dtype=np.int8)
            self._passes[at] = PassWeights(
                self._operand(context * np.int16(KNOWN_BIT), FEATURE_SHIFT),
                self._operand(tensors.feature_bias[at], FEATURE_SHIFT),
                self._operand(tensors.output_weight[at], LOGIT_SHIFT),
                self._operand(tensors.output_bias[at] + (TABLE_CENTRE << LOGIT_SHIFT), LOGIT_SHIFT),
            )
        return self._passes[at]

    def _operand(self, weight: NDArray[np.signedinteger[Any]], shift: int) -> Floats:
        """Return a weight [out, in], or a bias [out], as a right operand [in, out] before a shift."""
        return np.ascontiguousarray((weight.T * 2.0**-shift).astype(self.dtype))


def _columns(weight: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return weight [out, in, 3, 3] as a right operand [9 * in, out], taps before channels."""
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0).reshape(-1, len(weight)))
