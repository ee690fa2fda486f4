"""A device without enough memory: the CPU takes over, with one warning, wherever that happens."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tiny_codec import NAME, register_tiny_codec

import pillow_rnc
from pillow_rnc.codec import encoder
from pillow_rnc.codec.execution import ExecutionOptions
from pillow_rnc.errors import DeviceMemoryError, RncError
from pillow_rnc.models import torch_runtime
from pillow_rnc.models.runtime import CPU, FallBackTiles, runtime
from pillow_rnc.models.torch_runtime import TorchTiles
from pillow_rnc.models.weights import load

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.models.runtime import TileNetwork
    from pillow_rnc.models.weights import Weights

ITERATIONS = 3
SIZE = 64, 96


class Small(TorchTiles):
    """A device whose memory ends at the given call of anything."""

    calls_left = 0

    def _settle(self) -> None:
        Small.calls_left -= 1
        if Small.calls_left < 0:
            msg = "device small has not enough memory"
            raise DeviceMemoryError(msg)

    def __init__(self, *args: object, **keywords: object) -> None:
        self._settle()
        super().__init__(*args, **keywords)  # type: ignore[arg-type]

    def set_target(self, pixels: NDArray[np.uint8]) -> None:
        self._settle()
        super().set_target(pixels)

    def encode(self) -> NDArray[np.uint8]:
        self._settle()
        return super().encode()

    def decode(self, planes: NDArray[np.uint8]) -> None:
        self._settle()
        super().decode(planes)

    def pixels(self) -> NDArray[np.float32]:
        self._settle()
        return super().pixels()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Weights:
    register_tiny_codec(tmp_path_factory.mktemp("weights"))
    return load(NAME)


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    ramp = np.add.outer(np.arange(SIZE[0]), 2 * np.arange(SIZE[1]))
    return np.stack([ramp % 251, (3 * ramp) % 256, 255 - ramp % 256], -1).astype(np.uint8)


def _fallen(model: Weights, calls: int) -> FallBackTiles:
    Small.calls_left = calls
    return FallBackTiles(partial(Small, model, torch.device("cpu")), runtime(model, CPU), 1, *SIZE)


def _read(tiles: TileNetwork, codes: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
    for planes in codes:
        tiles.decode(planes)
    return tiles.pixels()


def _written(tiles: TileNetwork, picture: NDArray[np.uint8]) -> tuple[list[NDArray[np.uint8]], NDArray[np.float32]]:
    tiles.set_target(picture[None])
    return [tiles.encode() for _ in range(ITERATIONS)], tiles.pixels()


@pytest.mark.parametrize("calls", range(2 + ITERATIONS))
def test_codes_read_before_are_read_again(model: Weights, picture: NDArray[np.uint8], calls: int) -> None:
    codes, shown = _written(runtime(model, CPU)(1, *SIZE), picture)

    tiles = _fallen(model, calls)
    with pytest.warns(RuntimeWarning, match="device small has not enough memory; the CPU takes over") as caught:
        again = _read(tiles, codes)

    assert len(caught) == 1
    assert np.array_equal(again, shown)


@pytest.mark.parametrize("calls", range(3 + ITERATIONS))
def test_codes_written_before_stay(model: Weights, picture: NDArray[np.uint8], calls: int) -> None:
    tiles = _fallen(model, calls)
    with pytest.warns(RuntimeWarning, match="takes over") as caught:
        codes, shown = _written(tiles, picture)

    assert len(caught) == 1
    assert np.array_equal(_read(runtime(model, CPU)(1, *SIZE), codes), shown)


def test_no_memory_anywhere_is_an_error(model: Weights, picture: NDArray[np.uint8]) -> None:
    Small.calls_left = 1
    small = partial(Small, model, torch.device("cpu"))
    tiles = FallBackTiles(small, small, 1, *SIZE)

    with pytest.warns(RuntimeWarning, match="takes over"), pytest.raises(DeviceMemoryError):
        _written(tiles, picture)
    assert issubclass(DeviceMemoryError, MemoryError)
    assert issubclass(DeviceMemoryError, RncError)
    assert pillow_rnc.DeviceMemoryError is DeviceMemoryError


def test_a_device_falls_back_and_the_processor_does_not(
    model: Weights, picture: NDArray[np.uint8], monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_processor(_weights: Weights, _place: torch.device, *size: int, **limits: int) -> Small:
        return Small(model, torch.device("cpu"), *size, **limits)

    monkeypatch.setattr(torch_runtime, "TorchTiles", on_processor)
    Small.calls_left = 0
    with pytest.raises(DeviceMemoryError):
        encoder.encode(picture, model, iterations=ITERATIONS, execution=ExecutionOptions("cpu:0"))

    monkeypatch.setattr(torch_runtime, "torch_device", torch.device)
    pictures = [picture, picture[::-1]]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        execution = ExecutionOptions("cuda", max_memory=1)
        coded = encoder.encode_many(pictures, model, iterations=ITERATIONS, execution=execution)
    assert coded == encoder.encode_many(pictures, model, iterations=ITERATIONS)
    assert len(caught) == 1, "one warning, though each picture was tried"
