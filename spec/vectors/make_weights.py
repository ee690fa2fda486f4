"""The two small random models of family `embedded` of the vectors, as weights files; used by `generate.py` only.

`complete` is a complete model: 4 pairs of codes, 6 iterations, decoder network included.
`odd` has only a schedule and an entropy network, of unusual sizes: 3 pairs at stride 16, 32 iterations.
Every number comes from `random.Random`, whose sequence Python guarantees not to change.
"""

from __future__ import annotations

import json
import math
import struct
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

Config: TypeAlias = "dict[str, Any]"

COMPLETE_CONFIG: Config = {
    "cell": "gru",
    "code_channels": 8,
    "code_stride": 8,
    "context_channels": 4,
    "decoder_channels": 4,
    "decoder_steps": 3,
    "entropy_hidden_channels": 5,
    "entropy_state_channels": 4,
    "family": "embedded",
    "iterations": 6,
    "passes": [[2, 0, 4], [3, 0, 4], [1, 0, 4]],
    "separable": True,
}
ODD_CONFIG: Config = COMPLETE_CONFIG | {
    "code_channels": 6,
    "code_stride": 16,
    "entropy_hidden_channels": 3,
    "entropy_state_channels": 3,
    "iterations": 32,
    "passes": [[1, 0, 3], [0, 0, 3]],
}
_INT8, _INT16, _INT32, _FLOAT = "I8", "I16", "I32", "F32"
_FORMATS = {_INT8: "b", _INT16: "h", _INT32: "i", _FLOAT: "f"}
_LIMITS = {_INT8: 127, _INT16: 32767, _INT32: 1 << 20}
_GRID = 1024  # float weights are multiples of 1/1024, so they are exact in every type


