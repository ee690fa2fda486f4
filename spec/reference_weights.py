"""Which weights files the codes of a file can be decoded with: layout, configuration, entropy network and schedule.

It needs nothing but the Python standard library and shares no code with the package. `reference_decoder.py` decodes
with these rules; `reference_model.py` adds those of the decoder network.
"""

from __future__ import annotations

import json
import math
import struct
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class ModelError(ValueError):
    """The weights file, not the file of the image, breaks a rule; the message names what."""


# --- Layout ----------------------------------------------------------------------------------------------------------


class Tensor(NamedTuple):
    """Integers with a shape; the relevant values of type F32 are integers too."""

    shape: tuple[int, ...]
    values: Sequence[int]

    def at(self, *index: int) -> Tensor:
        """Return the part under the first indices."""
        shape, values = self.shape, self.values
        for n in index:
            size = len(values) // shape[0]
            shape, values = shape[1:], values[n * size : (n + 1) * size]
        return Tensor(shape, values)

    def rows(self) -> list[Sequence[int]]:
        """Return one sequence of weights per output channel."""
        return [self.at(n).values for n in range(self.shape[0])]


FORMATS = {"I8": "b", "I16": "h", "I32": "i", "F32": "f"}
SIZES = {kind: struct.calcsize(code) for kind, code in FORMATS.items()}


def read_description(data: bytes) -> tuple[dict[str, Any], dict[str, Any], int]:
    """Return the tensors that a weights file describes, its configuration, and where the bytes of tensors begin.

    Raises:
        ModelError: Description or bytes are not as the specification demands.
    """
    try:
        (size,) = struct.unpack("<Q", data[:8])
        description = json.loads(data[8 : 8 + size])
        metadata = description.pop("__metadata__")
        config = json.loads(metadata["config"])
        used = []
        for entry in description.values():
            start, stop = entry["data_offsets"]
            if not all(type(number) is int and number >= 0 for number in (start, stop, *entry["shape"])):
                raise ModelError(f"data_offsets are {start} to {stop}, the shape {entry['shape']}, must be integers")
            length = prod(entry["shape"]) * SIZES[entry["dtype"]]
            if not start <= stop <= len(data) - 8 - size or stop - start != length:
                raise ModelError(f"data_offsets are {start} to {stop}, of a tensor of {length} bytes")
            used.append((start, stop))
        strings = all(isinstance(value, str) for value in metadata.values())
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError, struct.error) as error:
        raise ModelError(f"description of the tensors: {error}") from error
    if not strings or not isinstance(config, dict):
        raise ModelError("the metadata are not strings, or the configuration is no object")
    ends = [(0, 0), *sorted(used), (len(data) - 8 - size,) * 2]
    if any(before[1] != after[0] for before, after in pairwise(ends)):
        raise ModelError("the tensors leave gaps, overlap or are followed by further bytes")
    return description, config, 8 + size


def read_tensor(data: bytes, begin: int, entry: dict[str, Any]) -> Tensor:
    """Return a tensor that `read_description` found."""
    start, stop = (begin + offset for offset in entry["data_offsets"])
    count = (stop - start) // SIZES[entry["dtype"]]
    return Tensor(tuple(entry["shape"]), struct.unpack(f"<{count}{FORMATS[entry['dtype']]}", data[start:stop]))


# --- Configuration ---------------------------------------------------------------------------------------------------

CHANNELS = range(1, 4097)
MEMBERS = {
    *("family", "iterations", "code_channels", "code_stride", "passes", "entropy_state_channels"),
    *("entropy_hidden_channels", "cell", "separable", "decoder_channels", "context_channels"),
}
MEMBERS_OF_FAMILY = {
    "embedded": MEMBERS | {"decoder_steps"},
    "recurrent": MEMBERS | {"framework", "network", "encoder_channels", "paper_divisor"},
}


def check_member(config: dict[str, Any], name: str, allowed: Sequence[object]) -> None:
    """Reject a model unless a member of its configuration is one of some values, all of one type."""
    value = config[name]
    if type(value) is not type(allowed[0]) or value not in allowed:
        text = f"{allowed[0]} to {allowed[-1]}" if isinstance(allowed, range) else f"one of {tuple(allowed)}"
        raise ModelError(f"{name} is {value!r}, must be {text}")


