"""What a model costs: multiply-accumulates per pixel, and memory."""

from __future__ import annotations

from functools import singledispatch
from typing import TYPE_CHECKING

from pillow_rnc.entropy.schedule import COEFFICIENTS
from pillow_rnc.models.config import EmbeddedConfig, ModelConfig, RecurrentConfig

if TYPE_CHECKING:
    from pillow_rnc.models.config import CellName

_GATE_MAPS = {"gru": 3.0, "residual_gru": 4.0, "lstm": 4.0, "associative_lstm": 4.5}
"""Linear maps of a cell from its input, and as many from its state, in units of the cell's width."""

_LATTICE_SHARE = (0.5, 0.5, 0.25, 0.25)
"""Part of the code cells that each lattice of a pass has."""

_WIDE_STRIDE = 16
"""Pixels along each side of the code cells of the recurrent networks that hold four blocks in one."""

_LIGHT_BYTES, _PAPER_BYTES = 216, 5120
"""Memory for each pixel of a tile: all feature maps of a light network, in either runtime, and the codes that wait for
it; and of the paper's network at its published width with associative LSTM, its largest cell, while it encodes."""

_COUNTS = 96
"""Coefficients whose significance the entropy network counts."""


def _cell(config: ModelConfig, channels: int, name: CellName) -> float:
    spatial = 9 * 2 * channels if config.separable else 0
    taps = 1 if config.separable else 9
    return spatial + taps * 2 * _GATE_MAPS[name] * channels * channels


def _core(config: ModelConfig) -> float:
    """Return the cost of a step of the decoder's cells."""
    d, c = config.decoder_channels, config.context_channels
    return _cell(config, d, config.cell) + (_cell(config, c, config.cell) + 8 * d * c) / 4


@singledispatch
def _encoder(config: ModelConfig) -> float:
    """Return the cost of the encoder for a code cell and iteration, the decoder that it runs not included."""
    raise NotImplementedError(type(config).__name__)


@singledispatch
def _decoder(config: ModelConfig, iterations: int, reconstructions: int) -> float:
    """Return the cost of the decoder for a code cell, iterations and reconstructions."""
    del iterations, reconstructions
    raise NotImplementedError(type(config).__name__)


@_encoder.register
def _(config: EmbeddedConfig) -> float:
    del config  # the quantizer multiplies nothing
    return 0


@_decoder.register
def _(config: EmbeddedConfig, iterations: int, reconstructions: int) -> float:
    del iterations
    return reconstructions * (3 * COEFFICIENTS * config.decoder_channels + config.decoder_steps * _core(config))


def _paper_layer(name: CellName, inputs: int, channels: int, hidden_size: int) -> float:
    """Return the cost of a layer of the paper's network at one of its places."""
    return _GATE_MAPS[name] * channels * (9 * inputs + hidden_size**2 * channels)


def _paper_encoder(config: RecurrentConfig) -> float:
    q = config.paper_divisor
    layers = ((16, 64, 256), (4, 256, 512), (1, 512, 512))  # places in a code cell, input and output channels
    recurrent = sum(at * _paper_layer(config.encoder_cell, a // q, b // q, 1) for at, a, b in layers)
    return 64 * 27 * (64 // q) + recurrent + 512 // q * config.code_channels


def _paper_decoder(config: RecurrentConfig) -> float:
    q = config.paper_divisor
    layers = ((1, 512, 512, 1), (4, 128, 512, 1), (16, 128, 256, 3), (64, 64, 128, 3))
    recurrent = sum(at * _paper_layer(config.cell, a // q, b // q, size) for at, a, b, size in layers)
    gain = (256 * 27 * 32 + (64 + 16 + 4) * 9 * 32 * 32 + 4 * 32) / 4  # of 32x32 pixels, which are four code cells
    scaled = gain if config.framework == "residual_scaling" else 0
    return config.code_channels * (512 // q) + recurrent + 256 * 3 * (32 // q) + scaled


@_encoder.register
def _(config: RecurrentConfig) -> float:
    e, c, k = config.encoder_channels, config.context_channels, config.code_channels
    if config.network == "paper":
        return _paper_encoder(config)
    if config.code_stride == _WIDE_STRIDE:
        fine = 4 * (2 * COEFFICIENTS * e + _cell(config, e, config.encoder_cell))
        return fine + 4 * e * c + _cell(config, c, config.encoder_cell) + (c + 4 * COEFFICIENTS) * k
    return 2 * COEFFICIENTS * e + _cell(config, e, config.encoder_cell) + (e + 2 * COEFFICIENTS) * k


@_decoder.register
def _(config: RecurrentConfig, iterations: int, reconstructions: int) -> float:
    del reconstructions
    if config.network == "paper":
        return iterations * _paper_decoder(config)
    d, c, k = config.decoder_channels, config.context_channels, config.code_channels
    if config.code_stride == _WIDE_STRIDE:
        gain = d if config.framework == "residual_scaling" else 0
        fine = 4 * (2 * COEFFICIENTS * d + _cell(config, d, config.cell) + gain)
        return iterations * (k * c + _cell(config, c, config.cell) + 4 * c * d + fine + 4 * COEFFICIENTS * k)
    return iterations * (2 * k * COEFFICIENTS + k * d + _core(config) + d * COEFFICIENTS)


def _entropy(config: ModelConfig) -> float:
    """Return the cost of the entropy network in an iteration."""
    k, s, f = config.context_coded_channels, config.entropy_state_channels, config.entropy_hidden_channels
    shares = [_LATTICE_SHARE[lattice] for lattice, _, _ in config.passes]  # of the code cells, pass by pass
    network = 9 * k * 2 * s + 2 * s * s + 9 * s * f + sum(shares[1:]) * 9 * k * f + f * k
    if config.code_stride == _WIDE_STRIDE:  # such models have no accumulators
        return network
    return network + _COUNTS * k + _COUNTS * 2 * s + 2 * _COUNTS * k


def bytes_per_pixel(config: ModelConfig) -> int:
    """Return the memory that a network takes for each pixel of a tile at work, in bytes; the most that was measured.

    Args:
        config: Of the model.
    """
    if isinstance(config, RecurrentConfig) and config.network == "paper":
        return _LIGHT_BYTES + _PAPER_BYTES // config.paper_divisor
    return _LIGHT_BYTES


def macs_per_pixel(
    config: ModelConfig, iterations: int, *, reconstructions: int = 1, encoder: bool = True, decoder: bool = True
) -> float:
    """Return multiply-accumulates per pixel of a network, the entropy network included.

    Counts convolutions and 1x1 maps; the transform and element-wise work are left out.

    Args:
        config: Of the model.
        iterations: How many are coded.
        reconstructions: How often the image is reconstructed; matters in the embedded family only.
        encoder: Count the encoder.
        decoder: Count the decoder.
    """
    macs = iterations * _entropy(config)
    if encoder:
        macs += iterations * _encoder(config)
    if decoder:
        macs += _decoder(config, iterations, reconstructions)
    return macs / config.code_stride**2
