"""Whatever a weights file holds, it is a working model or a `WeightsError`."""

from __future__ import annotations

import io
import json
import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file
from tiny_codec import CONFIG, register_tiny_codec

from pillow_rnc.errors import WeightsError
from pillow_rnc.models import weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    Tensors = dict[str, NDArray[Any]]

IMAGE = Image.linear_gradient("L").resize((40, 24)).convert("RGB")


@pytest.fixture(autouse=True)
def _forget_models() -> Iterator[None]:
    """Leave no hostile model behind for other tests."""
    before = dict(weights._registered)
    yield
    weights._registered.clear()
    weights._registered.update(before)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return register_tiny_codec(tmp_path_factory.mktemp("weights"))


def use(path: Path) -> None:
    """Do all that a model is for."""
    name = weights.register(path).model_id.hex()
    fp = io.BytesIO()
    IMAGE.save(fp, "RNC", model=name, iterations=2)
    Image.open(fp).load()


def changed(tiny: Path, folder: Path, change: Callable[[Tensors], None], **config: object) -> Path:
    """Return a copy of the tiny model with other tensors or another configuration."""
    tensors = load_file(tiny)
    change(tensors)
    path = folder / "hostile.safetensors"
    values = json.loads(CONFIG.to_json()) | config
    save_file(tensors, path, metadata={"config": json.dumps(values)})
    return path


def _set(name: str, value: object) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        tensors[name] = tensors[name].copy()
        tensors[name].reshape(-1)[0] = value

    return change


def _cast(name: str, dtype: str) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.update({name: tensors[name].astype(dtype)})


def _reshape(name: str) -> Callable[[Tensors], None]:
    return lambda tensors: tensors.update({name: tensors[name][:-1].copy()})


def _nothing(_tensors: Tensors) -> None:
    pass


def _scale(factor: float) -> Callable[[Tensors], None]:
    def change(tensors: Tensors) -> None:
        for name, tensor in tensors.items():
            if tensor.dtype == np.float32:
                tensors[name] = np.asarray(np.clip(tensor.astype(np.float64) * factor, -3e38, 3e38), np.float32)

    return change


NETWORK = "network.decoder.output.weight"


def test_the_tiny_model_works(tiny: Path, tmp_path: Path) -> None:
    use(changed(tiny, tmp_path, _nothing))


@pytest.mark.parametrize(
    "change",
    [
        _set(NETWORK, np.nan),
        _set(NETWORK, np.inf),
        _scale(1e38),
        _cast(NETWORK, "float64"),
        _cast(NETWORK, "float16"),
        _cast(NETWORK, "int8"),
        _reshape(NETWORK),
        lambda tensors: tensors.pop(NETWORK),
        lambda tensors: tensors.update({"network.extra": np.zeros(1, np.float32)}),
        _set("entropy.output.bias", 2**24),
        _set("entropy.state.weight", -128),
        _set("entropy.accumulator.weight", -32768),
        _set("entropy.accumulator.scale", 0),
        _set("entropy.accumulator.scale", 65536),
        _cast("entropy.state.weight", "int16"),
        _cast("entropy.accumulator.weight", "int8"),
        _reshape("entropy.output.bias"),
        lambda tensors: tensors.pop("entropy.state.weight"),
        lambda tensors: tensors.pop("entropy.accumulator.weight"),
        lambda tensors: tensors.clear(),
    ],
    ids=[
        *("nan", "infinite", "too large", "float64", "float16", "int8", "shape", "missing", "unknown", "bias"),
        *("weight", "accumulator", "scale 0", "scale 65536", "int16", "accumulator int8", "bias shape"),
        *("no state", "no accumulator", "nothing"),
    ],
)
def test_tensors_that_are_not_those_of_the_model_are_rejected(
    change: Callable[[Tensors], None], tiny: Path, tmp_path: Path
) -> None:
    with pytest.raises(WeightsError):
        use(changed(tiny, tmp_path, change))


@pytest.mark.parametrize(
    "config",
    [
        {"cell": "other"},
        {"cell": "lstm"},
        {"framework": "embedded"},
        {"family": 3},
        {"family": "other"},
        {"family": "recurrent"},
        {"family": "recurrent", "decoder_steps": 2},
        {"iterations": 0},
        {"iterations": 3},
        {"iterations": 17},
        {"iterations": 4096},
        {"iterations": True},
        {"code_channels": 2},
        {"code_channels": 4096},
        {"code_stride": 16},
        {"code_stride": 0},
        {"encoder_channels": 8},
        {"decoder_channels": 4096, "context_channels": 4096},
        {"context_channels": -8},
        {"context_channels": 8.0},
        {"separable": False},
        {"separable": 1},
        {"passes": []},
        {"passes": [[0, 0, 4]]},
        {"passes": [[0, 0, 10**9], [1, 0, 10**9]]},
        {"passes": [[0, 0, 4], [1, 0, 4]]},
        {"passes": "none"},
        {"unknown": 1},
    ],
)
def test_a_configuration_that_does_not_fit_is_rejected(config: dict[str, object], tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        use(changed(tiny, tmp_path, _nothing, **config))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", '{"iterations": 1e999}', "[" * 100_000])
def test_a_configuration_that_is_no_object_is_rejected(text: str, tiny: Path, tmp_path: Path) -> None:
    path = tmp_path / "hostile.safetensors"
    save_file(load_file(tiny), path, metadata={"config": text})

    with pytest.raises(WeightsError):
        use(path)


def _huge_header(data: bytes) -> bytes:
    return struct.pack("<Q", 2**62) + data[8:]


def _huge_shape(data: bytes) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header[NETWORK]["shape"] = [2**40, 2**20]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def _overlapping(data: bytes) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    first, second = [name for name in header if name != "__metadata__"][:2]
    header[first]["data_offsets"] = header[second]["data_offsets"]
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda _: b"\x80\x04\x95",  # start of a pickle
        lambda data: data[:-1],
        lambda data: data[:100],
        lambda data: data + b"\0",
        _huge_header,
        _huge_shape,
        _overlapping,
    ],
    ids=["empty", "pickle", "truncated", "header truncated", "extra", "huge header", "huge shape", "overlapping"],
)
def test_a_file_that_is_not_safetensors_is_rejected(
    damage: Callable[[bytes], bytes], tiny: Path, tmp_path: Path
) -> None:
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(damage(tiny.read_bytes()))

    with pytest.raises(WeightsError):
        use(path)


def test_a_file_that_changes_after_it_was_registered_is_rejected(tiny: Path, tmp_path: Path) -> None:
    path = changed(tiny, tmp_path, _set(NETWORK, 0.25))
    name = weights.register(path).model_id.hex()
    path.write_bytes(tiny.read_bytes())

    with pytest.raises(WeightsError, match="SHA-256"):
        IMAGE.save(io.BytesIO(), "RNC", model=name)
    path.unlink()
    with pytest.raises(WeightsError, match="cannot be read"):
        weights.register(path)


def test_the_tiny_configuration_is_what_its_file_says(tiny: Path) -> None:
    assert weights.load(weights.register(tiny).model_id).config == replace(CONFIG)
