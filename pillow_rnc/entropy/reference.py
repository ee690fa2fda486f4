"""The entropy network exactly as the specification defines it, in int64 arithmetic.

Written to be read beside the specification, not to be fast. Tests hold the fast implementation equal to it, and it
replaces the fast one where floating-point products are inexact. It knows nothing of payloads.

Source: spec, section "Entropy network".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.entropy.tables import PROBABILITY, SIGMOID, TANH
from pillow_rnc.entropy.tensors import (
    ACCUMULATOR_MAX,
    ACCUMULATOR_SHIFT,
    AROUND_SHIFT,
    CANDIDATE_SHIFT,
    FEATURE_MAX,
    FEATURE_SHIFT,
    KNOWN_BIT,
    LOGIT_SHIFT,
    TABLE_CENTRE,
    UPDATE_SHIFT,
    EntropyTensors,
    cells_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ReferenceState:
    """State of the network for one tile in int64: slow, and correct on every machine."""

    def __init__(self, tensors: EntropyTensors, grid_h: int, grid_w: int) -> None:
        self._tensors = tensors
        self._shape = (tensors.context_coded_channels, grid_h, grid_w)
        self._iteration = -1
        self._state = np.zeros((tensors.state_channels, grid_h, grid_w), dtype=np.int64)
        self._accumulator = np.zeros((tensors.accumulators, grid_h, grid_w), dtype=np.int64)
        self._counts: NDArray[np.int64] | None = None
        self._feature: NDArray[np.int64] | None = None
        self._known = np.zeros(self._shape, dtype=np.int64)  # values of bits; 0 where unknown

    def start_iteration(self, iteration: int, previous: NDArray[np.int8] | None) -> None:
        """Start the next iteration; see `EntropyState.start_iteration`."""
        self._iteration += 1
        if iteration != self._iteration:
            msg = f"iteration {iteration} started, expected {self._iteration}"
            raise ValueError(msg)
        if previous is not None:
            values = previous.astype(np.int64)
            self._counts = self._accumulate(values)
            self._update_state(KNOWN_BIT * values, self._counts[: self._tensors.accumulators])
        self._feature = None
        self._known = np.zeros(self._shape, dtype=np.int64)

    def probabilities(self, index: int) -> NDArray[np.uint16]:
        """Return the probabilities of the bits of one pass; see `EntropyState.probabilities`."""
        tensors, t, one = self._tensors, self._iteration, self._tensors.passes[index]
        if self._feature is None:
            self._feature = _convolve(tensors.feature_weight, self._state)
        z = tensors.feature_bias[t, index][:, None, None] + self._feature
        if index:
            z = z + _convolve(tensors.context_weight[t, index - 1], KNOWN_BIT * self._known)
        hidden = np.clip(z >> FEATURE_SHIFT, 0, FEATURE_MAX)
        logits = tensors.output_bias[t, index][:, None, None] + _mix(tensors.output_weight[t, index], hidden)
        if self._counts is not None:
            logits = logits + _mix(tensors.accumulator_output_weight[t - 1, index], self._counts)
        p1_q16 = PROBABILITY[_table_index(logits >> LOGIT_SHIFT)]
        cells = cells_of(one.lattice, *self._shape[1:])
        return p1_q16.reshape(len(p1_q16), -1)[:, cells]

    def update(self, index: int, values: NDArray[np.int8]) -> None:
        """Supply the bits of one pass; see `EntropyState.update`."""
        one = self._tensors.passes[index]
        cells = cells_of(one.lattice, *self._shape[1:])
        self._known.reshape(self._shape[0], -1)[one.first : one.stop, cells] = values

    def _accumulate(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Add the values of the previous iteration to the accumulators; return the features r, [2S, h, w]."""
        tensors, t = self._tensors, self._iteration
        if_zero, otherwise = (_mix(weight, values) for weight in tensors.accumulator_weight[t - 1])
        self._accumulator = self._accumulator + np.where(self._accumulator == 0, if_zero, otherwise)
        scaled = (self._accumulator * int(tensors.accumulator_scale[t - 1])) >> ACCUMULATOR_SHIFT
        v = np.clip(scaled, -ACCUMULATOR_MAX, ACCUMULATOR_MAX)
        return np.concatenate([np.abs(v), _around(np.abs(v))])

    def _update_state(self, x: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        tensors, t = self._tensors, self._iteration
        z = tensors.state_in_bias[t - 1][:, None, None] + _convolve(tensors.state_in_weight[t - 1], x)
        z = z + _mix(tensors.state_weight, self._state) + _mix(tensors.accumulator_input_weight, counts)
        half = tensors.state_channels
        u = SIGMOID[_table_index(z[:half] >> UPDATE_SHIFT)].astype(np.int64)
        n = TANH[_table_index(z[half:] >> CANDIDATE_SHIFT)].astype(np.int64)
        self._state = self._state + ((u * (n - self._state) + 128) >> 8)


def _table_index(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.clip(values, -TABLE_CENTRE, TABLE_CENTRE - 1) + TABLE_CENTRE


def _mix(weight: NDArray[np.int8] | NDArray[np.int16], x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the 1x1 convolution [out, h, w] of x [in, h, w] with weight [out, in]."""
    mixed: NDArray[np.int64] = weight.astype(np.int64) @ x.reshape(len(x), -1)
    return mixed.reshape(len(weight), *x.shape[1:])


def _convolve(weight: NDArray[np.int8], x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the 3x3 cross-correlation [out, h, w] of x [in, h, w], with zero padding."""
    _, grid_h, grid_w = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    total = np.zeros((len(weight), grid_h, grid_w), dtype=np.int64)
    for dy in range(3):
        for dx in range(3):
            total += _mix(weight[:, :, dy, dx], padded[:, dy : dy + grid_h, dx : dx + grid_w])
    return total


def _around(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of x [in, h, w] over the eight neighbours of each cell, 0 outside the tile, shifted right by 3."""
    _, grid_h, grid_w = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    total = -x
    for dy in range(3):
        for dx in range(3):
            total = total + padded[:, dy : dy + grid_h, dx : dx + grid_w]
    around: NDArray[np.int64] = total >> AROUND_SHIFT
    return around
