"""The embedded network at work on tiles in NumPy: the same images as `network` in torch.

Maps are float32 with the channel last, [n, rows, columns, channels] for n tiles of one size; those that a 3x3
convolution reads have a cell of zeros on every side. Maps of coefficients have the channel first, as the quantizer
wants them. Work proceeds strip by strip, so that it stays in the second-level cache. The decoder runs only when an
image is requested.

Why NumPy: it takes less time than torch on one core, because it does less. Nearly all arithmetic is matrix products,
for which NumPy's kernels are as good; its depthwise convolutions are four times slower, a tenth of the whole. It is
imported in a tenth of a second where torch takes more than one, and needs no further library.

Source: `network`, `layers.cells` and `layers.activations`; tests compare this module with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.entropy.schedule import COEFFICIENTS, MEANS, union
from pillow_rnc.models.basis import BLOCK, coefficient_weights
from pillow_rnc.models.embedded.numpy_masking import step_scale
from pillow_rnc.models.embedded.numpy_quantizer import IntervalMaps
from pillow_rnc.models.embedded.numpy_target import coefficients
from pillow_rnc.models.limits import MAX_HALF_WIDTH, SOFTSIGN_LIMIT
from pillow_rnc.models.numpy_cells import NumpyCell, Scratch, Strip, strips
from pillow_rnc.models.numpy_transform import filter_borders, overlap_matrices, pixel_matrices, transform_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.models.embedded.numpy_weights import NetworkWeights
    from pillow_rnc.models.numpy_operands import Floats

_STRIP_CELLS = 512


class Codes:
    """The state after the codes of n tiles so far: intervals of coefficients, and the masking derived from them.

    Args:
        weights: Of the network.
        shape: n, rows, columns.
    """

    def __init__(self, weights: NetworkWeights, shape: tuple[int, int, int]) -> None:
        self._weights, self._shape = weights, shape
        self.intervals = IntervalMaps(shape)
        self.step_scale = np.ones(shape, np.float32)  # factor of the steps by masking
        self.strips = list(strips(shape, _STRIP_CELLS))
        self.iterations = 0

    def encode(self, target: Floats) -> NDArray[np.uint8]:
        """Return the codes of the next iteration, uint8 [n, C, h, w], of coefficients [192, n, h, w]."""
        schedule = self._weights.iterations[self.iterations].schedule
        codes = np.empty((self._weights.config.code_channels, self.step_scale.size), np.uint8)
        self.intervals.encode(schedule, self.step_scale.reshape(-1), target.reshape(COEFFICIENTS, -1), codes)
        self._refine(codes)
        return np.ascontiguousarray(codes.reshape(-1, *self._shape).swapaxes(0, 1))

    def decode(self, planes: NDArray[np.uint8]) -> None:
        """Take the codes of the next iteration, uint8 [n, C, h, w]."""
        self._refine(planes.swapaxes(0, 1).reshape(planes.shape[1], -1))

    def _refine(self, codes: NDArray[np.uint8]) -> None:
        self.intervals.refine(self._weights.iterations[self.iterations].schedule, self.step_scale.reshape(-1), codes)
        self._mask()
        self.iterations += 1

    def _mask(self) -> None:
        """Update the factor of the steps; see `layers.masking`."""
        weights, own = self._weights, self._weights.iterations[self.iterations]
        floor, exponent = weights.masking_floor, weights.masking_exponent
        self.step_scale[...] = step_scale(self.intervals.midpoint, own.scheduled, floor, exponent)

    def gain(self, strip: Strip, gain: float) -> Floats:
        """Return one over the steps in a strip, [cells]."""
        masked: Floats = np.float32(gain) / self.step_scale[strip.tiles, strip.rows].reshape(-1)
        return masked


class _Decoder:
    """The recurrent decoder on n tiles: one reconstruction from the intervals; see `interval_decoder`.

    Most coefficients were in no iteration yet: they are zero, with the largest half width.

    Args:
        weights: Of the network.
        codes: The intervals and their masking.
        shape: n, rows, columns.
    """

    def __init__(self, weights: NetworkWeights, codes: Codes, shape: tuple[int, int, int]) -> None:
        self._weights, self._codes = weights, codes
        self._own = own = weights.iterations[codes.iterations - 1]
        self._projection = weights.projection[np.concatenate([own.scheduled, COEFFICIENTS + own.scheduled])]
        half = (shape[0], shape[1] // 2, shape[2] // 2)
        self._context_strips = list(strips(half, _STRIP_CELLS // 2))
        self._scratch = Scratch()
        self._context = NumpyCell(weights.context, half, self._scratch)
        self._detail = NumpyCell(weights.detail, shape, self._scratch)
        self._input = np.empty((*shape, weights.config.decoder_channels), np.float32)

    def reconstruct(self, coefficients: Floats) -> None:
        """Write the reconstructed coefficients, [192, n, rows, columns]."""
        self._project()
        for step in range(self._weights.config.decoder_steps):
            if step:
                self._context.advance()
                self._detail.advance()
            self._step_context()
            if step + 1 < self._weights.config.decoder_steps:
                for strip in self._codes.strips:
                    self._detail.step(strip)
        for strip in self._codes.strips:
            features = self._detail.step(strip)
            inside = np.matmul(self._weights.output.T, features.T, out=strip.across(coefficients))
            scheduled, gain = self._own.scheduled, self._codes.gain(strip, self._own.gain)
            midpoint, known = strip.across(self._codes.intervals.midpoint)[scheduled], inside[scheduled]
            known += np.sign(midpoint) * self._own.shift[scheduled, None]
            known *= self._widths(strip, gain, self._scratch("widths", *midpoint.shape))
            known /= gain
            known += midpoint
            inside *= MAX_HALF_WIDTH / gain
            inside[scheduled] = known

    def _widths(self, strip: Strip, gain: Floats, out: Floats) -> Floats:
        """Write half widths of intervals of scheduled coefficients in steps, [V, cells], and return them."""
        widths = np.abs(strip.across(self._codes.intervals.half_width)[self._own.scheduled], out=out)
        widths *= gain
        return np.minimum(widths, MAX_HALF_WIDTH, out=widths)

    def _project(self) -> None:
        """Write the input of both cells."""
        weights, codes, scheduled = self._weights, self._codes, self._own.scheduled
        for strip in codes.strips:
            midpoint, gain = strip.across(codes.intervals.midpoint)[scheduled], codes.gain(strip, self._own.gain)
            both = self._scratch("both", 2 * len(scheduled), midpoint.shape[1])
            seen = np.multiply(midpoint, gain, out=both[: len(scheduled)])
            denominator = np.abs(seen, out=self._scratch("denominator", *midpoint.shape))
            denominator += SOFTSIGN_LIMIT
            seen /= denominator
            self._widths(strip, gain, both[len(scheduled) :])
            np.matmul(both.T, self._projection, out=strip.of(self._input))
        self._input += self._own.bias
        for strip in self._context_strips:
            place = strip.doubled()
            x = self._input[place.tiles, place.rows]
            tiles, rows, columns, d = x.shape
            cells = x.reshape(tiles, rows // 2, 2, columns // 2, 2, d).transpose(0, 1, 3, 2, 4, 5)
            context = strip.inner(self._context.input)
            context[...] = cells.reshape(*context.shape[:3], -1) @ weights.down[:-1] + weights.down[-1]

    def _step_context(self) -> None:
        """Step the context, and write the input of the detail."""
        for strip in self._context_strips:
            wide = self._context.step(strip)
            place = strip.doubled()
            inner = place.inner(self._detail.input)
            tiles, rows, columns, d = inner.shape
            cells = wide @ self._weights.up
            cells = cells.reshape(tiles, rows // 2, columns // 2, 2, 2, d).transpose(0, 1, 3, 2, 4, 5)
            np.add(self._input[place.tiles, place.rows], cells.reshape(inner.shape), out=inner)


class NumpyTiles:
    """The network at work on n tiles of one size, iteration by iteration; see `runtime.TileNetwork`.

    Args:
        weights: Of the network.
        n: How many tiles.
        height: Height of the padded tiles in pixels.
        width: Width of the padded tiles in pixels.
    """

    def __init__(self, weights: NetworkWeights, n: int, height: int, width: int) -> None:
        self._weights = weights
        self._shape = (n, height // BLOCK, width // BLOCK)
        self._codes = Codes(weights, self._shape)
        self._target = np.empty(0, np.float32)
        self._to_pixels = (pixel_matrices()[1] / coefficient_weights()[:, None]).astype(np.float32)
        _, self._inverse_overlap = overlap_matrices()

    @np.errstate(all="ignore")
    def set_target(self, pixels: NDArray[np.uint8]) -> None:
        """Set what is to be encoded: pixels uint8 [n, height, width, 3]."""
        wanted = union(self._weights.iterations[-1].scheduled, MEANS)  # no iteration codes others
        self._target = coefficients(pixels, wanted)

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
        """Return the images so far, [n, height, width, 3], in 0..255 but neither clipped nor rounded."""
        n, rows, columns = self._shape
        coefficients = np.zeros((COEFFICIENTS, *self._shape), np.float32)
        if self._codes.iterations:
            _Decoder(self._weights, self._codes, self._shape).reconstruct(coefficients)
        transform_means(coefficients, back=True)
        image = np.empty((n, rows, BLOCK, columns, BLOCK, 3), np.float32)
        for strip in self._codes.strips:
            blocks = strip.across(coefficients).T @ self._to_pixels
            blocks += 128
            place = image[strip.tiles, strip.rows]
            place[...] = blocks.reshape(*place.shape[:2], columns, BLOCK, BLOCK, 3).transpose(0, 1, 3, 2, 4, 5)
        pixels = image.reshape(n, rows * BLOCK, columns * BLOCK, 3)
        filter_borders(pixels, self._inverse_overlap)
        return pixels
