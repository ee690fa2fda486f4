"""The entropy network in matrix products of floats: the same integers, a hundred times faster.

Weights carry the shift that follows them as a factor 2^-s. A power of two changes no significand, so
all sums stay exact below 2^24, and `>> s` is what `floor` leaves. Rows of every matrix are cells,
columns are taps times channels; bits, states and tallies are kept with the channel last for that reason.
Bits are +1 and -1 here and their value of 127 is in the weights, so that tallies add up from them too.
float32 is enough; float64 is there to ask again, where float32 is under suspicion.

Source: spec, section "Entropy network", for the values; nothing here is normative.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pillow_rnc.entropy_bounds import FEATURE_MAX, KNOWN_BIT, TALLY_MAX
from pillow_rnc.entropy_context import context_rows, row_starts, seen_taps
from pillow_rnc.entropy_reference import (
    CANDIDATE_SHIFT,
    FEATURE_SHIFT,
    LOGIT_SHIFT,
    TABLE_CENTRE,
    TALLY_SHIFT,
    UPDATE_SHIFT,
    EntropyTensors,
    cells_of,
)
from pillow_rnc.tables import PROBABILITY, SIGMOID, TANH

if TYPE_CHECKING:
    from collections.abc import Iterator

Floats = NDArray[np.floating[Any]]

# Cells per matrix product: the gathered taps of a strip stay in the second-level cache.
_STRIP_CELLS = 384
_TABLE_TOP = 255.0
_UPDATE = SIGMOID.astype(np.float32) / 256
_CANDIDATE = TANH.astype(np.float32)


# Rows, length and number of sums, and the largest factors; row counts reach the kernels for small and large products.
# 255 * 127 * 518 and 32767 * 512 are just short of 2^24.
_KNOWN_PRODUCTS = (
    (1, 64, 16, 255, 127), (33, 80, 64, 255, 127), (200, 352, 64, 255, 127), (130, 518, 64, 255, 127),
    (120, 544, 128, 127, 127), (384, 192, 64, 127, 127),  # state and output, with tallies
    (120, 32, 96, 1, 32767), (7, 512, 96, 1, 32767),  # tallies
)  # fmt: skip


class _PassWeights(NamedTuple):
    """Operands of one pass: context [taps * G, F], hidden bias [F], output [G, F], its bias [G, 1]."""

    context: Floats
    hidden_bias: Floats
    output: Floats
    output_bias: Floats


class _TallyWeights(NamedTuple):
    """Operands of the tallies: weight [C, S], scale, output [P * G, 2S]."""

    weight: Floats
    scale: Floats
    output: Floats


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
        self._gates: dict[int, tuple[Floats, Floats]] = {}
        self._passes: dict[tuple[int, int], _PassWeights] = {}
        self._tallies: dict[int, _TallyWeights] = {}

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

    def tallies(self, t: int) -> _TallyWeights:
        """Return the operands of the tallies before iteration t and in its passes."""
        if t not in self._tallies:
            tensors, dtype = self.tensors, self.dtype
            output = tensors.tally_output_weight[t - 1].reshape(-1, 2 * tensors.tallies) * 2.0**-LOGIT_SHIFT
            self._tallies[t] = _TallyWeights(
                tensors.tally_weight[t - 1].T.astype(dtype),
                (tensors.tally_scale[t - 1] * 2.0**-TALLY_SHIFT).astype(dtype),
                output.astype(dtype),
            )
        return self._tallies[t]

    def pass_weights(self, t: int, index: int) -> _PassWeights:
        """Return the operands of one pass of iteration t."""
        if (t, index) not in self._passes:
            tensors, dtype = self.tensors, self.dtype
            columns: list[NDArray[Any]] = [
                tensors.context_weight[t, index - 1, :, seen.first : seen.stop, 1 + dy, 1 + dx].T
                for seen, (dy, dx) in seen_taps(tensors.passes, index)
            ]
            self._passes[t, index] = _PassWeights(
                (np.concatenate(columns or [np.empty((0, tensors.hidden_channels))]) * 2.0**-FEATURE_SHIFT).astype(
                    dtype
                ),
                (tensors.feature_bias[t, index] * 2.0**-FEATURE_SHIFT).astype(dtype),
                (tensors.output_weight[t, index] * 2.0**-LOGIT_SHIFT).astype(dtype),
                (tensors.output_bias[t, index] * 2.0**-LOGIT_SHIFT + TABLE_CENTRE).astype(dtype)[:, None],
            )
        return self._passes[t, index]


class FastState:
    """The network at work on one tile, in floats of the type of its weights."""

    def __init__(self, weights: FastTensors, grid_h: int, grid_w: int) -> None:
        tensors, dtype = weights.tensors, weights.dtype
        self._weights = weights
        self._grid = (grid_h, grid_w)
        self._iteration = -1
        # One cell of zeros on every side stands for what lies outside the tile.
        padded = (grid_h + 2, grid_w + 2)
        self._bits = np.zeros((*padded, tensors.code_channels), dtype=dtype)
        self._state = np.zeros((*padded, tensors.state_channels), dtype=dtype)
        self._bit_taps, self._state_taps = _taps(self._bits), _taps(self._state)
        self._tally = np.zeros((grid_h * grid_w, tensors.tallies), dtype=dtype)
        self._features: list[Floats] = []
        group = tensors.passes[0].stop - tensors.passes[0].first
        self._tally_logits = np.zeros((len(tensors.passes), group, grid_h * grid_w), dtype=dtype)
        # Room for one strip: fresh memory would cost as much as the sums.
        self._strip_rows = min(grid_h, max(1, _STRIP_CELLS // grid_w))
        cells, k = self._strip_rows * grid_w, tensors.state_channels
        width = 9 * tensors.code_channels + k + 2 * tensors.tallies
        self._scratch = np.empty(cells * max(width, 9 * k), dtype=dtype)
        self._added = np.empty((cells, tensors.tallies), dtype=dtype)
        self._gates = np.empty((cells, 2 * k), dtype=dtype)
        self._entries = np.empty((2, cells, k), dtype=np.intp)
        # Bits of this iteration, a row per cell and pass, and a last row of zeros.
        self._starts, rows = row_starts(tensors.passes, grid_h, grid_w)
        self._known = np.zeros((rows + 1, group), dtype=dtype)

    def begin(self, iteration: int, previous: NDArray[np.uint8] | None) -> None:
        """Move on to the next iteration; see `EntropyState.begin`."""
        self._iteration += 1
        if iteration != self._iteration:
            msg = f"iteration {iteration} begun, expected {self._iteration}"
            raise ValueError(msg)
        if previous is not None:
            self._bits[1:-1, 1:-1] = previous.transpose(1, 2, 0)
            self._bits[1:-1, 1:-1] *= 2
            self._bits[1:-1, 1:-1] -= 1
            self._update_state()
        self._features = []

    def probabilities(self, index: int) -> NDArray[np.uint16]:
        """Return the probabilities of the bits of one pass; see `EntropyState.probabilities`."""
        tensors = self._weights.tensors
        weights = self._weights.pass_weights(self._iteration, index)
        if not self._features:
            self._compute_features()
        z = self._features[tensors.passes[index].parity] + weights.hidden_bias  # [n, F]
        if index:
            rows = context_rows(tensors.passes, index, *self._grid)
            context = self._known.take(rows, axis=0, mode="clip").reshape(-1, len(weights.context))
            z += _matmul(context, weights.context)
        np.clip(z, 0, FEATURE_MAX, out=z)
        np.floor(z, out=z)
        logits = _matmul(weights.output, z.T)  # [G, n]: coding order
        logits += weights.output_bias
        if self._iteration:
            logits += self._tally_logits[index].take(cells_of(tensors.passes[index].parity, *self._grid), axis=1)
        np.clip(logits, 0, _TABLE_TOP, out=logits)
        return PROBABILITY.take(logits.ravel().astype(np.intp), mode="clip")

    def reveal(self, index: int, bits: NDArray[np.uint8]) -> None:
        """Take note of the bits of one pass; see `EntropyState.reveal`."""
        start = self._starts[index]
        values = bits.reshape(self._known.shape[1], -1).T
        rows = self._known[start : start + len(values)]
        np.multiply(values, rows.dtype.type(2 * KNOWN_BIT), out=rows)
        rows -= KNOWN_BIT

    def _strips(self) -> Iterator[slice]:
        """Yield rows of the grid in strips of about `_STRIP_CELLS` cells."""
        for start in range(0, self._grid[0], self._strip_rows):
            yield slice(start, min(start + self._strip_rows, self._grid[0]))

    def _update_state(self) -> None:
        weight, bias = self._weights.gates(self._iteration)
        width, taps = len(weight), 9 * self._bits.shape[-1]
        for strip in self._strips():
            h = self._state[1:-1, 1:-1][strip]
            inputs = self._scratch[: h[..., 0].size * width].reshape(*h.shape[:2], width)
            around = self._bit_taps[strip]
            inputs[..., :taps].reshape(around.shape)[...] = around
            inputs[..., taps : taps + h.shape[-1]] = h
            self._count(strip, inputs.reshape(-1, width))
            z = self._gates[: h[..., 0].size]
            _matmul(inputs.reshape(-1, width), weight, out=z)  # [n, 2K]
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

    def _count(self, strip: slice, inputs: Floats) -> None:
        """Add the bits of a strip, the middle tap of its inputs, to the tallies, and write what is seen of them."""
        tensors, weights = self._weights.tensors, self._weights.tallies(self._iteration)
        c, s = tensors.code_channels, tensors.tallies
        added = _matmul(inputs[:, 4 * c : 5 * c], weights.weight, out=self._added[: len(inputs)])
        cells = slice(strip.start * self._grid[1], strip.stop * self._grid[1])
        tally = self._tally[cells]
        tally += added
        # A product that is rounded is far beyond the clamp.
        v = np.multiply(tally, weights.scale, out=added)
        np.clip(v, -TALLY_MAX, TALLY_MAX, out=v)
        np.floor(v, out=inputs[:, -2 * s : -s])
        np.abs(inputs[:, -2 * s : -s], out=inputs[:, -s:])
        _matmul(weights.output, inputs[:, -2 * s :].T, out=self._tally_logits.reshape(-1, len(self._tally))[:, cells])

    def _compute_features(self) -> None:
        grid_h, grid_w = self._grid
        weight = self._weights.feature
        feature = np.empty((grid_h * grid_w, weight.shape[1]), dtype=weight.dtype)
        for strip in self._strips():
            rows = strip.stop - strip.start
            inputs = self._scratch[: rows * grid_w * len(weight)].reshape(rows, grid_w, -1)
            around = self._state_taps[strip]
            inputs.reshape(around.shape)[...] = around
            out = feature[strip.start * grid_w : strip.stop * grid_w]
            _matmul(inputs.reshape(-1, len(weight)), weight, out=out)
        self._features = [feature.take(cells_of(parity, grid_h, grid_w), axis=0) for parity in (0, 1)]


@cache
def products_are_exact() -> bool:
    """Return whether float32 products give exact integers here, at the largest legal sums."""
    for rows, inner, outputs, left_max, right_max in _KNOWN_PRODUCTS:
        sample = np.arange(8)[:, None] * 37 + np.arange(inner) * 11
        left = left_max - sample % 7 % (left_max + 1)
        right = right_max - (np.arange(inner)[:, None] * 5 + np.arange(outputs) * 3) % 3
        for signs in (np.ones(inner, dtype=np.int64), 1 - 2 * (np.arange(inner) * 3 // 7 % 2)):
            signed = right * signs[:, None]
            expected = np.resize((left @ signed).astype(np.float32), (rows, outputs))
            factor = np.resize(left.astype(np.float32), (rows, inner))
            scaled = (signed * 2.0**-UPDATE_SHIFT).astype(np.float32)
            products = (_matmul(factor, scaled), _matmul(scaled.T, factor.T).T, _matmul(factor, scaled[None])[0])
            if any((product * 2.0**UPDATE_SHIFT != expected).any() for product in products):
                return False
    return True


def _matmul(left: Floats, right: Floats, out: Floats | None = None) -> Floats:
    """Return the matrix product; the one place where sums are formed."""
    product: Floats = np.matmul(left, right, out=out)
    return product


def _columns(weight: NDArray[np.int8]) -> NDArray[np.int8]:
    """Return weight [out, in, 3, 3] as a right operand [9 * in, out], taps before channels."""
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0).reshape(-1, len(weight)))


def _taps(padded: Floats) -> Floats:
    """Return the 3x3 neighbourhoods of all cells, [h, w, 3, 3, channels], as a view of padded [h+2, w+2, channels]."""
    return sliding_window_view(padded, (3, 3), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
