"""The codec network at work on tiles in NumPy: the same pictures as `network` makes, without torch.

Maps are float32 with the channel last, [n, rows, columns, channels] for n tiles of one size; those that a 3x3
convolution reads have a cell of zeros on every side. Maps of coefficients have the channel first, as the quantiser
wants them. Work goes strip by strip, so that it stays in the second-level cache. The decoder works when somebody looks.

Why NumPy: it takes less time than torch on one core, because it does less. Nearly all arithmetic is matrix products,
for which NumPy brings kernels as good; its depthwise convolutions are four times slower, a tenth of the whole. It is
imported in a tenth of a second where torch takes more than one, and needs no library that is not there already.

Source: `network`, `cells` and `activations`; tests hold this module to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.entropy.schedule import COEFFICIENTS, MEANS
from pillow_rnc.models.basis import BLOCK
from pillow_rnc.models.embedded.numpy_cells import Cell, Scratch, Strip, strips
from pillow_rnc.models.embedded.numpy_quantizer import Intervals
from pillow_rnc.models.embedded.numpy_weights import SQUASH, WIDEST, Floats, NetworkWeights
from pillow_rnc.models.numpy_transform import filter_borders, overlap_matrices, transform_matrices, transform_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STRIP_CELLS = 512


def _neighbours(length: int) -> Floats:
    """Return how many of the cells before, at and after each of a row there are, [length]."""
    count = np.full(length, 3, np.float32)
    count[0] -= 1
    count[-1] -= 1
    return count


class _Codes:
    """What the codes of n tiles say so far: intervals of coefficients, and the masking that follows from them.

    Args:
        weights: Of the network.
        shape: n, rows, columns.
    """

    def __init__(self, weights: NetworkWeights, shape: tuple[int, int, int]) -> None:
        self._weights, self._shape = weights, shape
        self.intervals = Intervals(shape)
        self.wider = np.ones(shape, np.float32)  # by what the masking widens the steps
        self.strips = list(strips(shape, _STRIP_CELLS))
        self.iterations = 0

    def encode(self, target: Floats) -> NDArray[np.uint8]:
        """Return the codes of the next iteration, uint8 [n, C, h, w], of coefficients [192, n, h, w]."""
        visits = self._weights.iterations[self.iterations].visits
        codes = np.empty((self._weights.config.code_channels, self.wider.size), np.uint8)
        self.intervals.encode(visits, self.wider.reshape(-1), target.reshape(COEFFICIENTS, -1), codes)
        self._advance(codes)
        return np.ascontiguousarray(codes.reshape(-1, *self._shape).swapaxes(0, 1))

    def decode(self, planes: NDArray[np.uint8]) -> None:
        """Take the codes of the next iteration, uint8 [n, C, h, w]."""
        self._advance(planes.swapaxes(0, 1).reshape(planes.shape[1], -1))

    def _advance(self, codes: NDArray[np.uint8]) -> None:
        self.intervals.advance(self._weights.iterations[self.iterations].visits, self.wider.reshape(-1), codes)
        self._mask()
        self.iterations += 1

    def _mask(self) -> None:
        """Find by what steps are widened now; see `network.Masking`."""
        luma = self.intervals.middle[1 : BLOCK**2]
        energy = np.einsum("knrc,knrc->nrc", luma, luma)
        padded = np.pad(energy, ((0, 0), (1, 1), (1, 1)))
        rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
        around = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
        _, height, width = self._shape
        around /= _neighbours(height)[:, None] * _neighbours(width)
        energy += around
        energy *= np.float32(0.5 / ((BLOCK**2 - 1) * self._weights.masking_floor))
        self.wider[...] = np.exp(np.float32(self._weights.masking_exponent) * np.log1p(energy))

    def gain(self, strip: Strip, gain: float) -> Floats:
        """Return one over the steps in a strip, [cells]."""
        masked: Floats = np.float32(gain) / self.wider[strip.tiles, strip.rows].reshape(-1)
        return masked


class _Decoder:
    """The recurrent decoder on n tiles: one look at what the codes say; see `interval_decoder`.

    Of most coefficients, those that were not visited yet, the codes say nothing: zero, in the widest interval.

    Args:
        weights: Of the network.
        codes: What the codes say.
        shape: n, rows, columns.
    """

    def __init__(self, weights: NetworkWeights, codes: _Codes, shape: tuple[int, int, int]) -> None:
        self._weights, self._codes = weights, codes
        self._own = own = weights.iterations[codes.iterations - 1]
        self._sight = weights.sight[np.concatenate([own.visited, COEFFICIENTS + own.visited])]
        half = (shape[0], shape[1] // 2, shape[2] // 2)
        self._context_strips = list(strips(half, _STRIP_CELLS // 2))
        self._scratch = Scratch()
        self._context = Cell(weights.context, half, self._scratch)
        self._detail = Cell(weights.detail, shape, self._scratch)
        self._input = np.empty((*shape, weights.config.decoder_channels), np.float32)

    def show(self, coefficients: Floats) -> None:
        """Write what is shown, [192, n, rows, columns]."""
        self._see()
        for step in range(self._weights.config.decoder_steps):
            if step:
                self._context.turn()
                self._detail.turn()
            self._move_context()
            if step + 1 < self._weights.config.decoder_steps:
                for strip in self._codes.strips:
                    self._detail.move(strip)
        for strip in self._codes.strips:
            features = self._detail.move(strip)
            inside = np.matmul(self._weights.output.T, features.T, out=strip.across(coefficients))
            visited, gain = self._own.visited, self._codes.gain(strip, self._own.gain)
            middle, known = strip.across(self._codes.intervals.middle)[visited], inside[visited]
            known += np.sign(middle) * self._own.shift[visited, None]
            known *= self._widths(strip, gain, self._scratch("widths", *middle.shape))
            known /= gain
            known += middle
            inside *= WIDEST / gain
            inside[visited] = known

    def _widths(self, strip: Strip, gain: Floats, out: Floats) -> Floats:
        """Write half widths of intervals of visited coefficients in steps, [V, cells], and return them."""
        widths = np.abs(strip.across(self._codes.intervals.reach)[self._own.visited], out=out)
        widths *= gain
        return np.minimum(widths, WIDEST, out=widths)

    def _see(self) -> None:
        """Lay out the input of both cells."""
        weights, codes, visited = self._weights, self._codes, self._own.visited
        for strip in codes.strips:
            middle, gain = strip.across(codes.intervals.middle)[visited], codes.gain(strip, self._own.gain)
            both = self._scratch("both", 2 * len(visited), middle.shape[1])
            seen = np.multiply(middle, gain, out=both[: len(visited)])
            bend = np.abs(seen, out=self._scratch("bend", *middle.shape))
            bend += SQUASH
            seen /= bend
            self._widths(strip, gain, both[len(visited) :])
            np.matmul(both.T, self._sight, out=strip.of(self._input))
        self._input += self._own.bias
        for strip in self._context_strips:
            place = strip.doubled()
            x = self._input[place.tiles, place.rows]
            tiles, rows, columns, d = x.shape
            cells = x.reshape(tiles, rows // 2, 2, columns // 2, 2, d).transpose(0, 1, 3, 2, 4, 5)
            context = strip.inner(self._context.input)
            context[...] = cells.reshape(*context.shape[:3], -1) @ weights.down[:-1] + weights.down[-1]

    def _move_context(self) -> None:
        """Move the context on, and lay out the input of the detail."""
        for strip in self._context_strips:
            wide = self._context.move(strip)
            place = strip.doubled()
            inner = place.inner(self._detail.input)
            tiles, rows, columns, d = inner.shape
            cells = wide @ self._weights.up
            cells = cells.reshape(tiles, rows // 2, columns // 2, 2, 2, d).transpose(0, 1, 3, 2, 4, 5)
            np.add(self._input[place.tiles, place.rows], cells.reshape(inner.shape), out=inner)


class NumpyTiles:
    """The network at work on n tiles of one size, iteration by iteration; see `inference.TileNetwork`.

    Args:
        weights: Of the network.
        n: How many tiles.
        height: Height of the padded tiles in pixels.
        width: Width of the padded tiles in pixels.
    """

    def __init__(self, weights: NetworkWeights, n: int, height: int, width: int) -> None:
        self._weights = weights
        self._shape = (n, height // BLOCK, width // BLOCK)
        self._codes = _Codes(weights, self._shape)
        self._target = np.empty(0, np.float32)
        self._to_coefficients, self._to_pixels = transform_matrices()
        self._overlap, self._inverse_overlap = overlap_matrices()

    @np.errstate(all="ignore")
    def set_target(self, pixels: NDArray[np.uint8]) -> None:
        """Say what is to be encoded: pixels uint8 [n, height, width, 3]."""
        n, rows, columns = self._shape
        self._target = np.zeros((COEFFICIENTS, *self._shape), np.float32)
        wanted = np.union1d(self._weights.iterations[-1].visited, MEANS)  # no visit asks for others
        to_wanted = self._to_coefficients.T[wanted]
        picture = pixels.astype(np.float32)
        filter_borders(picture, self._overlap)
        blocks = picture.reshape(n, rows, BLOCK, columns, BLOCK, 3).transpose(0, 1, 3, 2, 4, 5)
        for strip in self._codes.strips:
            block = blocks[strip.tiles, strip.rows].reshape(-1, COEFFICIENTS)
            block -= 128
            strip.across(self._target)[wanted] = to_wanted @ block.T
        transform_means(self._target, back=False)

    @np.errstate(all="ignore")
    def encode(self) -> NDArray[np.uint8]:
        """Return the codes of the next iteration, uint8 [n, C, h, w]."""
        return self._codes.encode(self._target)

    @np.errstate(all="ignore")
    def decode(self, planes: NDArray[np.uint8]) -> None:
        """Take the codes of the next iteration, uint8 [n, C, h, w]."""
        self._codes.decode(planes)

    @np.errstate(all="ignore")
    def pixels(self) -> Floats:
        """Return the pictures so far, [n, height, width, 3], in 0..255 but neither clipped nor rounded."""
        n, rows, columns = self._shape
        coefficients = np.zeros((COEFFICIENTS, *self._shape), np.float32)
        if self._codes.iterations:
            _Decoder(self._weights, self._codes, self._shape).show(coefficients)
        transform_means(coefficients, back=True)
        picture = np.empty((n, rows, BLOCK, columns, BLOCK, 3), np.float32)
        for strip in self._codes.strips:
            blocks = strip.across(coefficients).T @ self._to_pixels
            blocks += 128
            place = picture[strip.tiles, strip.rows]
            place[...] = blocks.reshape(*place.shape[:2], columns, BLOCK, BLOCK, 3).transpose(0, 1, 3, 2, 4, 5)
        pixels = picture.reshape(n, rows * BLOCK, columns * BLOCK, 3)
        filter_borders(pixels, self._inverse_overlap)
        return pixels
