"""What a model costs: multiply-accumulates for each pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillow_rnc.entropy.schedule import COEFFICIENTS

if TYPE_CHECKING:
    from pillow_rnc.models.config import CellName, ModelConfig

_GATE_MAPS = {"gru": 3.0, "residual_gru": 4.0, "lstm": 4.0, "associative_lstm": 4.5}
"""Linear maps of a cell from its input, and as many from its state, in units of the cell's width."""

_LATTICE_SHARE = (0.5, 0.5, 0.25, 0.25)
"""Part of the cells that each lattice of a pass has."""

_TALLIES = 96


def _cell(config: ModelConfig, channels: int, name: CellName) -> float:
    spatial = 9 * 2 * channels if config.separable else 0
    taps = 1 if config.separable else 9
    return spatial + taps * 2 * _GATE_MAPS[name] * channels * channels


def _encoder(config: ModelConfig) -> float:
    """Return the cost of the encoder in an iteration, for a cell of the codes."""
    if config.framework == "embedded":  # the quantiser multiplies nothing
        return 0
    e, k = config.encoder_channels, config.code_channels
    cell = _cell(config, e, "lstm" if config.cell == "associative_lstm" else config.cell)
    return 2 * COEFFICIENTS * e + cell + (e + 2 * COEFFICIENTS) * k


def _step(config: ModelConfig) -> float:
    """Return the cost of a step of the decoder's cells."""
    d, c = config.decoder_channels, config.context_channels
    return _cell(config, d, config.cell) + (_cell(config, c, config.cell) + 8 * d * c) / 4


def _decoder(config: ModelConfig, iterations: int, looks: int) -> float:
    d, k = config.decoder_channels, config.code_channels
    if config.framework == "embedded":
        return looks * (3 * COEFFICIENTS * d + config.decoder_steps * _step(config))
    return iterations * (2 * k * COEFFICIENTS + k * d + _step(config) + d * COEFFICIENTS)


def _entropy(config: ModelConfig) -> float:
    """Return the cost of the entropy network in an iteration."""
    k, s, f = config.modelled_channels, config.entropy_state_channels, config.entropy_hidden_channels
    shares = [_LATTICE_SHARE[lattice] for lattice, _, _ in config.passes]  # of the cells, pass by pass
    network = 9 * k * 2 * s + 2 * s * s + 9 * s * f + sum(shares[1:]) * 9 * k * f + f * k
    return network + _TALLIES * k + _TALLIES * 2 * s + 2 * _TALLIES * k


def macs_per_pixel(
    config: ModelConfig, iterations: int, *, looks: int = 1, encoder: bool = True, decoder: bool = True
) -> float:
    """Return multiply-accumulates per pixel, the entropy network included.

    Counts convolutions and 1x1 maps; the transform and element-wise work are left out.

    Args:
        config: Of the model.
        iterations: How many are coded.
        looks: How often the picture is shown meanwhile; of use in the embedded framework.
        encoder: Count the encoder.
        decoder: Count the decoder.
    """
    macs = iterations * _entropy(config)
    if encoder:
        macs += iterations * _encoder(config)
    if decoder:
        macs += _decoder(config, iterations, looks)
    return macs / config.code_stride**2
