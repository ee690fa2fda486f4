"""The entropy network in matrix products of floats: the same integers, a hundred times faster.

Weights carry the shift that follows them as a factor 2^-s. A power of two changes no significand, so
all sums stay exact below 2^24, and `>> s` is what `floor` leaves. Rows of every matrix are cells,
columns are taps times channels; bits and states are kept with the channel last for that reason.
float32 is enough; float64 is there to ask again, where float32 is under suspicion.

Source: spec, section "Entropy network", for the values; nothing here is normative.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from pillow_rnc.entropy_reference import (
    CANDIDATE_SHIFT,
    FEATURE_MAX,
    FEATURE_SHIFT,
    KNOWN_BIT,
    LOGIT_SHIFT,
    TABLE_CENTRE,
    UPDATE_SHIFT,
    EntropyTensors,
    Pass,
    cells_of,
)
from pillow_rnc.tables import PROBABILITY, SIGMOID, TANH

if TYPE_CHECKING:
    from collections.abc import Iterator

Floats = NDArray[np.floating[Any]]

# Cells per matrix product: the gathered taps of a strip stay in the second-level cache.
_STRIP_CELLS = 768
_TAPS = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))
_TABLE_TOP = 255.0
_UPDATE = SIGMOID.astype(np.float32) / 256
_CANDIDATE = TANH.astype(np.float32)


class _PassWeights(NamedTuple):
    """Operands of one pass: context [taps * G, F], hidden bias [F], output [G, F], its bias [G, 1]."""

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
        self._gates: dict[int, tuple[Floats, Floats]] = {}
        self._passes: dict[tuple[int, int], _PassWeights] = {}

    def gates(self, t: int) -> tuple[Floats, Floats]:
        """Return the weights [2, 9 * C + K, K] and biases [2, 1, K] of u and n before iteration t."""
        if t not in self._gates:
            tensors = self.tensors
            rows = np.concatenate([_columns(tensors.state_in_weight[t - 1]), tensors.state_weight.T])
            scale = np.array([2.0**-UPDATE_SHIFT, 2.0**-CANDIDATE_SHIFT]).reshape(2, 1, 1)
            weight = rows.reshape(len(rows), 2, -1).transpose(1, 0, 2) * scale
            bias = tensors.state_in_bias[t - 1].reshape(2, 1, -1) * scale + TABLE_CENTRE
            self._gates[t] = (np.ascontiguousarray(weight, self.dtype), bias.astype(self.dtype))
        return self._gates[t]

    def pass_weights(self, t: int, index: int) -> _PassWeights:
        """Return the operands of one pass of iteration t."""
        if (t, index) not in self._passes:
            tensors, dtype = self.tensors, self.dtype
            columns: list[NDArray[Any]] = [
                tensors.context_weight[t, index - 1, :, seen.first : seen.stop, 1 + dy, 1 + dx].T
                for seen, (dy, dx) in _seen_taps(tensors.passes, index)
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
        self._features: list[Floats] = []
        # Room for one strip: fresh memory would cost as much as the sums.
        self._strip_rows = min(grid_h, max(1, _STRIP_CELLS // grid_w))
        cells, k = self._strip_rows * grid_w, tensors.state_channels
        self._scratch = np.empty(cells * max(9 * tensors.code_channels + k, 9 * k), dtype=dtype)
        self._gates = np.empty((2, cells, k), dtype=dtype)
        self._entries = np.empty((2, cells, k), dtype=np.intp)
        # Bits of this iteration, a row per cell and pass, and a last row of zeros.
        group = tensors.passes[0].stop - tensors.passes[0].first
        self._starts, rows = _row_starts(tensors.passes, grid_h, grid_w)
        self._known = np.zeros((rows + 1, group), dtype=dtype)

    def begin(self, iteration: int, previous: NDArray[np.uint8] | None) -> None:
        """Move on to the next iteration; see `EntropyState.begin`."""
        self._iteration += 1
        if iteration != self._iteration:
            msg = f"iteration {iteration} begun, expected {self._iteration}"
            raise ValueError(msg)
        if previous is not None:
            self._bits[1:-1, 1:-1] = previous.transpose(1, 2, 0)
            self._bits[1:-1, 1:-1] *= 2 * KNOWN_BIT
            self._bits[1:-1, 1:-1] -= KNOWN_BIT
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
            rows = _context_rows(tensors.passes, index, *self._grid)
            context = self._known.take(rows, axis=0, mode="clip").reshape(-1, len(weights.context))
            z += _matmul(context, weights.context)
        np.clip(z, 0, FEATURE_MAX, out=z)
        np.floor(z, out=z)
        logits = _matmul(weights.output, z.T)  # [G, n]: coding order
        logits += weights.output_bias
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
        width, taps = weight.shape[1], 9 * self._bits.shape[-1]
        for strip in self._strips():
            h = self._state[1:-1, 1:-1][strip]
            inputs = self._scratch[: h[..., 0].size * width].reshape(*h.shape[:2], width)
            _gather_taps(self._bits, strip, inputs[..., :taps])
            inputs[..., taps:] = h
            z = self._gates[:, : h[..., 0].size]
            _matmul(inputs.reshape(-1, width), weight, out=z)  # [2, n, K]
            z += bias
            np.clip(z, 0, _TABLE_TOP, out=z)
            entry = self._entries[:, : h[..., 0].size]
            np.copyto(entry, z, casting="unsafe")
            step = _CANDIDATE.take(entry[1], mode="clip").reshape(h.shape)
            step -= h
            step *= _UPDATE.take(entry[0], mode="clip").reshape(h.shape)
            step += np.float32(0.5)
            np.floor(step, out=step)
            h += step

    def _compute_features(self) -> None:
        grid_h, grid_w = self._grid
        weight = self._weights.feature
        feature = np.empty((grid_h * grid_w, weight.shape[1]), dtype=weight.dtype)
        for strip in self._strips():
            rows = strip.stop - strip.start
            inputs = self._scratch[: rows * grid_w * len(weight)].reshape(rows, grid_w, -1)
            _gather_taps(self._state, strip, inputs)
            out = feature[strip.start * grid_w : strip.stop * grid_w]
            _matmul(inputs.reshape(-1, len(weight)), weight, out=out)
        self._features = [feature.take(cells_of(parity, grid_h, grid_w), axis=0) for parity in (0, 1)]


@cache
def products_are_exact() -> bool:
    """Return whether float32 products give exact integers here, at the largest legal sums."""
    # 255 * 127 * 518 is 1786 short of 2^24; row counts reach the kernels for small and for large products.
    for rows, inner, outputs in ((1, 64, 16), (33, 80, 64), (200, 352, 64), (130, 518, 64)):
        sample = np.arange(8)[:, None] * 37 + np.arange(inner) * 11
        left = 255 - sample % 7
        right = 127 - (np.arange(inner)[:, None] * 5 + np.arange(outputs) * 3) % 3
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


def _gather_taps(padded: Floats, strip: slice, out: Floats) -> None:
    """Write the 3x3 neighbourhoods of rows of cells, [rows, w, 9 * channels], of padded [h+2, w+2, channels]."""
    windows = sliding_window_view(padded[strip.start : strip.stop + 2], (3, 3), axis=(0, 1))
    out.reshape(*out.shape[:2], 3, 3, padded.shape[-1])[...] = windows.transpose(0, 1, 3, 4, 2)


def _row_starts(passes: tuple[Pass, ...], grid_h: int, grid_w: int) -> tuple[list[int], int]:
    """Return the first row of each pass among the known bits, and the number of rows."""
    starts, rows = [], 0
    for one in passes:
        starts.append(rows)
        rows += cells_of(one.parity, grid_h, grid_w).size
    return starts, rows


def _seen_taps(passes: tuple[Pass, ...], index: int) -> Iterator[tuple[Pass, tuple[int, int]]]:
    """Yield each earlier pass with the taps at which pass ``index`` meets its bits."""
    for seen in passes[:index]:
        for dy, dx in _TAPS:
            if (passes[index].parity + dy + dx - seen.parity) % 2 == 0:
                yield seen, (dy, dx)


@lru_cache(maxsize=32)
def _context_rows(passes: tuple[Pass, ...], index: int, grid_h: int, grid_w: int) -> NDArray[np.intp]:
    """Return where the context of pass ``index`` lies among the known bits: intp [n, taps]."""
    starts, zeros = _row_starts(passes, grid_h, grid_w)
    centre = cells_of(passes[index].parity, grid_h, grid_w)
    rows = []
    for seen, (dy, dx) in _seen_taps(passes, index):
        place = np.full((grid_h + 2, grid_w + 2), zeros)
        cells = cells_of(seen.parity, grid_h, grid_w)
        inner = np.full(grid_h * grid_w, zeros)
        inner[cells] = starts[passes.index(seen)] + np.arange(cells.size)
        place[1:-1, 1:-1] = inner.reshape(grid_h, grid_w)
        rows.append(place[1 + dy :, 1 + dx :][:grid_h, :grid_w].ravel()[centre])
    return np.ascontiguousarray(np.stack(rows, axis=1), dtype=np.intp)
