"""The network in NumPy is the network in torch: the same codes and pixels, for every model that it says it runs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tiny_codec import CONFIG, register_random_codec, register_tiny_codec

from pillow_rnc import numpy_network, weights
from pillow_rnc.block_transform import BlockTransform
from pillow_rnc.errors import RncOptionError, UnsupportedError
from pillow_rnc.inference import TileNetwork, runtime
from pillow_rnc.model_config import ModelConfig
from pillow_rnc.numpy_network import NumpyTiles
from pillow_rnc.numpy_transform import transform_matrices
from pillow_rnc.numpy_weights import can_run
from pillow_rnc.torch_inference import TorchTiles

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

UNEQUAL = replace(CONFIG, encoder_channels=6, decoder_channels=10, context_channels=12)


def model_of(config: ModelConfig, folder: Path, seed: int = 1) -> weights.Weights:
    return weights.load(weights.register(register_random_codec(folder, config, seed)).model_id)


def picture(n: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return n pictures: noise, on slopes."""
    random = np.random.default_rng(3)
    slopes = np.linspace(0, 200, width) + np.linspace(0, 40, height)[:, None]
    return (slopes[None, ..., None] + random.integers(0, 16, (n, height, width, 3))).astype(np.uint8)


def both(model: weights.Weights, n: int, height: int, width: int) -> tuple[TileNetwork, TileNetwork]:
    tiles = runtime(model, "cpu")(n, height, width), runtime(model, "cpu:0")(n, height, width)
    assert isinstance(tiles[0], NumpyTiles)
    assert isinstance(tiles[1], TorchTiles)
    return tiles


@pytest.mark.parametrize("framework", ["one_shot", "additive", "residual_scaling"])
@pytest.mark.parametrize("sizes", [CONFIG, UNEQUAL])
def test_codes_and_pixels_are_those_of_torch(framework: str, sizes: ModelConfig, tmp_path: Path) -> None:
    model = model_of(ModelConfig.from_mapping({**_mapping(sizes), "framework": framework}), tmp_path)
    ours, theirs = both(model, 2, 48, 80)
    pixels = picture(2, 48, 80)
    for network in (ours, theirs):
        network.set_target(pixels)

    for _ in range(model.config.iterations):
        codes = ours.encode()
        assert codes.dtype == np.uint8
        np.testing.assert_array_equal(codes, theirs.encode())
        np.testing.assert_allclose(ours.pixels(), theirs.pixels(), atol=2e-3)


def _mapping(config: ModelConfig) -> dict[str, object]:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


@pytest.mark.parametrize("entry", weights.releases(), ids=lambda release: release.name)
def test_released_models_decode_alike(entry: weights.Release) -> None:
    model = weights.load(entry.model_id)
    ours, theirs = both(model, 1, 64, 96)
    pixels = picture(1, 64, 96)
    theirs.set_target(pixels)
    decoder = runtime(model, "cpu")(1, 64, 96)
    for _ in range(model.config.iterations):
        codes = theirs.encode()
        ours.decode(codes)
        decoder.decode(codes)

    assert np.abs(ours.pixels() - theirs.pixels()).max() < 0.05
    np.testing.assert_array_equal(ours.pixels(), decoder.pixels())


@pytest.mark.parametrize("cells", [1, 12, 1 << 20])
def test_strips_of_any_size_make_the_same_pictures(cells: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, pixels = model_of(CONFIG, tmp_path), picture(3, 32, 48)

    def coded() -> tuple[list[NDArray[np.uint8]], NDArray[np.float32]]:
        network = runtime(model, "cpu")(3, 32, 48)
        network.set_target(pixels)
        return [network.encode() for _ in range(3)], network.pixels()

    codes, shown = coded()
    monkeypatch.setattr(numpy_network, "_STRIP_CELLS", cells)
    other_codes, other_shown = coded()

    np.testing.assert_array_equal(codes, other_codes)
    np.testing.assert_allclose(shown, other_shown, atol=1e-3)


def test_tiles_side_by_side_do_not_touch(tmp_path: Path) -> None:
    model, pixels = model_of(CONFIG, tmp_path), picture(5, 16, 32)
    together = runtime(model, "cpu")(5, 16, 32)
    together.set_target(pixels)
    codes = [together.encode() for _ in range(4)]
    for index in range(5):
        alone = runtime(model, "cpu")(1, 16, 32)
        for planes in codes:
            alone.decode(planes[index : index + 1])
        np.testing.assert_allclose(alone.pixels()[0], together.pixels()[index], atol=1e-3)


def test_what_a_host_set_in_numpy_does_not_reach_the_network(tmp_path: Path) -> None:
    model = model_of(CONFIG, tmp_path)
    with np.errstate(all="raise"):
        network = runtime(model, "cpu")(1, 16, 16)
        network.set_target(np.zeros((1, 16, 16, 3), np.uint8))
        network.encode()
        network.pixels()
        assert set(np.geterr().values()) == {"raise"}


def test_the_transform_is_that_of_torch_and_undone_by_its_inverse() -> None:
    there, back = transform_matrices()
    pixels = picture(1, 8, 8)
    expected = BlockTransform()(torch.tensor(pixels, dtype=torch.float32).permute(0, 3, 1, 2)).reshape(-1)
    coefficients = (pixels.reshape(1, -1).astype(np.float32) - 128) @ there

    np.testing.assert_allclose(coefficients[0], expected.numpy(), atol=1e-3)
    np.testing.assert_allclose(coefficients @ back + 128, pixels.reshape(1, -1), atol=1e-3)


@pytest.mark.parametrize("change", [{"cell": "lstm"}, {"cell": "residual_gru"}, {"separable": False}])
def test_other_models_are_left_to_torch(change: dict[str, object], tmp_path: Path) -> None:
    model = model_of(ModelConfig.from_mapping({**_mapping(CONFIG), **change}), tmp_path)

    assert not can_run(model.config)
    assert isinstance(runtime(model, "cpu")(1, 16, 16), TorchTiles)


def test_a_picture_is_loaded_and_saved_without_torch(tmp_path: Path) -> None:
    path = register_tiny_codec(tmp_path)
    program = (
        "import io, sys; from PIL import Image; import pillow_rnc; from pillow_rnc import weights\n"
        f"weights.register({str(path)!r}); fp = io.BytesIO()\n"
        "Image.linear_gradient('L').save(fp, 'RNC', model='tiny', iterations=2); Image.open(fp).load()\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_needs_torch_says_so_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gru, lstm = model_of(CONFIG, tmp_path), model_of(replace(CONFIG, cell="lstm"), tmp_path, seed=2)
    monkeypatch.delitem(sys.modules, "pillow_rnc.torch_inference")
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(RncOptionError, match=r"device 'cuda' needs torch: pip install pillow-rnc\[torch\]"):
        runtime(gru, "cuda")
    with pytest.raises(UnsupportedError, match=r"cell 'lstm' needs torch"):
        runtime(lstm, "cpu")
