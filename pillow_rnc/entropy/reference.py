"""The entropy network exactly as the specification states it, in int64 arithmetic.

Everything here is written to be read beside the specification, not to be fast. The fast path is held
equal to it, and it takes over where the fast path cannot be trusted. It knows nothing of payloads.

Source: spec, section "Entropy network".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.entropy.tables import PROBABILITY, SIGMOID, TANH
from pillow_rnc.entropy.tensors import (
    AROUND_SHIFT,
    CANDIDATE_SHIFT,
    FEATURE_MAX,
    FEATURE_SHIFT,
    KNOWN_BIT,
    LOGIT_SHIFT,
    TABLE_CENTRE,
    TALLY_MAX,
    TALLY_SHIFT,
    UPDATE_SHIFT,
    EntropyTensors,
    cells_of,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ReferenceState:
    """The network at work on one tile, in int64: slow, and right on every machine."""

    def __init__(self, tensors: EntropyTensors, grid_h: int, grid_w: int) -> None:
        self._tensors = tensors
        self._shape = (tensors.modelled_channels, grid_h, grid_w)
        self._iteration = -1
        self._state = np.zeros((tensors.state_channels, grid_h, grid_w), dtype=np.int64)
        self._tally = np.zeros((tensors.tallies, grid_h, grid_w), dtype=np.int64)
        self._seen: NDArray[np.int64] | None = None
        self._feature: NDArray[np.int64] | None = None
        self._known = np.zeros(self._shape, dtype=np.int64)  # values of bits; 0 where unknown

    def begin(self, iteration: int, previous: NDArray[np.int8] | None) -> None:
        """Move on to the next iteration; see `EntropyState.begin`."""
        self._iteration += 1
        if iteration != self._iteration:
            msg = f"iteration {iteration} begun, expected {self._iteration}"
            raise ValueError(msg)
        if previous is not None:
            values = previous.astype(np.int64)
            self._seen = self._count(values)
            self._update_state(KNOWN_BIT * values, self._seen[: self._tensors.tallies])
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
        if self._seen is not None:
            logits = logits + _mix(tensors.tally_output_weight[t - 1, index], self._seen)
        k = PROBABILITY[_table_index(logits >> LOGIT_SHIFT)]
        cells = cells_of(one.lattice, *self._shape[1:])
        return k.reshape(len(k), -1)[:, cells]

    def reveal(self, index: int, values: NDArray[np.int8]) -> None:
        """Take note of the bits of one pass; see `EntropyState.reveal`."""
        one = self._tensors.passes[index]
        cells = cells_of(one.lattice, *self._shape[1:])
        self._known.reshape(self._shape[0], -1)[one.first : one.stop, cells] = values

    def _count(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Add the values of the iteration before to the tallies; return what is seen of them, [2S, h, w]."""
        tensors, t = self._tensors, self._iteration
        fresh, known = (_mix(weight, values) for weight in tensors.tally_weight[t - 1])
        self._tally = self._tally + np.where(self._tally == 0, fresh, known)
        v = np.clip((self._tally * int(tensors.tally_scale[t - 1])) >> TALLY_SHIFT, -TALLY_MAX, TALLY_MAX)
        return np.concatenate([np.abs(v), _around(np.abs(v))])

    def _update_state(self, x: NDArray[np.int64], seen: NDArray[np.int64]) -> None:
        tensors, t = self._tensors, self._iteration
        z = tensors.state_in_bias[t - 1][:, None, None] + _convolve(tensors.state_in_weight[t - 1], x)
        z = z + _mix(tensors.state_weight, self._state) + _mix(tensors.tally_input_weight, seen)
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
    """Return the 3x3 cross-correlation [out, h, w] of x [in, h, w], with zeros round it."""
    _, grid_h, grid_w = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    total = np.zeros((len(weight), grid_h, grid_w), dtype=np.int64)
    for dy in range(3):
        for dx in range(3):
            total += _mix(weight[:, :, dy, dx], padded[:, dy : dy + grid_h, dx : dx + grid_w])
    return total


def _around(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of x [in, h, w] over the eight cells around each, 0 outside the tile, over 8, rounded down."""
    _, grid_h, grid_w = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    total = -x
    for dy in range(3):
        for dx in range(3):
            total = total + padded[:, dy : dy + grid_h, dx : dx + grid_w]
    around: NDArray[np.int64] = total >> AROUND_SHIFT
    return around
