"""The light network with code cells of 16x16 pixels and GRU cells in NumPy, at work on tiles.

Maps are float32 with the channel last, [n, rows, columns, channels] for n tiles of one size. Work goes strip by strip,
so that it stays in the second-level cache. Beyond what `numpy_operands` folds, the scale at which recurrent parts see
coefficients and the deviations of the transform are in the weights around them.

Source: `light_network` and `layers.cells`; tests compare this module with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeGuard

import numpy as np

from pillow_rnc.entropy.schedule import COEFFICIENTS
from pillow_rnc.models.basis import BLOCK
from pillow_rnc.models.config import RecurrentConfig
from pillow_rnc.models.numpy_cells import NumpyCell, Scratch, Strip, strips
from pillow_rnc.models.numpy_operands import CellWeights, TensorReader, operand
from pillow_rnc.models.numpy_transform import filter_borders, overlap_matrices, pixel_matrices
from pillow_rnc.models.recurrent.light_constants import GAIN_REACH, INPUT_UNIT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.models.config import ModelConfig
    from pillow_rnc.models.numpy_operands import Floats
    from pillow_rnc.models.weights import Weights

_STRIP_CELLS = 128  # of code cells: 512 of the blocks of 8x8
_INPUT_UNIT, _GAIN_REACH = np.float32(INPUT_UNIT), np.float32(GAIN_REACH)


def can_run_light(config: ModelConfig) -> TypeGuard[RecurrentConfig]:
    """Return whether the NumPy runtime can run a model: a light network on 16x16 pixels with separable GRU cells."""
    return (
        isinstance(config, RecurrentConfig)
        and config.network == "light"
        and config.code_stride == 2 * BLOCK
        and config.cell == "gru"
        and config.separable
    )


class LightIteration(NamedTuple):
    """What belongs to one iteration alone. e, d channels at 1/8, c at 1/16, k bits.

    Attributes:
        gain: Of the iteration.
        head: float32 [c + 1, k], of the encoder's features and one.
        encoder_direct: float32 [768, k].
        input: float32 [k + 1, c], of the bits and one.
        decoder_direct: float32 [k, 768].
    """

    gain: np.float32
    head: Floats
    encoder_direct: Floats
    input: Floats
    decoder_direct: Floats


class LightOperands:
    """A whole network.

    Args:
        weights: The model.
        config: Its configuration.

    Raises:
        WeightsError: The tensors do not fit the model's configuration.
    """

    @np.errstate(all="ignore")
    def __init__(self, weights: Weights, config: RecurrentConfig) -> None:
        reader = TensorReader(weights)
        e, d, c = config.encoder_channels, config.decoder_channels, config.context_channels
        self.config = config
        deviation = reader.take("transform.deviation", COEFFICIENTS)
        scale = np.sqrt(deviation / _INPUT_UNIT)
        stem = reader.take("encoder.stem.weight", e, 2 * COEFFICIENTS) * np.tile(scale, 2)
        self.encoder_stem = operand(stem, reader.take("encoder.stem.bias", e))
        self.encoder_detail = CellWeights(reader, "encoder.detail", e)
        self.down = operand(reader.take("encoder.down.weight", c, 4 * e), reader.take("encoder.down.bias", c))
        self.encoder_context = CellWeights(reader, "encoder.context", c)
        self.decoder_context = CellWeights(reader, "decoder.context", c)
        self.up = operand(reader.take("decoder.up.weight", 4 * d, c), reader.take("decoder.up.bias", 4 * d))
        self.decoder_stem = operand(reader.take("decoder.stem.weight", d, COEFFICIENTS) * scale)
        self.decoder_detail = CellWeights(reader, "decoder.detail", d)
        output = reader.take("decoder.output.weight", COEFFICIENTS, d)
        self.output = operand(output, reader.take("decoder.output.bias", COEFFICIENTS))
        self.gain: Floats | None = None  # [d + 1, 1], of the decoder's features and one
        if config.framework == "residual_scaling":
            self.gain = operand(reader.take("gain.weight", 1, d), reader.take("gain.bias", 1))
        self.iterations = _iterations(reader, config, np.tile(scale, 4))
        reader.finish()
        there, back = pixel_matrices()
        self.to_coefficients = (there / deviation).astype(np.float32)
        self.to_pixels = (back * deviation[:, None]).astype(np.float32)


def _iterations(reader: TensorReader, config: RecurrentConfig, scale: Floats) -> list[LightIteration]:
    """Return what belongs to each iteration; ``scale`` [768] is that of the coefficients of a 16x16 block."""
    t, k, c = config.iterations, config.code_channels, config.context_channels
    gains = np.exp(reader.take("log_gain", t))
    head, head_bias = reader.take("encoder.head", t, k, c), reader.take("encoder.bias", t, k)
    to_bits = reader.take("encoder.direct", t, k, 4 * COEFFICIENTS) * scale
    inputs, input_bias = reader.take("decoder.input", t, c, k), reader.take("decoder.bias", t, c)
    from_bits = reader.take("decoder.direct", t, 4 * COEFFICIENTS, k)
    return [
        LightIteration(
            gains[i], operand(head[i], head_bias[i]), operand(to_bits[i]), operand(inputs[i], input_bias[i]),
            operand(from_bits[i]),
        )
        for i in range(t)
    ]  # fmt: skip


def _folded(x: Floats) -> Floats:
    """Return maps [n, rows, columns, c] as blocks of 2x2 cells, [cells, 4 c]."""
    n, rows, columns, c = x.shape
    return x.reshape(n, rows // 2, 2, columns // 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(-1, 4 * c)


def _unfolded(cells: Floats, like: Floats) -> Floats:
    """Return blocks of 2x2 cells [cells, 4 c] as maps of the shape of another, [n, rows, columns, c]."""
    n, rows, columns, c = like.shape
    return cells.reshape(n, rows // 2, columns // 2, 2, 2, c).transpose(0, 1, 3, 2, 4, 5).reshape(n, rows, columns, c)


def _rows_of(array: Floats, place: Strip) -> Floats:
    """Return some rows of a map, [n, rows, columns, c], as a view."""
    return array[place.tiles, place.rows]


class LightTiles:
    """The codec at work on n tiles of one size, iteration by iteration; see `runtime.TileNetwork`.

    Args:
        operands: Of the network.
        n: How many tiles.
        height: Height of the padded tiles in pixels, a multiple of 16.
        width: Width of the padded tiles in pixels, a multiple of 16.
    """

    def __init__(self, operands: LightOperands, n: int, height: int, width: int) -> None:
        self._operands = operands
        shape, half = (n, height // BLOCK, width // BLOCK), (n, height // BLOCK // 2, width // BLOCK // 2)
        self._shape, self._half, self._strips = shape, half, list(strips(half, _STRIP_CELLS))
        scratch = self._scratch = Scratch()
        self._context = NumpyCell(operands.decoder_context, half, scratch)
        self._detail = NumpyCell(operands.decoder_detail, shape, scratch)
        self._encoder: tuple[NumpyCell, NumpyCell] | None = None
        self._target = np.empty(0, np.float32)
        self._built = np.zeros((*shape, COEFFICIENTS), np.float32)
        self._factor = np.ones(half, np.float32)  # of the gain in each code cell
        self._iterations = 0
        self._overlap, self._inverse_overlap = overlap_matrices()

    @np.errstate(all="ignore")
    def set_target(self, pixels: NDArray[np.uint8]) -> None:
        """Set what is to be encoded: pixels uint8 [n, height, width, 3]."""
        n, rows, columns = self._shape
        image = pixels.astype(np.float32, order="C")
        filter_borders(image, self._overlap)
        blocks = image.reshape(n, rows, BLOCK, columns, BLOCK, 3).transpose(0, 1, 3, 2, 4, 5)
        blocks = blocks.reshape(n, rows, columns, COEFFICIENTS) - np.float32(128)
        self._target = blocks @ self._operands.to_coefficients
        self._encoder = (
            NumpyCell(self._operands.encoder_detail, self._shape, self._scratch),
            NumpyCell(self._operands.encoder_context, self._half, self._scratch),
        )

    @np.errstate(all="ignore")
    def encode(self) -> NDArray[np.uint8]:
        """Return the codes of the next iteration, uint8 [n, k, h, w], and take them."""
        assert self._encoder is not None
        operands, own, (detail, context) = self._operands, self._operands.iterations[self._iterations], self._encoder
        residual = self._target - self._built
        residual *= self._gains(own)[..., None]
        for strip in self._strips:
            place = strip.doubled()
            seen = np.concatenate([_rows_of(residual, place), _rows_of(self._built, place)], -1)
            place.inner(detail.input)[...] = seen @ operands.encoder_stem[:-1] + operands.encoder_stem[-1]
        for strip in self._strips:
            place = strip.doubled()
            inner = place.inner(detail.input)
            fine = detail.step(place)[:, :-1].reshape(inner.shape)
            cells = strip.inner(context.input)
            cells[...] = (_folded(fine) @ operands.down[:-1] + operands.down[-1]).reshape(cells.shape)
        planes = np.empty((*self._half, self._operands.config.code_channels), np.uint8)
        for strip in self._strips:
            a = context.step(strip) @ own.head
            a += _folded(_rows_of(residual, strip.doubled())) @ own.encoder_direct
            planes[strip.tiles, strip.rows] = (a >= 0).reshape(planes[strip.tiles, strip.rows].shape)
        detail.advance()
        context.advance()
        codes = np.ascontiguousarray(planes.transpose(0, 3, 1, 2))
        self.decode(codes)
        return codes

    @np.errstate(all="ignore")
    def decode(self, planes: NDArray[np.uint8]) -> None:
        """Take the codes of the next iteration, uint8 [n, k, h, w]."""
        operands, own = self._operands, self._operands.iterations[self._iterations]
        bits = planes.transpose(0, 2, 3, 1).astype(np.float32) * 2 - 1
        for strip in self._strips:
            inner = strip.inner(self._context.input)
            inner[...] = _rows_of(bits, strip) @ own.input[:-1] + own.input[-1]
        for strip in self._strips:
            inner = strip.doubled().inner(self._detail.input)
            cells = self._context.step(strip) @ operands.up
            np.add(_unfolded(cells, inner), _rows_of(self._built, strip.doubled()) @ operands.decoder_stem, out=inner)
        gains = self._gains(own)
        if operands.config.framework == "one_shot":
            gains = np.ones_like(gains)
            self._built[...] = 0
        for strip in self._strips:
            place = strip.doubled()
            built = _rows_of(self._built, place)
            features = self._detail.step(place)
            update = (features @ operands.output).reshape(built.shape)
            update += _unfolded(strip.of(bits) @ own.decoder_direct, built)
            update /= _rows_of(gains, place)[..., None]
            built += update
            if operands.gain is not None:
                tiles, rows, columns, _ = built.shape
                activation = (features @ operands.gain).reshape(tiles, rows // 2, 2, columns // 2, 2)
                mean: Floats = activation.mean((2, 4))
                self._factor[strip.tiles, strip.rows] = np.exp(_GAIN_REACH * np.tanh(mean))
        self._context.advance()
        self._detail.advance()
        self._iterations += 1

    def _gains(self, own: LightIteration) -> Floats:
        """Return the gain of the next iteration for each block of 8x8, [n, rows, columns]."""
        return np.repeat(np.repeat(own.gain * self._factor, 2, 1), 2, 2)

    @np.errstate(all="ignore")
    def pixels(self) -> Floats:
        """Return the images so far, [n, height, width, 3], in 0..255 but neither clipped nor rounded."""
        n, rows, columns = self._shape
        blocks = self._built @ self._operands.to_pixels + np.float32(128)
        image = blocks.reshape(n, rows, columns, BLOCK, BLOCK, 3).transpose(0, 1, 3, 2, 4, 5)
        pixels = np.ascontiguousarray(image).reshape(n, rows * BLOCK, columns * BLOCK, 3)
        filter_borders(pixels, self._inverse_overlap)
        return pixels
