"""The recurrent cell of the network in NumPy, and the strips in which maps are processed.

Maps are float32 with the channel last, [n, rows, columns, channels] for n tiles of one size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pillow_rnc.models.numpy_operands import CellWeights, Floats

_SPAN_CELLS = 8


class Strip(NamedTuple):
    """Some rows of one tile, or some whole tiles."""

    tiles: slice
    rows: slice

    def of(self, array: Floats) -> Floats:
        """Return the strip of a map without margin, as a matrix [cells, channels] that shares its memory."""
        return array[self.tiles, self.rows].reshape(-1, array.shape[-1])

    def across(self, array: Floats) -> Floats:
        """Return the strip of a map with the channel first, as a matrix [channels, cells] that shares its memory."""
        return array[:, self.tiles, self.rows].reshape(len(array), -1)

    def inner(self, padded: Floats) -> Floats:
        """Return the strip of a map with a margin, [tiles, rows, columns, channels]."""
        return padded[self.tiles, self.rows.start + 1 : self.rows.stop + 1, 1:-1]

    def doubled(self) -> Strip:
        """Return the same place in a map of twice the resolution."""
        return Strip(self.tiles, slice(2 * self.rows.start, 2 * self.rows.stop))


def strips(shape: tuple[int, int, int], cells: int) -> Iterator[Strip]:
    """Yield the strips of a map of n tiles, rows, columns, of about this many cells each."""
    n, rows, columns = shape
    at_once = max(1, cells // columns)
    if at_once < rows:
        for tile in range(n):
            for row in range(0, rows, at_once):
                yield Strip(slice(tile, tile + 1), slice(row, min(row + at_once, rows)))
        return
    tiles = at_once // rows
    for tile in range(0, n, tiles):
        yield Strip(slice(tile, min(tile + tiles, n)), slice(0, rows))


class Scratch:
    """Memory for one strip, by name: new memory would cost as much as the arithmetic."""

    def __init__(self) -> None:
        self._arrays: dict[str, Floats] = {}

    def __call__(self, name: str, cells: int, width: int) -> Floats:
        """Return an array [cells, width] of undefined content."""
        flat = self._arrays.get(name)
        if flat is None or flat.size < cells * width:
            flat = self._arrays[name] = np.empty(cells * width, np.float32)
        return flat[: cells * width].reshape(cells, width)


def _taps(padded: Floats) -> Floats:
    """Return the inputs of a 3x3 convolution of a map with a margin, as a view [3, 3, n, rows, spans, span * channels].

    A span is a number of cells of a row, taken as one vector: longer vectors are faster, until the kernel, which is
    repeated as often, exceeds the first-level cache.
    """
    n, rows, columns, channels = padded.shape
    tile, row, column, channel = padded.strides
    span = _span(columns - 2)
    shape = (3, 3, n, rows - 2, (columns - 2) // span, span * channels)
    return as_strided(padded, shape, (row, column, tile, row, span * column, channel), writeable=False)


def _span(columns: int) -> int:
    """Return how many cells form a span: a divisor of the columns."""
    return max(span for span in range(1, min(columns, _SPAN_CELLS) + 1) if columns % span == 0)


class NumpyCell:
    """A separable GRU on n tiles.

    Args:
        weights: Of the cell.
        shape: n, rows, columns.
        scratch: Memory for strips.

    Attributes:
        input: Its input map with a margin, to be filled before `step`.
    """

    def __init__(self, weights: CellWeights, shape: tuple[int, int, int], scratch: Scratch) -> None:
        self._weights, self._scratch = weights, scratch
        n, rows, columns = shape
        padded = (n, rows + 2, columns + 2, weights.channels)
        self.input = np.zeros(padded, np.float32)
        self._hidden, self._next = np.zeros(padded, np.float32), np.zeros(padded, np.float32)
        self._input_taps, self._hidden_taps, self._next_taps = map(_taps, (self.input, self._hidden, self._next))
        self._begun = False
        self._input_kernel = np.tile(weights.input_kernel, _span(columns))
        self._hidden_kernel = np.tile(weights.hidden_kernel, _span(columns))

    def step(self, strip: Strip) -> Floats:
        """Return the next hidden map in a strip and a column of ones, [cells, c + 1]."""
        weights, c = self._weights, self._weights.channels
        hidden = strip.inner(self._hidden)
        cells = hidden[..., 0].size
        inputs = self._scratch("inputs", cells, 2 * c + 1)
        inputs[:, -1] = 1
        inputs[:, :c] = self._convolved(self._input_taps, self._input_kernel, strip)
        mixed = inputs[:, c : 2 * c]
        if self._begun:
            np.add(self._convolved(self._hidden_taps, self._hidden_kernel, strip), weights.hidden_shift, out=mixed)
        else:
            mixed[...] = 0
        gates = np.matmul(inputs, weights.gates, out=self._scratch("gates", cells, 2 * c))
        np.tanh(gates, out=gates)
        gates += 1
        mixed *= gates[:, c:]
        candidate = np.matmul(inputs, weights.candidate, out=self._scratch("candidate", cells, c))
        np.tanh(candidate, out=candidate)
        change = candidate.reshape(hidden.shape)
        change -= hidden
        candidate *= gates[:, :c]
        candidate *= 0.5
        features = self._scratch("features", cells, c + 1)
        features[:, -1] = 1
        hidden_next = features.reshape(*hidden.shape[:-1], c + 1)[..., :-1]
        np.add(hidden, change, out=hidden_next)
        strip.inner(self._next)[...] = hidden_next
        return features

    def _convolved(self, taps: Floats, kernel: Floats, strip: Strip) -> Floats:
        """Return the depthwise convolution of a strip, [cells, c]."""
        seen = taps[:, :, strip.tiles, strip.rows]
        c = self._weights.channels
        out = self._scratch("candidate", seen[0, 0].size // c, c)
        np.einsum("yxnrsc,yxc->nrsc", seen, kernel, out=out.reshape(seen.shape[2:]))
        return out

    def advance(self) -> None:
        """Make the next hidden map the current one, once all strips are done."""
        self._hidden, self._next = self._next, self._hidden
        self._hidden_taps, self._next_taps = self._next_taps, self._hidden_taps
        self._begun = True