def check_members(config: dict[str, Any]) -> None:
    """Reject a model of a known family that has other members, or unknown values where codes depend on them."""
    members = MEMBERS_OF_FAMILY[config["family"]]
    if members != set(config):
        raise ModelError(f"members {sorted(members ^ set(config))} are missing or unknown")
    dense = config["family"] == "recurrent"
    check_member(config, "iterations", range(1, 33))
    check_member(config, "code_channels", range(1, 256) if dense else range(2, 255, 2))
    check_member(config, "code_stride", (8, 16))
    check_member(config, "entropy_state_channels", CHANNELS)
    check_member(config, "entropy_hidden_channels", CHANNELS)
    check_passes(config["passes"], context_coded(config), dense=dense)


def context_coded(config: dict[str, Any]) -> int:
    """Return M, the number of context-coded channels."""
    channels: int = config["code_channels"]
    return channels if config["family"] == "recurrent" else channels // 2


def check_passes(passes: Any, m: int, *, dense: bool) -> None:  # noqa: ANN401 -- of JSON
    """Reject a model unless its passes code each of m channels of each cell once, all as many channels."""
    disjoint = {0: (2, 3), 1: (1,), 2: (2,), 3: (3,)}  # lattice 0 consists of 2 and 3
    try:
        right = (
            1 <= len(passes) <= 64
            and all(type(number) is int for one in passes for number in one)
            and all(lattice in disjoint and 0 <= first < stop <= m for lattice, first, stop in passes)
            and len({stop - first for _, first, stop in passes}) == 1
            and (dense or all(stop - first == m for _, first, stop in passes))
        )
    except (TypeError, ValueError):
        right = False
    coded = [
        (part, channel)
        for lattice, first, stop in (passes if right else ())
        for part in disjoint[lattice]
        for channel in range(first, stop)
    ]
    if not right or sorted(coded) != [(part, channel) for part in (1, 2, 3) for channel in range(m)]:
        raise ModelError(f"passes is {passes!r}, must be a list of [lattice, first, stop] that codes every bit once")


# --- Tensors ---------------------------------------------------------------------------------------------------------

PAIR_TABLES = ("network.quantizer.coefficient", "network.quantizer.level", "network.quantizer.step")


def check_tensors(description: dict[str, Any], expected: dict[str, tuple[str, tuple[int | None, ...]]]) -> None:
    """Reject a model unless it has tensors of these types and shapes; None stands for any size of at least 1."""
    for name, (kind, shape) in expected.items():
        if name not in description:
            raise ModelError(f"tensor {name} is missing")
        found_kind, found = description[name]["dtype"], description[name]["shape"]
        fits = len(found) == len(shape) and all(
            a == b or (b is None and a > 0) for a, b in zip(found, shape, strict=False)
        )
        if kind != found_kind or not fits:
            raise ModelError(f"tensor {name} is {found_kind} of shape {found}, must be {kind} of {list(shape)}")


def entropy_shapes(
    description: dict[str, Any], config: dict[str, Any]
) -> dict[str, tuple[str, tuple[int | None, ...]]]:
    """Return types and shapes of the tensors of the entropy network."""
    t, k, f = (config[name] for name in ("iterations", "entropy_state_channels", "entropy_hidden_channels"))
    m, p = context_coded(config), len(config["passes"])
    g = config["passes"][0][2] - config["passes"][0][1]
    s = description.get("entropy.accumulator.weight", {"shape": [0, 0, None, 0]})["shape"][2:3]
    s = s[0] if s else None
    return {
        "entropy.state_in.weight": ("I8", (t - 1, 2 * k, m, 3, 3)),
        "entropy.state_in.bias": ("I32", (t - 1, 2 * k)),
        "entropy.state.weight": ("I8", (2 * k, k)),
        "entropy.feature.weight": ("I8", (f, k, 3, 3)),
        "entropy.feature.bias": ("I32", (t, p, f)),
        "entropy.context.weight": ("I8", (t, p - 1, f, m, 3, 3)),
        "entropy.output.weight": ("I8", (t, p, g, f)),
        "entropy.output.bias": ("I32", (t, p, g)),
        "entropy.accumulator.weight": ("I16", (t - 1, 2, None, m)),
        "entropy.accumulator.scale": ("I32", (t - 1,)),
        "entropy.accumulator_input.weight": ("I8", (2 * k, s)),
        "entropy.accumulator_output.weight": ("I8", (t - 1, p, g, None if s is None else 2 * s)),
    }


def check_ranges(tensors: dict[str, Tensor]) -> None:
    """Reject a model with a weight or a scale out of range."""
    for name, tensor in tensors.items():
        low, high = (1, 65535) if name == "accumulator.scale" else (-127, 127)
        if name == "accumulator.weight":
            low, high = -32767, 32767
        if not name.endswith("bias") and not all(low <= value <= high for value in tensor.values):
            raise ModelError(f"entropy.{name} has a value out of {low} to {high}")