class Tensors:
    """Collects tensors and becomes a safetensors file."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 -- to be repeated, not to be secret
        self.entries: dict[str, tuple[str, tuple[int, ...], bytes]] = {}

    def put(self, name: str, kind: str, shape: tuple[int, ...], values: list[float]) -> None:
        self.entries[name] = (kind, shape, struct.pack(f"<{len(values)}{_FORMATS[kind]}", *values))

    def spread(self, name: str, kind: str, shape: tuple[int, ...], size: float, *, centre: float = 0) -> None:
        """Fill a tensor with values that cluster round a centre."""
        count = math.prod(shape)
        values = [centre + size * (sum(self.random.random() for _ in range(4)) - 2) for _ in range(count)]
        if kind == _FLOAT:
            self.put(name, kind, shape, [round(value * _GRID) / _GRID for value in values])
        else:
            limit = _LIMITS[kind]
            self.put(name, kind, shape, [max(-limit, min(limit, round(value))) for value in values])

    def bytes(self, config: Config) -> bytes:
        description: dict[str, object] = {"__metadata__": {"config": json.dumps(config, sort_keys=True)}}
        position = 0
        for name, (kind, shape, data) in self.entries.items():
            offsets = [position, position := position + len(data)]
            description[name] = {"dtype": kind, "shape": list(shape), "data_offsets": offsets}
        text = json.dumps(description, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in self.entries.values())


def put_entropy(tensors: Tensors, config: Config, accumulators: int) -> None:
    """Add a random entropy network."""
    t, k = config["iterations"], config["entropy_state_channels"]
    m, g = max(stop for _, _, stop in config["passes"]), config["passes"][0][2] - config["passes"][0][1]
    f, p = config["entropy_hidden_channels"], len(config["passes"])
    for name, kind, shape, size in (
        ("state_in.bias", _INT32, (t - 1, 2 * k), 12000),
        ("feature.bias", _INT32, (t, p, f), 9000),
        ("output.bias", _INT32, (t, p, g), 9000),
        ("state_in.weight", _INT8, (t - 1, 2 * k, m, 3, 3), 60),
        ("state.weight", _INT8, (2 * k, k), 60),
        ("feature.weight", _INT8, (f, k, 3, 3), 60),
        ("context.weight", _INT8, (t, p - 1, f, m, 3, 3), 60),
        ("output.weight", _INT8, (t, p, g, f), 90),
        ("accumulator_input.weight", _INT8, (2 * k, accumulators), 60),
        ("accumulator_output.weight", _INT8, (t - 1, p, g, 2 * accumulators), 60),
    ):
        tensors.spread(f"entropy.{name}", kind, shape, size)
    # Equal amounts are added to some accumulators, so they often stay 0 or return to it. For others, later iterations
    # have smaller weights and greater scales, as in a trained model. Some reach the clamp.
    amounts = [round(1000 * tensors.random.random()) for _ in range(accumulators)]
    weights: list[float] = []
    for n in range(t - 1):
        for table in range(2):
            for s in range(accumulators):
                steps = [tensors.random.random() for _ in range(m)]
                if table == 1 and s % 2:
                    weights += [round(2000 * 0.8**n * (step - 0.5)) for step in steps]
                else:
                    weights += [amounts[s] * (int(3 * step) - 1) for step in steps]
    tensors.put("entropy.accumulator.weight", _INT16, (t - 1, 2, accumulators, m), weights)
    tensors.put("entropy.accumulator.scale", _INT32, (t - 1,), [round(30 / 0.95**n) for n in range(t - 1)])


def _cell(tensors: Tensors, name: str, n: int) -> None:
    for part, outputs in (("input", 3 * n), ("hidden", 2 * n)):
        tensors.spread(f"{name}.{part}.spatial.weight", _FLOAT, (n, 1, 3, 3), 0.8)
        tensors.spread(f"{name}.{part}.spatial.bias", _FLOAT, (n,), 0.5)
        tensors.spread(f"{name}.{part}.mix.weight", _FLOAT, (outputs, n, 1, 1), 2)
    tensors.spread(f"{name}.input.mix.bias", _FLOAT, (3 * n,), 1)
    tensors.spread(f"{name}.candidate.weight", _FLOAT, (n, n, 1, 1), 2)


Entry: TypeAlias = "tuple[int, int, float] | None"  # coefficient, levels, step; None is one idle pair

_IDLE = (0.0, 1e6, 0.0)
# By iteration: coefficients that come again once they can be significant, also with a greater step; one level and
# several, bounded and unbounded, masked and not; idle pairs anywhere, and an iteration of nothing else.
_SCHEDULE: tuple[tuple[Entry, ...], ...] = (
    ((0, 2, 400.0), None, (64, 1, 400.0)),
    (None, (0, 1, 500.0), (1, 2, 150.0)),
    ((1, 1, 75.0), (9, 3, 60.0)),
    (None, None, None, None),
    ((64, 2, 80.0), (0, 1, 100.0), None),
    ((9, 1, 30.0), (1, 2, 37.5), (0, 1, 50.0)),
)


def _drawn_schedule(random: Random, iterations: int, pairs: int) -> list[list[Entry]]:
    """Return a schedule of few coefficients, so that each comes again often."""
    out: list[list[Entry]] = []
    for t in range(iterations):
        entries: list[Entry] = []
        unused, left = [191 * n // pairs for n in range(pairs + 1)], pairs
        while left:
            levels = min(left, int(4 * random.random()))
            entries.append((unused.pop(int(len(unused) * random.random())), levels, 400 / 2**t) if levels else None)
            left -= levels or 1
        out.append(entries)
    return out


def _schedule(tensors: Tensors, pairs: int, iterations: Sequence[Sequence[Entry]]) -> None:
    tables: tuple[list[float], ...] = ([], [], [])
    for entries in iterations:
        pair_values = [
            (float(entry[0]), float(level), entry[2]) if entry else _IDLE
            for entry in entries
            for level in range(1, entry[1] + 1 if entry else 2)
        ]
        for values in pair_values:
            for table, value in zip(tables, values, strict=True):
                table.append(value)
    for name, table in zip(("coefficient", "level", "step"), tables, strict=True):
        tensors.put(f"network.quantizer.{name}", _FLOAT, (len(iterations), pairs), table)


def _network(tensors: Tensors, config: Config) -> None:
    t = config["iterations"]
    d, n = (config[f"{part}_channels"] for part in ("decoder", "context"))
    steps = [round(-math.log(400 / 2**i) * _GRID) / _GRID for i in range(t)]
    tensors.put("network.log_gain", _FLOAT, (t,), steps)
    tensors.put("network.masking.exponent", _FLOAT, (), [0.25])
    tensors.put("network.masking.log_floor", _FLOAT, (), [4.5])
    tensors.spread("network.decoder.midpoint_projection.weight", _FLOAT, (d, 192, 1, 1), 0.4)
    tensors.spread("network.decoder.half_width_projection.weight", _FLOAT, (d, 192, 1, 1), 0.4)
    tensors.spread("network.decoder.bias", _FLOAT, (t, d), 0.3)
    tensors.spread("network.decoder.shift", _FLOAT, (t, 192), 0.1)
    for name, shape in (("down", (n, 4 * d, 1, 1)), ("up", (4 * d, n, 1, 1)), ("output", (192, d, 1, 1))):
        tensors.spread(f"network.decoder.{name}.weight", _FLOAT, shape, 0.5)
        tensors.spread(f"network.decoder.{name}.bias", _FLOAT, shape[:1], 0.1)
    _cell(tensors, "network.decoder.context", n)
    _cell(tensors, "network.decoder.detail", d)


def complete_weights(seed: int = 1) -> bytes:
    """Return the file of the complete model."""
    tensors = Tensors(seed)
    put_entropy(tensors, COMPLETE_CONFIG, accumulators=6)
    _schedule(tensors, COMPLETE_CONFIG["code_channels"] // 2, _SCHEDULE)
    _network(tensors, COMPLETE_CONFIG)
    return tensors.bytes(COMPLETE_CONFIG)


def odd_weights(seed: int = 2) -> bytes:
    """Return the file of the model without a decoder network."""
    return code_weights(ODD_CONFIG, seed, accumulators=5)


def code_weights(config: Config, seed: int, accumulators: int) -> bytes:
    """Return the file of a model of these sizes, without a decoder network, with a random schedule."""
    tensors = Tensors(seed)
    put_entropy(tensors, config, accumulators)
    pairs = config["code_channels"] // 2
    _schedule(tensors, pairs, _drawn_schedule(tensors.random, config["iterations"], pairs))
    return tensors.bytes(config)
