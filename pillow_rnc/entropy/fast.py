"""The entropy network as matrix products of floats: the same integers as `reference`, about a hundred times faster.

Rows of every matrix are cells and columns are taps times channels, so bits, states and accumulators have the channel
last. Bits have their values 1, 0 and -1, so that accumulators are sums of them. Maps read through 3x3 neighbourhoods
are in the order of the grid, because the nine taps are views of it; all others are ordered by phase, see `layout`,
because the cells of a lattice are adjacent then.
Terms that contribute nothing are left out of sums: accumulators to which no iteration has added yet. Channels that are
constant over all cells are folded into a single input.
Only accumulators times their scale may be rounded, from 2^24 on, far beyond the clamp to 127 that follows.
float32 suffices; float64 repeats a computation where float32 is suspected to be inexact.

Source: spec, section "Entropy network", for the values; nothing here is normative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pillow_rnc.entropy import matmul
from pillow_rnc.entropy.layout import PHASES, coding_order, context_rows, lattice_rows, phase_rows
from pillow_rnc.entropy.tables import PROBABILITY, SIGMOID, TANH
from pillow_rnc.entropy.tensors import ACCUMULATOR_MAX, AROUND_SHIFT, FEATURE_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pillow_rnc.entropy.matmul import Floats
    from pillow_rnc.entropy.operands import FastTensors, PassWeights

    _Places = tuple[slice, slice]

# Cells per matrix product; their gathered inputs fit into the second-level cache.
_BLOCK_CELLS = 384
_TABLE_TOP = 255.0
_UPDATE = SIGMOID.astype(np.float32) / 256
_CANDIDATE = TANH.astype(np.float32)


class FastState:
    """State of the network for one tile, in the floating-point type of its weights."""

    def __init__(self, weights: FastTensors, grid_h: int, grid_w: int) -> None:
        tensors, dtype = weights.tensors, weights.dtype
        m, k, s = tensors.context_coded_channels, tensors.state_channels, weights.moved[-1]
        self._weights = weights
        self._grid = (grid_h, grid_w)
        self._iteration = -1
        # In the order of the grid, zero-padded by one cell on every side.
        self._state = np.zeros((grid_h + 2, grid_w + 2, k), dtype=dtype)
        self._state_taps = _taps(self._state)
        # By phase. The known bits are those of this iteration, by group, followed by a row of zeros.
        self._accumulator = np.zeros((grid_h * grid_w, 0), dtype=dtype)
        self._accumulator_logits = np.zeros((grid_h * grid_w, m), dtype=dtype)
        self._features = np.zeros((grid_h * grid_w, tensors.hidden_channels), dtype=dtype)
        self._features_are_known = True
        self._known = np.zeros((m // tensors.group * grid_h * grid_w + 1, tensors.group), dtype=dtype)
        self._blocks = list(_blocks(grid_h, grid_w))
        # Buffers for one block: allocating memory would take as long as the sums.
        cells = max(rows.stop - rows.start for _, _, rows in self._blocks)
        cells = max(cells, min(_BLOCK_CELLS, grid_h * grid_w))
        self._scratch = np.empty(cells * max(9 * (m + 1) + k + s, 9 * k), dtype=dtype)
        self._gates = np.empty((cells, 2 * k), dtype=dtype)
        self._entries = np.empty((2, cells, k), dtype=np.intp)
        self._hidden = np.empty((2, cells, tensors.hidden_channels), dtype=dtype)
        self._logits = np.empty((cells, m), dtype=dtype)
        self._logit_entries = np.empty((cells, tensors.group), dtype=np.intp)

    def start_iteration(self, iteration: int, previous: NDArray[np.int8] | None) -> None:
        """Start the next iteration; see `EntropyState.start_iteration`."""
        self._iteration += 1
        if iteration != self._iteration:
            msg = f"iteration {iteration} started, expected {self._iteration}"
            raise ValueError(msg)
        if previous is None:
            return
        self._advance(previous)
        self._known[...] = 0
        self._features_are_known = False

    def probabilities(self, index: int) -> NDArray[np.uint16]:
        """Return the probabilities of the bits of one pass; see `EntropyState.probabilities`."""
        tensors = self._weights.tensors
        weights = self._weights.pass_weights(self._iteration, index)
        if not self._features_are_known:
            self._compute_features()
        one = tensors.passes[index]
        context = context_rows(tensors.passes, index, *self._grid) if index else None
        here = lattice_rows(one.lattice, *self._grid)
        p1_q16 = np.empty((here.stop - here.start, tensors.group), dtype=np.uint16)
        for start in range(0, len(p1_q16), _BLOCK_CELLS):
            part = slice(start, min(start + _BLOCK_CELLS, len(p1_q16)))
            rows = slice(here.start + part.start, here.start + part.stop)
            hidden = self._compute_hidden(rows, None if context is None else context[part], weights)
            self._compute_probabilities(
                self._accumulator_logits[rows, one.first : one.stop], weights, hidden, p1_q16[part]
            )
        _, order = coding_order(one.lattice, *self._grid)
        return p1_q16.take(order, axis=0).T

    def update(self, index: int, values: NDArray[np.int8]) -> None:
        """Supply the bits of one pass; see `EntropyState.update`."""
        one, group = self._weights.tensors.passes[index], self._weights.tensors.group
        here = lattice_rows(one.lattice, *self._grid)
        places, _ = coding_order(one.lattice, *self._grid)
        before = one.first // group * len(self._accumulator)
        known = self._known[before + here.start : before + here.stop]
        known[...] = np.ascontiguousarray(values.T).take(places, axis=0)

    def _compute_hidden(self, rows: slice, context: NDArray[np.intp] | None, weights: PassWeights) -> Floats:
        """Return the hidden layer of some cells, [n, F]."""
        z: Floats = self._hidden[0, : rows.stop - rows.start]
        np.add(self._features[rows], weights.hidden_bias, out=z)
        if context is not None:
            inputs = self._scratch[: context.size * self._known.shape[1]].reshape(*context.shape, -1)
            self._known.take(context, axis=0, out=inputs, mode="clip")
            z += matmul.matmul(inputs.reshape(len(z), -1), weights.context, out=self._hidden[1, : len(z)])
        z.clip(0, FEATURE_MAX, out=z)
        np.floor(z, out=z)
        return z

    def _compute_probabilities(
        self, accumulator_logits: Floats, weights: PassWeights, hidden: Floats, out: NDArray[np.uint16]
    ) -> None:
        """Write the probabilities of some cells, [n, G]."""
        logits, entries = self._logits.reshape(-1)[: out.size].reshape(out.shape), self._logit_entries[: len(hidden)]
        matmul.matmul(hidden, weights.output, out=logits)
        logits += weights.output_bias
        if self._iteration:
            logits += accumulator_logits
        logits.clip(0, _TABLE_TOP, out=logits)
        np.copyto(entries, logits, casting="unsafe")
        PROBABILITY.take(entries, out=out, mode="clip")

    def _advance(self, values: NDArray[np.int8]) -> None:
        """Update accumulators and state with the values of the previous iteration."""
        operands, moved = self._weights.gates(self._iteration), self._weights.moved[self._iteration]
        outputs = self._weights.accumulator_outputs(self._iteration)
        bits, fold = _folded(values, self._state.dtype)
        bit_taps, taps = _taps(bits), 9 * len(fold)
        gates = np.concatenate([matmul.matmul(fold, operands.bits).reshape(taps, -1), operands.rest])
        # The bias is the weight of the input that is 1 in every cell, the last of the centre tap. It includes the
        # centre of the table, which the bound of sums does not; a sum that becomes inexact by it is far outside of it.
        gates[5 * len(fold) - 1] += operands.bias
        folded_weights = matmul.matmul(fold, operands.accumulator)
        self._accumulator = np.pad(self._accumulator, ((0, 0), (0, moved - self._accumulator.shape[1])))
        magnitudes = np.zeros((*self._grid, moved), dtype=np.uint16)
        for phase, places, rows in self._blocks:
            h = self._state[1:-1, 1:-1][places]
            inputs = self._scratch[: h[..., 0].size * len(gates)].reshape(*h.shape[:2], len(gates))
            inputs[..., :taps].reshape(*h.shape[:2], 3, 3, -1)[...] = bit_taps[places]
            inputs[..., taps : taps + h.shape[-1]] = h
            flat = inputs.reshape(-1, len(gates))
            counts = flat[:, taps + h.shape[-1] :]
            additions = matmul.matmul(flat[:, 4 * len(fold) : 5 * len(fold)], folded_weights)
            self._accumulate(self._accumulator[rows], additions, counts)
            magnitudes[places] = inputs[..., len(gates) - moved :]
            matmul.matmul(counts, outputs[phase].here, out=self._accumulator_logits[rows])
            z = matmul.matmul(flat, gates, out=self._gates[: len(flat)])
            self._update_state(h, z)
        around = _around(magnitudes)
        for phase, places, rows in self._blocks:
            near = around[places].reshape(rows.stop - rows.start, moved).astype(self._state.dtype)
            self._accumulator_logits[rows] += matmul.matmul(near, outputs[phase].around, out=self._logits[: len(near)])

    def _accumulate(self, accumulator: Floats, additions: Floats, out: Floats) -> None:
        """Add to the accumulators of some cells, and write the magnitudes of their scaled values, [n, S']."""
        if_zero, amount = additions
        np.copyto(amount, if_zero, where=accumulator == 0)
        accumulator += amount
        np.multiply(accumulator, self._weights.scale[self._iteration - 1], out=out)
        out.clip(-ACCUMULATOR_MAX, ACCUMULATOR_MAX, out=out)
        np.floor(out, out=out)
        np.abs(out, out=out)

    def _update_state(self, h: Floats, z: Floats) -> None:
        """Update the states of some cells from the sums of their gates, [n, 2K]."""
        z.clip(0, _TABLE_TOP, out=z)
        entry = self._entries[:, : len(z)]
        np.copyto(entry, z.reshape(len(z), 2, -1).transpose(1, 0, 2), casting="unsafe")
        step = _CANDIDATE.take(entry[1], mode="clip").reshape(h.shape)
        step -= h
        step *= _UPDATE.take(entry[0], mode="clip").reshape(h.shape)
        step += np.float32(0.5)
        np.floor(step, out=step)
        h += step

    def _compute_features(self) -> None:
        weight = self._weights.feature
        for _, places, rows in self._blocks:
            around = self._state_taps[places]
            inputs = self._scratch[: around.size].reshape(around.shape)
            inputs[...] = around
            matmul.matmul(inputs.reshape(-1, len(weight)), weight, out=self._features[rows])
        self._features_are_known = True


def _blocks(grid_h: int, grid_w: int) -> Iterator[tuple[int, _Places, slice]]:
    """Yield the cells of the grid in blocks of one phase: the phase, their places in the grid, their rows."""
    height = max(1, 2 * _BLOCK_CELLS // grid_w)  # of the rows of a phase
    for top in range(0, (grid_h + 1) // 2, height):
        for phase, ((y, x), rows) in enumerate(zip(PHASES, phase_rows(grid_h, grid_w), strict=True)):
            lines, columns = len(range(grid_h)[y::2][top : top + height]), len(range(x, grid_w, 2))
            if lines * columns:
                places = slice(y + 2 * top, y + 2 * (top + lines), 2), slice(x, None, 2)
                start = rows.start + top * columns
                yield phase, places, slice(start, start + lines * columns)


def _taps(padded: NDArray[Any]) -> NDArray[Any]:
    """Return the 3x3 neighbourhoods of all cells, [h, w, 3, 3, channels], as a view of padded [h+2, w+2, channels]."""
    return sliding_window_view(padded, (3, 3), axis=(0, 1)).transpose(0, 1, 3, 4, 2)


def _folded(values: NDArray[np.int8], dtype: np.dtype[Any]) -> tuple[Floats, Floats]:
    """Return the values of an iteration, with all constant channels folded into one.

    Args:
        values: int8 [M, h, w].
        dtype: Type of the results.

    Returns:
        bits: [h + 2, w + 2, V + 1], the V varying channels and a last one that is 1; all are 0 outside the tile.
        fold: [V + 1, M]; fold @ (weights of all channels) gives the weights of `bits`.
    """
    m, grid_h, grid_w = values.shape
    low, high = (bound(axis=(1, 2)) for bound in (values.min, values.max))
    varying = np.flatnonzero(low != high)
    bits = np.zeros((grid_h + 2, grid_w + 2, len(varying) + 1), dtype=dtype)
    bits[1:-1, 1:-1, :-1] = values[varying].transpose(1, 2, 0)
    bits[1:-1, 1:-1, -1] = 1
    fold = np.zeros((len(varying) + 1, m), dtype=dtype)
    fold[np.arange(len(varying)), varying] = 1
    fold[-1] = np.where(low == high, low, 0)
    return bits, fold


def _around(x: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Return the sums of x [h, w, S'] over the neighbours of each cell, 0 outside the tile, shifted right by 3."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    lines = padded[:, :-2] + padded[:, 1:-1]
    lines += padded[:, 2:]
    total = lines[:-2] + lines[1:-1]
    total += lines[2:]
    total -= x
    total >>= AROUND_SHIFT
    return total
