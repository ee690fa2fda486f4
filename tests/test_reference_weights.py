"""Package and reference decoder accept and reject the same models, as far as codes depend on them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import reference_decoder
import reference_model
from changed_models import VECTORS, changed, config_of
from reference_weights import ModelError
from safetensors.numpy import load, save
from vectors.make_weights import ODD_CONFIG, code_weights

from pillow_rnc.errors import WeightsError
from pillow_rnc.models import weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from changed_models import Tensors


def edited(name: str, edit: Callable[[dict[str, Any]], object], *, further: bytes = b"") -> bytes:
    """Return a weights file of the vectors with another description, and further bytes at its end."""
    data = (VECTORS / f"{name}.safetensors").read_bytes()
    size = int.from_bytes(data[:8], "little")
    description = json.loads(data[8 : 8 + size])
    edit(description)
    text = json.dumps(description).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + size :] + further


def member(name: str, value: object, model: str = "light-residual-gru") -> bytes:
    """Return a model with one member of another value, or without it."""
    return changed(model, {name: value})


def with_value(name: str, value: float, *index: int, model: str = "complete") -> bytes:
    """Return a model with one number of another value; the first if no index is given."""

    def change(tensors: Tensors) -> None:
        tensors[name] = tensors[name].copy()
        tensors[name][index or (0,) * tensors[name].ndim] = value

    return changed(model, change=change)


def moved(description: dict[str, Any], name: str, count: int) -> None:
    """Let a tensor lie elsewhere."""
    description[name]["data_offsets"] = [offset + count for offset in description[name]["data_offsets"]]


LAST = "network.decoder.detail.candidate.weight"
COEFFICIENT, LEVEL, STEP = (f"network.quantizer.{name}" for name in ("coefficient", "level", "step"))
INVALID: dict[str, Callable[[], bytes]] = {
    "a member is missing": lambda: member("separable", None),
    "a member of family embedded is missing": lambda: member("decoder_steps", None, "complete"),
    "a member of the other family": lambda: member("decoder_steps", 2),
    "an unknown member": lambda: member("masking", True, "complete"),
    "another cell": lambda: member("cell", "lstm", "complete"),
    "255 channels of pairs": lambda: member("code_channels", 255, "complete"),
    "the divisor in a light network": lambda: member("paper_divisor", 4),
    "stride 8 in the network of the paper": lambda: member("code_stride", 8, "paper-lstm"),
    "wide": lambda: member("context_channels", 4097),
    "states of another number": lambda: member("entropy_state_channels", 5),
    "hidden channels of another number": lambda: member("entropy_hidden_channels", 4),
    "a lattice twice": lambda: member("passes", [[2, 0, 4], [2, 0, 4], [1, 0, 4]], "complete"),
    "a lattice is missing": lambda: member("passes", [[0, 0, 4], [2, 0, 4], [3, 0, 4]], "complete"),
    "channels twice": lambda: member("passes", [[0, 0, 6], [1, 0, 6], [0, 5, 11], [1, 5, 11], [0, 6, 12]]),
    "passes of unequal numbers": lambda: member("passes", [[2, 0, 6], [3, 0, 6], [1, 0, 6], [0, 6, 12], [1, 6, 11]]),
    "half of the channels": lambda: member("passes", [[2, 0, 6], [3, 0, 6], [1, 0, 6]]),
    "a negative channel": lambda: member("passes", [[2, -1, 5], [3, -1, 5], [1, -1, 5], [0, 5, 11], [1, 5, 11]]),
    "pairs in two groups": lambda: member("passes", [[0, 0, 2], [1, 0, 2], [0, 2, 4], [1, 2, 4]], "complete"),
    "a lattice of type boolean": lambda: member("passes", [[2, 0, 4], [3, 0, 4], [True, 0, 4]], "complete"),
    "no metadata of strings": lambda: edited("complete", lambda one: one["__metadata__"].update(version=1)),
    "an unknown tensor": lambda: changed(
        "complete", change=lambda tensors: tensors.update({"entropy.gain": np.zeros(1, np.int8)})
    ),
    "further bytes": lambda: edited("complete", lambda _: None, further=b"\0"),
    "bytes of two tensors": lambda: edited("complete", lambda one: moved(one, LAST, -4)),
    "a gap": lambda: edited("complete", lambda one: moved(one, LAST, 4), further=bytes(4)),
    "a boolean in a shape": lambda: edited(
        "complete", lambda one: one["network.masking.exponent"]["shape"].append(True)
    ),
    "a negative shape": lambda: edited("complete", lambda one: one[LAST].update(shape=[-4, -4, 1, 1])),
    "not finite": lambda: with_value("network.log_gain", np.inf),
    "not a number": lambda: with_value(LAST, np.nan),
    "a weight of -128": lambda: with_value("entropy.context.weight", -128),
    "an accumulator of -32768": lambda: with_value("entropy.accumulator.weight", -32768),
    "scale 0": lambda: with_value("entropy.accumulator.scale", 0),
    "scale 65536": lambda: with_value("entropy.accumulator.scale", 65536),
    "a bias of 2^30": lambda: with_value("entropy.output.bias", 2**30),
    "a bias of -2^30": lambda: with_value("entropy.feature.bias", -(2**30)),
    "the bias of a state": lambda: with_value("entropy.state_in.bias", 2**24 - 1),
    "a coefficient 192": lambda: with_value(COEFFICIENT, 192, 1, 1),
    "a coefficient of 0.5": lambda: with_value(COEFFICIENT, 0.5, 1, 1),
    "no level 1": lambda: with_value(LEVEL, 2, 1, 1),
    "level 0": lambda: with_value(LEVEL, 0, 1, 1),
    "a level above that of idle pairs": lambda: with_value(LEVEL, 1000001, 1, 1),
    "a level twice": lambda: with_value(LEVEL, 1, 1, 3),
    "a step of 0": lambda: with_value(STEP, 0, 1, 1),
    "another step": lambda: with_value(STEP, 149, 1, 3),
}
VALID: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: changed("complete"),
    "nothing else": lambda: changed("light-residual-gru"),
    "an idle pair of any coefficient": lambda: with_value(COEFFICIENT, -7, 1, 0),
    "a pair becomes idle": lambda: with_value(LEVEL, 1e6, 1, 1),
    "the last level becomes idle": lambda: with_value(LEVEL, 1e6, 1, 3),
    "a bias of 2^20": lambda: with_value("entropy.output.bias", 2**20),
    "the greatest scale": lambda: with_value("entropy.accumulator.scale", 65535),
    "passes in another order": lambda: member("passes", [[1, 0, 4], [3, 0, 4], [2, 0, 4]], "complete"),
}


def package_accepts(data: bytes, folder: Path) -> bool:
    path = folder / "model.safetensors"
    path.write_bytes(data)
    before = dict(weights._registered)
    try:
        weights.load(weights.register(path).model_id)
    except WeightsError:
        return False
    finally:
        weights._registered.clear()
        weights._registered.update(before)
    return True


@pytest.mark.parametrize("name", INVALID)
def test_package_and_reference_reject_the_same_models(name: str, tmp_path: Path) -> None:
    data = INVALID[name]()
    with pytest.raises(ModelError):
        reference_model.check(data)
    assert not package_accepts(data, tmp_path)


@pytest.mark.parametrize("name", VALID)
def test_package_and_reference_accept_the_same_models(name: str, tmp_path: Path) -> None:
    data = VALID[name]()
    reference_model.check(data)
    assert package_accepts(data, tmp_path)


@pytest.mark.parametrize("layer", ["state_in", "feature", "output"])
def test_the_sums_of_each_layer_are_bounded(layer: str) -> None:
    name = f"entropy.{layer}.bias"
    data = changed("complete", change=lambda tensors: tensors[name].fill(2**24 - 1))

    with pytest.raises(ModelError, match=f"^entropy {layer.removesuffix('_in')} sums can reach 16"):
        reference_decoder.read_weights(data)


def test_the_sums_of_accumulators_are_bounded(tmp_path: Path) -> None:
    passes = [[0, 0, 24], [1, 0, 24]]
    data = code_weights(ODD_CONFIG | {"code_channels": 48, "code_stride": 8, "passes": passes}, 1, accumulators=1)
    config, tensors = config_of(data), load(data)
    reference_decoder.read_weights(data)
    assert package_accepts(data, tmp_path)
    tensors["entropy.accumulator.weight"].fill(-32767)
    data = save(tensors, metadata={"config": json.dumps(config)})

    with pytest.raises(ModelError, match=f"^entropy accumulator sums can reach {31 * 24 * 32767}, must be at most"):
        reference_decoder.read_weights(data)
    assert not package_accepts(data, tmp_path)
