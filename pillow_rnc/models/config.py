"""The choices that fix a model's shapes and arithmetic; stored in its weights file.

There is one class for each codec family. This module imports neither torch nor numpy, so that a file's model can be
looked up before either is loaded.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, Literal, get_args

from pillow_rnc.container.records import MAX_CODE_CHANNELS, MAX_ITERATIONS
from pillow_rnc.errors import WeightsError

CellName = Literal["gru", "residual_gru", "lstm", "associative_lstm"]
Framework = Literal["one_shot", "additive", "residual_scaling"]
NetworkName = Literal["light", "paper"]
Passes = tuple[tuple[int, int, int], ...]

_LATTICES = (2, 3, 1)  # in coding order
_MAX_VALUE = 4096
_MAX_PASSES = 64
_PASS_FIELDS = 3
_LISTED = 32
"""Allowed values that a message lists; of more it gives the first and the last."""


def lattice_passes(channels: int, groups: int = 1) -> Passes:
    """Return passes over the three lattices for groups of channels, one group after the other."""
    size = channels // groups
    return tuple((lattice, g * size, (g + 1) * size) for g in range(groups) for lattice in _LATTICES)


_MAGNITUDE_PASSES, _DENSE_PASSES = lattice_passes(32), lattice_passes(32, groups=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelConfig:
    """What the models of both families have in common: the recurrent decoder and the entropy network.

    Attributes:
        family: Name of the codec family, as weights files hold it.
        learns_codes: Whether training may change which codes an image has.
        encoder_runs_decoder: Whether the encoder needs each reconstruction to code the next iteration.
        iterations: The most iterations that the model can code.
        code_channels: Bits of each code cell and iteration.
        code_stride: Pixels along each side of a code cell.
        cell: The recurrent cell.
        decoder_channels: Width of the decoder's layer at 1/8 of the resolution.
        context_channels: Width of the decoder's layer at 1/16 of the resolution.
        separable: Depthwise and 1x1 convolutions in the cells instead of full ones.
        entropy_state_channels: Width of the entropy network's state.
        entropy_hidden_channels: Width of its hidden layer.
        passes: (lattice, first channel, stop channel) of each pass of an iteration, in coding order.
    """

    family: ClassVar[str]
    learns_codes: ClassVar[bool]
    encoder_runs_decoder: ClassVar[bool]
    choices: ClassVar[dict[str, tuple[object, ...]]]
    """Allowed values of the fields that have few."""

    iterations: int = 16
    code_channels: int = 64
    code_stride: int = 8
    cell: CellName = "gru"
    decoder_channels: int = 96
    context_channels: int = 96
    separable: bool = True
    entropy_state_channels: int = 32
    entropy_hidden_channels: int = 48
    passes: Passes = _MAGNITUDE_PASSES

    @property
    def context_coded_channels(self) -> int:
        """M, the channels whose bits the entropy network predicts; the others are bypass-coded."""
        raise NotImplementedError

    def as_dict(self) -> dict[str, Any]:
        """Return the family and all fields as plain values."""
        return {"family": self.family, **asdict(self)}

    def to_json(self) -> str:
        """Return the text that a weights file holds."""
        return json.dumps(self.as_dict(), sort_keys=True)


_ITERATIONS = tuple(range(1, MAX_ITERATIONS + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedConfig(ModelConfig):
    """A model whose codes are those of an embedded quantizer; only decoder and entropy network are learned.

    Attributes:
        decoder_steps: Steps of the decoder's cells for one reconstruction.
    """

    family = "embedded"
    learns_codes = False
    encoder_runs_decoder = False
    choices: ClassVar = {
        "iterations": _ITERATIONS,
        "cell": ("gru",),
        "code_channels": tuple(range(2, MAX_CODE_CHANNELS, 2)),
        "code_stride": (8,),
        "decoder_steps": tuple(range(1, 16 + 1)),
    }

    decoder_steps: int = 2

    @property
    def context_coded_channels(self) -> int:
        """M: magnitudes are context-coded, signs are not."""
        return self.code_channels // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class RecurrentConfig(ModelConfig):
    """A model whose encoder is learned, as in Toderici et al. 2017.

    Attributes:
        framework: How the iterations add up to the reconstruction.
        network: The light network, on coefficients, or the paper's own, on pixels.
        encoder_channels: Width of the encoder's layer at 1/8 of the resolution in the light network.
        paper_divisor: What the published widths are divided by in the paper's network; codes keep their 32 bits.
    """

    family = "recurrent"
    learns_codes = True
    encoder_runs_decoder = True
    choices: ClassVar = {
        "iterations": _ITERATIONS,
        "cell": get_args(CellName),
        "code_channels": tuple(range(1, MAX_CODE_CHANNELS + 1)),
        "code_stride": (8, 16),
        "framework": get_args(Framework),
        "network": get_args(NetworkName),
        "paper_divisor": (1, 2, 4, 8, 16),
    }

    choices_of_network: ClassVar[dict[str, dict[str, tuple[object, ...]]]] = {
        "light": {"paper_divisor": (1,)},
        "paper": {"code_channels": (32,), "code_stride": (16,)},
    }
    """What each network allows of the values in `choices`."""

    code_channels: int = 32
    code_stride: int = 16
    context_channels: int = 192
    passes: Passes = _DENSE_PASSES
    framework: Framework = "residual_scaling"
    network: NetworkName = "light"
    encoder_channels: int = 96
    paper_divisor: int = 1

    @property
    def encoder_cell(self) -> CellName:
        """The cell of the encoder: as published, only decoders have associative memory."""
        return "lstm" if self.cell == "associative_lstm" else self.cell

    @property
    def context_coded_channels(self) -> int:
        """M: all bits are context-coded."""
        return self.code_channels


_FAMILIES: dict[str, type[EmbeddedConfig | RecurrentConfig]] = {
    config.family: config for config in (EmbeddedConfig, RecurrentConfig)
}
DEFAULT_FAMILY = EmbeddedConfig.family


def config_from_json(text: str) -> ModelConfig:
    """Return the configuration that a weights file holds.

    Raises:
        WeightsError: The text is not a JSON object, a key is missing or unknown, or a value is not allowed.
    """
    try:
        table = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise WeightsError(f"model configuration is not valid JSON: {error}") from error
    if not isinstance(table, dict):
        raise WeightsError(f"model configuration is a {type(table).__name__}, must be an object")
    if "family" not in table:
        raise WeightsError(f"model configuration: family is missing, allowed are {tuple(_FAMILIES)}")
    config = config_from_mapping(table)
    missing = sorted(config.as_dict().keys() - table.keys())
    if missing:
        raise WeightsError(f"model configuration: {', '.join(missing)} missing")
    return config


def config_from_mapping(table: dict[str, Any]) -> ModelConfig:
    """Return the configuration with the given values and defaults elsewhere; the default family is "embedded".

    Raises:
        WeightsError: The family or a key is unknown, a value has the wrong type or is not allowed.
    """
    values = dict(table)
    name = values.pop("family", DEFAULT_FAMILY)
    family = _FAMILIES.get(name) if isinstance(name, str) else None
    if family is None:
        raise WeightsError(f"model configuration: family is {name!r}, allowed are {tuple(_FAMILIES)}")
    defaults = {field.name: field.default for field in fields(family)}
    for key, value in values.items():
        if key not in defaults:
            raise WeightsError(f"model configuration: unknown key {key!r}, known are {sorted(defaults)}")
        if key == "passes":
            values[key] = _passes(value)
        elif type(value) is not type(defaults[key]) or (type(value) is int and not 1 <= value <= _MAX_VALUE):
            raise WeightsError(f"model configuration: {key} is {value!r}, must be like {defaults[key]!r}")
    config = family(**values)
    _check_choices(config, family.choices)
    if isinstance(config, RecurrentConfig):
        _check_choices(config, config.choices_of_network[config.network])
    return config


def _check_choices(config: ModelConfig, choices: dict[str, tuple[object, ...]]) -> None:
    for key, allowed in choices.items():
        value = getattr(config, key)
        if value not in allowed:
            listed = allowed if len(allowed) <= _LISTED else f"{allowed[0]}, {allowed[1]} to {allowed[-1]}"
            raise WeightsError(f"model configuration: {key} is {value!r}, allowed are {listed}")


def _passes(value: object) -> Passes:
    rows = [tuple(row) for row in value if isinstance(row, list | tuple)] if isinstance(value, list | tuple) else []
    valid = len(rows) <= _MAX_PASSES and all(
        len(row) == _PASS_FIELDS and all(type(field) is int and 0 <= field <= _MAX_VALUE for field in row)
        for row in rows
    )
    if not isinstance(value, list | tuple) or not rows or len(rows) != len(value) or not valid:
        raise WeightsError(f"model configuration: passes is {value!r}, must be a list of [lattice, first, stop]")
    return tuple((row[0], row[1], row[2]) for row in rows)
