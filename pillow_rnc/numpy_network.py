"""The codec network at work on tiles in NumPy: the same pictures as `network` makes, without torch.

Maps are float32 with the channel last, [n, rows, columns, channels] for n tiles of one size; those that a 3x3
convolution reads have a cell of zeros on every side. Work goes strip by strip, so that it stays in the second-level
cache. The decoder's output map is the same in all iterations, so features over gain are added up, and mapped when
somebody looks.

Why NumPy: it takes less time than torch on one core, because it does less. Nearly all arithmetic is matrix products,
for which NumPy brings kernels as good; its depthwise convolutions are four times slower, a tenth of the whole. It is
imported in a tenth of a second where torch takes more than one, and needs no library that is not there already.

Source: `network`, `cells` and `activations`; tests hold this module to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from pillow_rnc.block_basis import BLOCK, COEFFICIENTS
from pillow_rnc.numpy_weights import SQUASH, CellWeights, Floats, NetworkWeights, overlap_matrices, transform_matrices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_STRIP_CELLS = 512
_SPAN_CELLS = 8


class _Strip(NamedTuple):
    """Some rows of one tile, or some whole tiles."""

    tiles: slice
    rows: slice

    def of(self, array: Floats) -> Floats:
        """Return the strip of a map without margin, as a matrix [cells, channels] that shares its memory."""
        return array[self.tiles, self.rows].reshape(-1, array.shape[-1])

    def inner(self, padded: Floats) -> Floats:
        """Return the strip of a map with a margin, [tiles, rows, columns, channels]."""
        return padded[self.tiles, self.rows.start + 1 : self.rows.stop + 1, 1:-1]

    def doubled(self) -> _Strip:
        """Return the same place in a map of twice the resolution."""
        return _Strip(self.tiles, slice(2 * self.rows.start, 2 * self.rows.stop))


def _strips(shape: tuple[int, int, int], cells: int) -> Iterator[_Strip]:
    """Yield the strips of a map of n tiles, rows, columns, of about so many cells each."""
    n, rows, columns = shape
    at_once = max(1, cells // columns)
    if at_once < rows:
        for tile in range(n):
            for row in range(0, rows, at_once):
                yield _Strip(slice(tile, tile + 1), slice(row, min(row + at_once, rows)))
        return
    tiles = at_once // rows
    for tile in range(0, n, tiles):
        yield _Strip(slice(tile, min(tile + tiles, n)), slice(0, rows))


class _Scratch:
    """Memory for one strip, by name: fresh memory would cost as much as the sums."""

    def __init__(self) -> None:
        self._arrays: dict[str, Floats] = {}

    def __call__(self, name: str, cells: int, width: int) -> Floats:
        """Return an array [cells, width] of any content."""
        flat = self._arrays.get(name)
        if flat is None or flat.size < cells * width:
            flat = self._arrays[name] = np.empty(cells * width, np.float32)
        return flat[: cells * width].reshape(cells, width)


def _taps(padded: Floats) -> Floats:
    """Return what a 3x3 convolution reads of a map with a margin, as a view [3, 3, n, rows, spans, span * channels].

    A span is so many cells of a row, taken as one vector: longer vectors go faster, until the kernel, which is repeated
    as often, leaves the first-level cache.
    """
    n, rows, columns, channels = padded.shape
    tile, row, column, channel = padded.strides
    span = _span(columns - 2)
    shape = (3, 3, n, rows - 2, (columns - 2) // span, span * channels)
    return as_strided(padded, shape, (row, column, tile, row, span * column, channel), writeable=False)


def _span(columns: int) -> int:
    """Return how many cells make a span: a divisor of the columns."""
    return max(span for span in range(1, min(columns, _SPAN_CELLS) + 1) if columns % span == 0)


class _Cell:
    """A recurrent cell on n tiles.

    Args:
        weights: Of the cell.
        shape: n, rows, columns.
        scratch: Memory for strips.

    Attributes:
        input: Its input map with a margin, to be filled before `move`.
    """

    def __init__(self, weights: CellWeights, shape: tuple[int, int, int], scratch: _Scratch) -> None:
        self._weights, self._scratch = weights, scratch
        n, rows, columns = shape
        padded = (n, rows + 2, columns + 2, weights.channels)
        self.input = np.zeros(padded, np.float32)
        self._hidden, self._next = np.zeros(padded, np.float32), np.zeros(padded, np.float32)
        self._input_taps, self._hidden_taps, self._next_taps = map(_taps, (self.input, self._hidden, self._next))
        self._begun = False
        self._input_kernel = np.tile(weights.input_kernel, _span(columns))
        self._hidden_kernel = np.tile(weights.hidden_kernel, _span(columns))

    def move(self, strip: _Strip) -> Floats:
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
        step = np.matmul(inputs, weights.candidate, out=self._scratch("step", cells, c))
        np.tanh(step, out=step)
        change = step.reshape(hidden.shape)
        change -= hidden
        step *= gates[:, :c]
        step *= 0.5
        features = self._scratch("features", cells, c + 1)
        features[:, -1] = 1
        moved = features.reshape(*hidden.shape[:-1], c + 1)[..., :-1]
        np.add(hidden, change, out=moved)
        strip.inner(self._next)[...] = moved
        return features

    def _convolved(self, taps: Floats, kernel: Floats, strip: _Strip) -> Floats:
        """Return the depthwise convolution of a strip, [cells, c]."""
        seen = taps[:, :, strip.tiles, strip.rows]
        c = self._weights.channels
        out = self._scratch("step", seen[0, 0].size // c, c)
        np.einsum("yxnrsc,yxc->nrsc", seen, kernel, out=out.reshape(seen.shape[2:]))
        return out

    def turn(self) -> None:
        """Take the next hidden map for the present one, once all strips have moved."""
        self._hidden, self._next = self._next, self._hidden
        self._hidden_taps, self._next_taps = self._next_taps, self._hidden_taps
        self._begun = True


def _squash(values: Floats, gain: Floats, room: Floats, out: Floats) -> None:
    """Write what the encoder sees of coefficients, over `SQUASH`; they are times gain afterwards; see `activations`."""
    values *= gain
    np.abs(values, out=room)
    room += SQUASH
    np.divide(values, room, out=out)


def _significance(coded: Floats, gain: Floats, out: Floats) -> None:
    """Write how far each coefficient is significant, plus one; see `activations`."""
    np.multiply(coded, 2 * gain, out=out)
    np.abs(out, out=out)
    np.clip(out, 1, 2, out=out)


def _overlap(pictures: Floats, matrix: Floats) -> None:
    """Apply a filter to the eight pixels around each border of blocks, in place; see `block_transform`.

    Args:
        pictures: [n, height, width, 3], contiguous.
        matrix: [8, 8].
    """
    n, height, width, colours = pictures.shape
    half = BLOCK // 2
    if width > BLOCK:
        rows = pictures.reshape(n * height, width * colours)[:, half * colours : -half * colours]
        matrix_of_colours = np.kron(matrix.T, np.eye(colours, dtype=np.float32))
        for start in range(0, len(rows), _STRIP_CELLS):
            part = rows[start : start + _STRIP_CELLS]
            part[...] = (part.reshape(-1, BLOCK * colours) @ matrix_of_colours).reshape(part.shape)
    if height > BLOCK:
        columns = pictures[:, half:-half].reshape(n, -1, BLOCK, width * colours)
        for picture in columns:
            for border in picture:
                border[...] = matrix @ border


def _neighbours(length: int) -> Floats:
    """Return how many of the cells before, at and after each of a row there are, [length]."""
    count = np.full(length, 3, np.float32)
    count[0] -= 1
    count[-1] -= 1
    return count


class NumpyTiles:
    """The network at work on n tiles of one size, iteration by iteration; see `inference.TileNetwork`.

    Args:
        weights: Of the network.
        n: How many tiles.
        height: Height of the padded tiles in pixels.
        width: Width of the padded tiles in pixels.
    """

    def __init__(self, weights: NetworkWeights, n: int, height: int, width: int) -> None:
        config = weights.config
        self._weights = weights
        self._shape = shape = (n, height // BLOCK, width // BLOCK)
        half = (n, shape[1] // 2, shape[2] // 2)
        self._strips = list(_strips(shape, _STRIP_CELLS))
        self._context_strips = list(_strips(half, _STRIP_CELLS // 2))
        self._scratch = _Scratch()
        self._context = _Cell(weights.context, half, self._scratch)
        self._detail = _Cell(weights.detail, shape, self._scratch)
        self._coded = np.zeros((*shape, COEFFICIENTS), np.float32)
        self._features = np.zeros((*shape, config.decoder_channels + 1), np.float32)  # over gain, summed up
        self._masking = np.ones((*shape, 1), np.float32)
        self._bits = np.ones((*shape, config.code_channels + 1), np.float32)  # and a channel of ones
        self._iteration = 0
        self._core: _Cell | None = None
        self._target = self._direct = np.empty(0, np.float32)
        self._to_coefficients, self._to_pixels = transform_matrices()
        self._overlap, self._inverse_overlap = overlap_matrices()

    @np.errstate(all="ignore")
    def set_target(self, pixels: NDArray[np.uint8]) -> None:
        """Say what is to be encoded: pixels uint8 [n, height, width, 3]."""
        config, (n, rows, columns) = self._weights.config, self._shape
        self._core = _Cell(self._weights.core, self._shape, self._scratch)
        self._target = np.empty((*self._shape, COEFFICIENTS), np.float32)
        self._direct = np.empty((*self._shape, config.code_channels), np.float32)
        picture = pixels.astype(np.float32)
        _overlap(picture, self._overlap)
        blocks = picture.reshape(n, rows, BLOCK, columns, BLOCK, 3).transpose(0, 1, 3, 2, 4, 5)
        for strip in self._strips:
            block = blocks[strip.tiles, strip.rows].reshape(-1, COEFFICIENTS)
            block -= 128
            np.matmul(block, self._to_coefficients, out=strip.of(self._target))

    @np.errstate(all="ignore")
    def encode(self) -> NDArray[np.uint8]:
        """Return the codes of the next iteration, uint8 [n, C, h, w]; the reconstruction moves on with them."""
        assert self._core is not None
        weights, scratch = self._weights, self._scratch
        own = weights.iterations[self._iteration]
        for strip in self._strips:
            reconstruction = self._reconstruction(strip)
            cells = len(reconstruction)
            gain = strip.of(self._masking) * np.float32(own.gain)
            seen = scratch("seen", cells, 3 * COEFFICIENTS + 1)
            seen[:, -1] = 1
            residual = np.subtract(strip.of(self._target), reconstruction, out=scratch("residual", cells, COEFFICIENTS))
            bend = scratch("bend", cells, COEFFICIENTS)
            _squash(reconstruction, gain, bend, seen[:, :COEFFICIENTS])
            _squash(residual, gain, bend, seen[:, COEFFICIENTS : 2 * COEFFICIENTS])
            _significance(strip.of(self._coded), gain, seen[:, 2 * COEFFICIENTS : -1])
            stem = np.matmul(seen[:, : 2 * COEFFICIENTS], weights.stem[:-1])
            stem += weights.stem[-1]
            inner = strip.inner(self._core.input)
            inner[...] = stem.reshape(inner.shape)
            np.matmul(seen[:, COEFFICIENTS:], own.direct, out=strip.of(self._direct))
        for strip in self._strips:
            a = strip.of(self._direct)
            a += self._core.move(strip)[:, :-1] @ own.head
            strip.of(self._bits)[:, :-1] = np.where(a >= 0, np.float32(1), np.float32(-1))
        self._core.turn()
        self._decode()
        return np.ascontiguousarray((self._bits[..., :-1] > 0).transpose(0, 3, 1, 2)).view(np.uint8)

    @np.errstate(all="ignore")
    def decode(self, planes: NDArray[np.uint8]) -> None:
        """Take the codes of the next iteration, uint8 [n, C, h, w]."""
        bits = self._bits[..., :-1]
        bits[...] = planes.transpose(0, 2, 3, 1)
        bits *= 2
        bits -= 1
        self._decode()

    def _decode(self) -> None:
        """Move on by the bits."""
        weights, own = self._weights, self._weights.iterations[self._iteration]
        self._decode_context()
        for strip in self._strips:
            features = self._detail.move(strip)
            self._update(strip, features, strip.of(self._masking) * np.float32(own.update_gain))
        self._detail.turn()
        if weights.masking is not None:
            self._mask(*weights.masking)
        self._iteration += 1

    def _decode_context(self) -> None:
        """Move the context on, and lay out the input of the detail."""
        weights, own = self._weights, self._weights.iterations[self._iteration]
        n, rows, columns = self._shape
        bits = self._bits[..., :-1].reshape(n, rows // 2, 2, columns // 2, 2, -1).transpose(0, 1, 3, 2, 4, 5)
        inner = self._context.input[:, 1:-1, 1:-1]
        inner[...] = bits.reshape(*inner.shape[:3], -1) @ own.context_input[:-1] + own.context_input[-1]
        for strip in self._context_strips:
            wide = self._context.move(strip)
            doubled = strip.doubled()
            x = strip.doubled().of(self._bits) @ own.input
            inner = doubled.inner(self._detail.input)
            tiles, rows, columns, d = inner.shape
            cells = x.reshape(tiles, rows // 2, 2, columns // 2, 2, d)
            cells += (wide @ weights.up).reshape(tiles, rows // 2, columns // 2, 2, 2, d).transpose(0, 1, 3, 2, 4, 5)
            inner[...] = x.reshape(inner.shape)
        self._context.turn()

    def _update(self, strip: _Strip, features: Floats, gain: Floats) -> None:
        """Add to a strip what the bits say and what the features [cells, d + 1] stand for, over gain [cells, 1]."""
        own = self._weights.iterations[self._iteration]
        cells = len(features)
        significance = self._scratch("significance", cells, COEFFICIENTS)
        _significance(strip.of(self._coded), gain, significance)
        if self._weights.config.framework == "one_shot":
            strip.of(self._coded)[...] = 0
            strip.of(self._features)[...] = 0
        step = 1 / gain
        bits = strip.of(self._bits)[:, :-1] * step
        said = np.matmul(bits, own.coded, out=self._scratch("said", cells, 2 * COEFFICIENTS))
        significance *= said[:, COEFFICIENTS:]
        significance += said[:, :COEFFICIENTS]
        strip.of(self._coded)[...] += significance
        features *= step
        strip.of(self._features)[...] += features

    def _mask(self, exponent: float, floor: float) -> None:
        """Find the factor of the next gain, see `network.Masking`."""
        energy = np.empty(self._shape, np.float32)
        for strip in self._strips:
            luma = self._coded[strip.tiles, strip.rows, :, 1 : BLOCK**2]
            np.einsum("nrci,nrci->nrc", luma, luma, out=energy[strip.tiles, strip.rows])
        padded = np.pad(energy, ((0, 0), (1, 1), (1, 1)))
        rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
        around = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
        _, height, width = self._shape
        around /= _neighbours(height)[:, None] * _neighbours(width)
        energy += around
        energy *= np.float32(0.5 / ((BLOCK**2 - 1) * floor))
        self._masking[..., 0] = np.exp(np.float32(-exponent) * np.log1p(energy))

    def _reconstruction(self, strip: _Strip) -> Floats:
        """Return the coefficients of a strip so far, [cells, 192]."""
        features = strip.of(self._features)
        out = self._scratch("reconstruction", len(features), COEFFICIENTS)
        np.matmul(features, self._weights.output, out=out)
        out += strip.of(self._coded)
        return out

    @np.errstate(all="ignore")
    def pixels(self) -> Floats:
        """Return the pictures so far, [n, height, width, 3], in 0..255 but neither clipped nor rounded."""
        n, rows, columns = self._shape
        picture = np.empty((n, rows, BLOCK, columns, BLOCK, 3), np.float32)
        for strip in self._strips:
            blocks = self._reconstruction(strip) @ self._to_pixels
            blocks += 128
            place = picture[strip.tiles, strip.rows]
            place[...] = blocks.reshape(*place.shape[:2], columns, BLOCK, BLOCK, 3).transpose(0, 1, 3, 2, 4, 5)
        pixels = picture.reshape(n, rows * BLOCK, columns * BLOCK, 3)
        _overlap(pixels, self._inverse_overlap)
        return pixels
