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

from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.block_basis import BLOCK, COEFFICIENTS
from pillow_rnc.numpy_cells import Cell, Scratch, Strip, strips
from pillow_rnc.numpy_transform import filter_borders, overlap_matrices, transform_matrices
from pillow_rnc.numpy_weights import SQUASH, Floats, NetworkWeights

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STRIP_CELLS = 512


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
        self._strips = list(strips(shape, _STRIP_CELLS))
        self._context_strips = list(strips(half, _STRIP_CELLS // 2))
        self._scratch = Scratch()
        self._context = Cell(weights.context, half, self._scratch)
        self._detail = Cell(weights.detail, shape, self._scratch)
        self._coded = np.zeros((*shape, COEFFICIENTS), np.float32)
        self._features = np.zeros((*shape, config.decoder_channels + 1), np.float32)  # over gain, summed up
        self._masking = np.ones((*shape, 1), np.float32)
        self._bits = np.ones((*shape, config.code_channels + 1), np.float32)  # and a channel of ones
        self._iteration = 0
        self._core: Cell | None = None
        self._target = self._direct = np.empty(0, np.float32)
        self._to_coefficients, self._to_pixels = transform_matrices()
        self._overlap, self._inverse_overlap = overlap_matrices()

    @np.errstate(all="ignore")
    def set_target(self, pixels: NDArray[np.uint8]) -> None:
        """Say what is to be encoded: pixels uint8 [n, height, width, 3]."""
        config, (n, rows, columns) = self._weights.config, self._shape
        self._core = Cell(self._weights.core, self._shape, self._scratch)
        self._target = np.empty((*self._shape, COEFFICIENTS), np.float32)
        self._direct = np.empty((*self._shape, config.code_channels), np.float32)
        picture = pixels.astype(np.float32)
        filter_borders(picture, self._overlap)
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

    def _update(self, strip: Strip, features: Floats, gain: Floats) -> None:
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

    def _reconstruction(self, strip: Strip) -> Floats:
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
        filter_borders(pixels, self._inverse_overlap)
        return pixels
