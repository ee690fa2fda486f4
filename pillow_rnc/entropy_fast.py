"""The entropy network in matrix products of floats: the same integers, a hundred times faster.

Rows of every matrix are cells, columns are taps times channels; bits, states and tallies are kept with the channel last
for that reason. Bits are +1 and -1 here, so that tallies add up from them too. What is met at cells around lies in the
order of the grid, because nine taps of it are views; all else comes by phase, as in `entropy_context`, because the
cells of a lattice are neighbours there.
Tallies times a scale are the only numbers that may be rounded: from 2^24 on, which is far beyond the clamp to 127 that
follows.
float32 is enough; float64 is there to ask again, where float32 is under suspicion.

Source: spec, section "Entropy network", for the values; nothing here is normative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pillow_rnc import entropy_products as products
from pillow_rnc.entropy_bounds import FEATURE_MAX, TALLY_MAX
from pillow_rnc.entropy_context import PHASES, coding_order, context_rows, lattice_rows, phase_rows
from pillow_rnc.entropy_reference import AROUND_SHIFT
from pillow_rnc.tables import PROBABILITY, SIGMOID, TANH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pillow_rnc.entropy_operands import FastTensors, PassWeights
    from pillow_rnc.entropy_products import Floats

    _Places = tuple[slice, slice]

# Cells per matrix product: what is gathered for them stays in the second-level cache.
_BLOCK_CELLS = 384
_TABLE_TOP = 255.0
_UPDATE = SIGMOID.astype(np.float32) / 256
_CANDIDATE = TANH.astype(np.float32)


class FastState:
    """The network at work on one tile, in floats of the type of its weights."""

    def __init__(self, weights: FastTensors, grid_h: int, grid_w: int) -> None:
        tensors, dtype = weights.tensors, weights.dtype
        c, k, s = tensors.code_channels, tensors.state_channels, tensors.tallies
        self._weights = weights
        self._grid = (grid_h, grid_w)
        self._iteration = -1
        # In the order of the grid, with one cell of zeros on every side for what lies outside the tile.
        padded = (grid_h + 2, grid_w + 2)
        self._bits = np.zeros((*padded, c), dtype=dtype)
        self._state = np.zeros((*padded, k), dtype=dtype)
        self._magnitudes = np.zeros((*padded, s), dtype=np.uint16)  # of tallies: sums of eight need no more
        self._bit_taps, self._state_taps = _taps(self._bits), _taps(self._state)
        self._magnitude_taps = _taps(self._magnitudes)
        # By phase; the known bits are those of this iteration, for each group, with a row of zeros behind them.
        self._tally = np.zeros((grid_h * grid_w, s), dtype=dtype)
        self._tally_logits = np.zeros((grid_h * grid_w, c), dtype=dtype)
        self._features = np.zeros((grid_h * grid_w, tensors.hidden_channels), dtype=dtype)
        self._features_are_known = True
        self._known = np.zeros((c // tensors.group * grid_h * grid_w + 1, tensors.group), dtype=dtype)
        self._blocks = list(_blocks(grid_h, grid_w))
        # Room for one block: fresh memory would cost as much as the sums.
        cells = max(rows.stop - rows.start for _, _, rows in self._blocks)
        cells = max(cells, min(_BLOCK_CELLS, grid_h * grid_w))
        self._scratch = np.empty(cells * max(9 * c + k + 2 * s, 9 * k), dtype=dtype)
        self._added = np.empty((2, cells, s), dtype=dtype)
        self._counted = np.empty((cells, s), dtype=dtype)
        self._sums = np.empty((cells, s), dtype=np.uint16)
        self._gates = np.empty((cells, 2 * k), dtype=dtype)
        self._entries = np.empty((2, cells, k), dtype=np.intp)
        self._hidden = np.empty((2, cells, tensors.hidden_channels), dtype=dtype)
        self._logits = np.empty((cells, c), dtype=dtype)
        self._logit_entries = np.empty((cells, tensors.group), dtype=np.intp)

    def begin(self, iteration: int, previous: NDArray[np.uint8] | None) -> None:
        """Move on to the next iteration; see `EntropyState.begin`."""
        self._iteration += 1
        if iteration != self._iteration:
            msg = f"iteration {iteration} begun, expected {self._iteration}"
            raise ValueError(msg)
        if previous is None:
            return
        self._bits[1:-1, 1:-1] = previous.transpose(1, 2, 0)
        self._bits[1:-1, 1:-1] *= 2
        self._bits[1:-1, 1:-1] -= 1
        for phase, places, rows in self._blocks:
            self._update_state(phase, places, rows)
        for phase, places, rows in self._blocks:
            self._look_around(phase, places, rows)
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
        k = np.empty((here.stop - here.start, tensors.group), dtype=np.uint16)
        for start in range(0, len(k), _BLOCK_CELLS):
            part = slice(start, min(start + _BLOCK_CELLS, len(k)))
            rows = slice(here.start + part.start, here.start + part.stop)
            hidden = self._compute_hidden(rows, None if context is None else context[part], weights)
            self._compute_probabilities(self._tally_logits[rows, one.first : one.stop], weights, hidden, k[part])
        _, order = coding_order(one.lattice, *self._grid)
        return k.take(order, axis=0).T.ravel()

    def reveal(self, index: int, bits: NDArray[np.uint8]) -> None:
        """Take note of the bits of one pass; see `EntropyState.reveal`."""
        one, group = self._weights.tensors.passes[index], self._weights.tensors.group
        here = lattice_rows(one.lattice, *self._grid)
        places, _ = coding_order(one.lattice, *self._grid)
        before = one.first // group * len(self._tally)
        known = self._known[before + here.start : before + here.stop]
        known[...] = bits.reshape(group, -1).take(places, axis=1).T
        known *= 2
        known -= 1

    def _compute_hidden(self, rows: slice, context: NDArray[np.intp] | None, weights: PassWeights) -> Floats:
        """Return the hidden layer of some cells, [n, F]."""
        z: Floats = self._hidden[0, : rows.stop - rows.start]
        np.add(self._features[rows], weights.hidden_bias, out=z)
        if context is not None:
            met = self._scratch[: context.size * self._known.shape[1]].reshape(*context.shape, -1)
            self._known.take(context, axis=0, out=met, mode="clip")
            z += products.matmul(met.reshape(len(z), -1), weights.context, out=self._hidden[1, : len(z)])
        np.clip(z, 0, FEATURE_MAX, out=z)
        np.floor(z, out=z)
        return z

    def _compute_probabilities(
        self, tally_logits: Floats, weights: PassWeights, hidden: Floats, out: NDArray[np.uint16]
    ) -> None:
        """Write the probabilities of some cells, [n, G]."""
        logits, entries = self._logits.reshape(-1)[: out.size].reshape(out.shape), self._logit_entries[: len(hidden)]
        products.matmul(hidden, weights.output, out=logits)
        logits += weights.output_bias
        if self._iteration:
            logits += tally_logits
        np.clip(logits, 0, _TABLE_TOP, out=logits)
        np.copyto(entries, logits, casting="unsafe")
        PROBABILITY.take(entries, out=out, mode="clip")

    def _update_state(self, phase: int, places: _Places, rows: slice) -> None:
        """Take the bits of some cells into their tallies and states."""
        weight, bias = self._weights.gates(self._iteration)
        h, around = self._state[1:-1, 1:-1][places], self._bit_taps[places]
        width, taps, s = len(weight), 9 * self._bits.shape[-1], self._tally.shape[1]
        inputs = self._scratch[: h[..., 0].size * width].reshape(*h.shape[:2], width)
        inputs[..., :taps].reshape(around.shape)[...] = around
        inputs[..., taps : -2 * s] = h
        flat = inputs.reshape(-1, width)
        self._count(rows, flat[:, 4 * taps // 9 : 5 * taps // 9], flat[:, -2 * s :])
        self._magnitudes[1:-1, 1:-1][places] = inputs[..., -s:]
        tally_output, _ = self._weights.tally_output(self._iteration)[phase]
        products.matmul(flat[:, -2 * s :], tally_output, out=self._tally_logits[rows])
        z = self._gates[: len(flat)]
        products.matmul(flat, weight, out=z)  # [n, 2K]
        z += bias
        np.clip(z, 0, _TABLE_TOP, out=z)
        entry = self._entries[:, : len(z)]
        np.copyto(entry, z.reshape(len(z), 2, -1).transpose(1, 0, 2), casting="unsafe")
        step = _CANDIDATE.take(entry[1], mode="clip").reshape(h.shape)
        step -= h
        step *= _UPDATE.take(entry[0], mode="clip").reshape(h.shape)
        step += np.float32(0.5)
        np.floor(step, out=step)
        h += step

    def _count(self, rows: slice, signs: Floats, out: Floats) -> None:
        """Add bits to the tallies of some cells, and write what is seen of them: values and magnitudes, [n, 2S]."""
        tally, s = self._tally[rows], self._tally.shape[1]
        added, v = self._added[:, : len(tally)], self._counted[: len(tally)]
        for weight, moves in zip(self._weights.tally[self._iteration - 1], added, strict=True):
            products.matmul(signs, weight, out=moves)
        fresh, known = added
        np.copyto(v, tally == 0)
        fresh *= v
        np.subtract(1, v, out=v)
        known *= v
        tally += fresh
        tally += known
        np.multiply(tally, self._weights.scale[self._iteration - 1], out=v)
        np.clip(v, -TALLY_MAX, TALLY_MAX, out=v)
        np.floor(v, out=out[:, :s])
        np.abs(out[:, :s], out=out[:, s:])

    def _look_around(self, phase: int, places: _Places, rows: slice) -> None:
        """Add what the tallies around some cells say to their logits."""
        near = self._magnitude_taps[places]
        total = self._sums[: rows.stop - rows.start].reshape(*near.shape[:2], -1)
        np.add(near[:, :, 0, 0], near[:, :, 0, 1], out=total)
        for dy, dx in ((0, 2), (1, 0), (1, 2), (2, 0), (2, 1), (2, 2)):
            total += near[:, :, dy, dx]
        total >>= AROUND_SHIFT
        around, logits = self._counted[: rows.stop - rows.start], self._logits[: rows.stop - rows.start]
        around.reshape(total.shape)[...] = total
        _, weight = self._weights.tally_output(self._iteration)[phase]
        self._tally_logits[rows] += products.matmul(around, weight, out=logits)

    def _compute_features(self) -> None:
        weight = self._weights.feature
        for _, places, rows in self._blocks:
            around = self._state_taps[places]
            inputs = self._scratch[: around.size].reshape(around.shape)
            inputs[...] = around
            products.matmul(inputs.reshape(-1, len(weight)), weight, out=self._features[rows])
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