def weight_sum(weights: Sequence[int]) -> int:
    """Return the sum of the absolute values."""
    return sum(map(abs, weights))


def largest_sums(tensors: dict[str, Tensor], t: int) -> Iterator[tuple[str, int]]:
    """Yield the layers of iteration t, and for each output channel the bound of its sums."""
    for p in range(tensors["feature.bias"].shape[1]):
        biases = tensors["feature.bias"].at(t, p).values
        context = tensors["context.weight"].at(t, p - 1).rows() if p else [()] * len(biases)
        for bias, own, around in zip(biases, tensors["feature.weight"].rows(), context, strict=True):
            yield "feature", abs(bias) + 127 * (weight_sum(own) + weight_sum(around))
        biases = tensors["output.bias"].at(t, p).values
        counts = tensors["accumulator_output.weight"].at(t - 1, p).rows() if t else [()] * len(biases)
        for bias, own, more in zip(biases, tensors["output.weight"].at(t, p).rows(), counts, strict=True):
            yield "output", abs(bias) + 255 * weight_sum(own) + 127 * weight_sum(more)
    if t:
        biases = tensors["state_in.bias"].at(t - 1).values
        names = "state.weight", "accumulator_input.weight"
        layers = [tensors["state_in.weight"].at(t - 1).rows(), *(tensors[name].rows() for name in names)]
        for bias, *weights in zip(biases, *layers, strict=True):
            yield "state", abs(bias) + 127 * sum(map(weight_sum, weights))


def check_sums(tensors: dict[str, Tensor], iterations: int) -> None:
    """Reject a model whose sums can exceed their bound."""
    sums = [one for t in range(iterations) for one in largest_sums(tensors, t)]
    for s in range(tensors["accumulator.weight"].shape[2]):
        steps = (
            max(weight_sum(tensors["accumulator.weight"].at(t, n, s).values) for n in (0, 1))
            for t in range(iterations - 1)
        )
        sums.append(("accumulator", sum(steps)))
    for layer, largest in sums:
        if largest > 16777215:
            raise ModelError(f"entropy {layer} sums can reach {largest}, must be at most 16777215")


# --- Iteration schedule ----------------------------------------------------------------------------------------------

IDLE = 1000000


def check_schedule(tables: Sequence[Tensor]) -> None:
    """Reject a model unless the pairs of each coefficient are adjacent, with levels from 1 on, and of one step."""
    for t in range(tables[0].shape[0]):
        begun, next_pair = set(), None
        for p, pair in enumerate(zip(*(table.at(t).values for table in tables), strict=True)):
            coefficient, level, step = pair
            if level == IDLE:
                next_pair = None
                continue
            right = pair == next_pair or (level == 1 and coefficient not in begun)
            if not right or coefficient not in range(192) or step <= 0:
                raise ModelError(f"network.quantizer: pair {p} of iteration {t} violates the rules of the schedule")
            begun.add(coefficient)
            next_pair = coefficient, level + 1, step


# --- All of it -------------------------------------------------------------------------------------------------------


def check_for_codes(data: bytes) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of entropy network and schedule of a weights file, and its configuration, after all checks.

    Names of tensors are without `entropy.`.

    Raises:
        ModelError: They are not as the specification demands.
    """
    description, config, begin = read_description(data)
    check_members(config)
    expected = entropy_shapes(description, config)
    unknown = {name for name in description if name.startswith("entropy.")} - set(expected)
    if unknown:
        raise ModelError(f"tensors {sorted(unknown)} are unknown")
    if config["family"] == "embedded":
        expected |= dict.fromkeys(PAIR_TABLES, ("F32", (config["iterations"], context_coded(config))))
    check_tensors(description, expected)
    tensors = {name: read_tensor(data, begin, entry) for name, entry in description.items()}
    for name, tensor in tensors.items():
        if description[name]["dtype"] == "F32" and not all(map(math.isfinite, tensor.values)):
            raise ModelError(f"tensor {name} has a value that is not finite")
    network = {name.removeprefix("entropy."): tensor for name, tensor in tensors.items() if name.startswith("entropy.")}
    check_ranges(network)
    check_sums(network, config["iterations"])
    tables = {name: tensors[name] for name in expected if name in PAIR_TABLES}
    if tables:
        check_schedule(list(tables.values()))
    return network | tables, config
