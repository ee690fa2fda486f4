"""The choices that fix a model's shapes and arithmetic; stored in its weights file.

This module knows neither torch nor numpy, so that a file's model can be looked up before either is loaded.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from pillow_rnc.errors import WeightsError

CellName = Literal["gru", "residual_gru", "lstm", "associative_lstm"]
Framework = Literal["one_shot", "additive", "residual_scaling", "embedded"]
Passes = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Shapes and variants of one model.

    Attributes:
        cell: The recurrent cell of encoder and decoder.
        framework: How the iterations add up to the reconstruction.
        iterations: The most iterations that the model can code.
        code_channels: Bits of each code cell and iteration.
        code_stride: Pixels along each side of a code cell.
        encoder_channels: Width of the encoder's layer at 1/8 of the resolution, in frameworks that have one.
        decoder_channels: Width of the decoder's layer at 1/8 of the resolution.
        context_channels: Width of the decoder's layer at 1/16 of the resolution.
        decoder_steps: Steps of the decoder's cells for a look at the codes, in the embedded framework.
        separable: Depthwise and 1x1 convolutions in the cells instead of full ones.
        entropy_state_channels: Width of the entropy network's state.
        entropy_hidden_channels: Width of its hidden layer.
        passes: (lattice, first channel, stop channel) of each pass of an iteration, in coding order.
    """

    cell: CellName = "gru"
    framework: Framework = "embedded"
    iterations: int = 16
    code_channels: int = 64
    code_stride: int = 8
    encoder_channels: int = 96
    decoder_channels: int = 96
    context_channels: int = 96
    decoder_steps: int = 2
    separable: bool = True
    entropy_state_channels: int = 32
    entropy_hidden_channels: int = 48
    passes: Passes = ((2, 0, 32), (3, 0, 32), (1, 0, 32))

    @property
    def modelled_channels(self) -> int:
        """M, the channels that the entropy network models; in the embedded framework all others are signs."""
        return max(stop for _, _, stop in self.passes)

    def to_json(self) -> str:
        """Return the text that a weights file holds."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """Return the configuration of a weights file.

        Raises:
            WeightsError: The text is no JSON object, a key is unknown, or a value has the wrong type.
        """
        try:
            table = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            msg = f"model configuration is no JSON: {error}"
            raise WeightsError(msg) from error
        if not isinstance(table, dict):
            msg = f"model configuration is a {type(table).__name__}, must be an object"
            raise WeightsError(msg)
        return cls.from_mapping(table)

    @classmethod
    def from_mapping(cls, table: dict[str, Any]) -> ModelConfig:
        """Return the configuration with the given values, defaults elsewhere.

        Raises:
            WeightsError: A key is unknown, or a value has the wrong type.
        """
        defaults = {f.name: f.default for f in fields(cls)}
        values = dict(table)
        for name, value in table.items():
            if name not in defaults:
                msg = f"model configuration: unknown key {name!r}, known are {sorted(defaults)}"
                raise WeightsError(msg)
            if name == "passes":
                values[name] = _passes(value)
            elif type(value) is not type(defaults[name]) or (type(value) is int and not 1 <= value <= _MAX_VALUE):
                msg = f"model configuration: {name} is {value!r}, must be like {defaults[name]!r}"
                raise WeightsError(msg)
        for name, allowed in _CHOICES.items():
            if values.get(name, defaults[name]) not in allowed:
                msg = f"model configuration: {name} is {values[name]!r}, allowed are {allowed}"
                raise WeightsError(msg)
        return cls(**values)


_MAX_VALUE = 4096
_MAX_PASSES = 64
_PASS_FIELDS = 3
_CHOICES: dict[str, tuple[object, ...]] = {
    "cell": get_args(CellName),
    "framework": get_args(Framework),
    "iterations": tuple(range(1, 16 + 1)),
    "decoder_steps": tuple(range(1, 16 + 1)),
    "code_stride": (8,),  # the network works on blocks of 8x8
}


def _passes(value: object) -> Passes:
    rows = [tuple(row) for row in value if isinstance(row, list | tuple)] if isinstance(value, list | tuple) else []
    sound = len(rows) <= _MAX_PASSES and all(
        len(row) == _PASS_FIELDS and all(type(field) is int and 0 <= field <= _MAX_VALUE for field in row)
        for row in rows
    )
    if not isinstance(value, list | tuple) or not rows or len(rows) != len(value) or not sound:
        msg = f"model configuration: passes is {value!r}, must be a list of [lattice, first, stop]"
        raise WeightsError(msg)
    return tuple((row[0], row[1], row[2]) for row in rows)
