"""The network in NumPy is the network in torch: the same codes and pixels, for every model that it says it runs."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_codec import CONFIG, picture, recurrent, register_random_codec, register_tiny_codec

from pillow_rnc.entropy import schedule
from pillow_rnc.entropy.kernel import library
from pillow_rnc.errors import RncOptionError, UnsupportedError
from pillow_rnc.models import weights
from pillow_rnc.models.config import CellName, EmbeddedConfig, Framework
from pillow_rnc.models.embedded import numpy_network
from pillow_rnc.models.embedded.numpy_masking import exponential, log_one_plus
from pillow_rnc.models.embedded.numpy_network import NumpyTiles
from pillow_rnc.models.embedded.numpy_target import coefficients
from pillow_rnc.models.embedded.numpy_weights import can_run
from pillow_rnc.models.numpy_transform import overlap_matrices, pixel_matrices, transform_means
from pillow_rnc.models.runtime import TileNetwork, runtime
from pillow_rnc.models.torch_runtime import TorchTiles
from pillow_rnc.models.torch_transform import BlockTransform

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pillow_rnc.models.config import ModelConfig

MEANS = list(schedule.MEANS)


@pytest.fixture(autouse=True)
def _without_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.VARIABLE, "0")


UNEQUAL = replace(CONFIG, decoder_channels=10, context_channels=12)


def model_of(config: ModelConfig, folder: Path, seed: int = 1) -> weights.Weights:
    return weights.load(weights.register(register_random_codec(folder, config, seed)).model_id)


RELEASED = [
    release.model_id
    for release in weights.releases()
    if isinstance(weights.load(release.model_id).config, EmbeddedConfig)
]


def both(model: weights.Weights, n: int, height: int, width: int) -> tuple[TileNetwork, TileNetwork]:
    tiles = runtime(model, "cpu")(n, height, width), runtime(model, "cpu:0")(n, height, width)
    assert isinstance(tiles[0], NumpyTiles)
    assert isinstance(tiles[1], TorchTiles)
    return tiles


@pytest.mark.parametrize("sizes", [CONFIG, UNEQUAL])
def test_codes_and_pixels_are_those_of_torch(sizes: ModelConfig, tmp_path: Path) -> None:
    model = model_of(sizes, tmp_path)
    ours, theirs = both(model, 2, 48, 80)
    pixels = picture(2, 48, 80)
    for network in (ours, theirs):
        network.set_target(pixels)

    for _ in range(model.config.iterations):
        codes = ours.encode()
        assert codes.dtype == np.uint8
        assert codes.any()
        np.testing.assert_array_equal(codes, theirs.encode())
        np.testing.assert_allclose(ours.pixels(), theirs.pixels(), atol=2e-3)


@pytest.mark.parametrize("model_id", RELEASED, ids=lambda model_id: str(model_id.hex()))
def test_released_models_decode_alike(model_id: bytes) -> None:
    model = weights.load(model_id)
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


def coefficients_of(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the coefficients [192, n, h, w] of pictures [n, height, width, 3], by the parts of this runtime."""
    return coefficients(pixels, np.arange(192))


@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_the_transform_is_that_of_torch(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (2, 8 * height, 8 * width, 3)).astype(np.uint8)
    expected = BlockTransform()(torch.tensor(pixels, dtype=torch.float32).permute(0, 3, 1, 2))

    np.testing.assert_allclose(coefficients_of(pixels), expected.transpose(0, 1).numpy(), atol=5e-3)


def test_logarithms_and_exponentials_are_those_of_numpy() -> None:
    x = np.concatenate([[0], np.logspace(-30, 30, 4001)]).astype(np.float32)
    y = np.linspace(-86, 87, 4001, dtype=np.float32)

    np.testing.assert_allclose(log_one_plus(x), np.log1p(x.astype(np.float64)), rtol=4e-7)
    np.testing.assert_allclose(exponential(y), np.exp(y.astype(np.float64)), rtol=4e-7)


def test_the_matrices_undo_each_other() -> None:
    there, back = pixel_matrices()

    np.testing.assert_allclose(there @ back, np.eye(192), atol=1e-12)


def test_matrices_are_made_once_and_nobody_can_change_them() -> None:
    def matrices() -> list[NDArray[Any]]:
        return [*pixel_matrices(), *overlap_matrices()]

    for made, again in zip(matrices(), matrices(), strict=True):
        assert made is again
        with pytest.raises(ValueError, match="read-only"):
            made[0, 0] = 1


@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 2**32 - 1))
def test_the_wavelet_of_the_means_is_undone_and_touches_nothing_else(height: int, width: int, seed: int) -> None:
    before = np.random.default_rng(seed).normal(0, 500, (192, 2, height, width)).astype(np.float32)
    after = before.copy()
    transform_means(after, back=False)
    others = [c for c in range(192) if c not in MEANS]
    np.testing.assert_array_equal(after[others], before[others])
    if height * width > 1:
        assert np.abs(after[MEANS] - before[MEANS]).max() > 1

    transform_means(after, back=True)
    np.testing.assert_allclose(after, before, atol=5e-3)


@given(height=st.integers(1, 13), width=st.integers(1, 13), level=st.floats(-500, 500, width=32))
def test_constants_pass_to_the_means_of_means(height: int, width: int, level: float) -> None:
    means = np.full((192, 1, height, width), level, np.float32)
    transform_means(means, back=False)
    halvings = [min(2, (length - 1).bit_length()) for length in (height, width)]
    expected = np.zeros((height, width))
    expected[:: 2 ** halvings[0], :: 2 ** halvings[1]] = level * 2 ** (sum(halvings) / 2)

    for coefficient in MEANS:
        np.testing.assert_allclose(means[coefficient, 0], expected, atol=1e-3, rtol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(2, 2), (3, 4), (7, 9), (16, 16)])
def test_an_error_in_any_coefficient_of_the_wavelet_weighs_about_alike(height: int, width: int) -> None:
    """As in an orthonormal transform, whose norms are all 1; less so at the border of the picture."""
    unit = np.zeros((192, height * width, height, width), np.float32)
    unit[0].reshape(height * width, -1)[...] = np.eye(height * width)
    transform_means(unit, back=True)
    norms = np.sqrt(np.square(unit[0]).sum((1, 2))).reshape(height, width)

    assert 0.65 < norms.min() <= norms.max() < 1.65
    if min(height, width) > 8:
        assert 0.8 < norms[4:-4, 4:-4].min() <= norms[4:-4, 4:-4].max() < 1.3


@pytest.mark.parametrize(
    "config",
    [recurrent("additive", cell=name) for name in get_args(CellName) if name != "gru"]
    + [replace(CONFIG, separable=False)]
    + [recurrent(framework) for framework in get_args(Framework)],
    ids=lambda config: f"{config.family} {getattr(config, 'framework', '')} {config.cell} {config.separable}",
)
def test_other_models_are_left_to_torch(config: ModelConfig, tmp_path: Path) -> None:
    model = model_of(config, tmp_path)

    assert not can_run(model.config)
    assert isinstance(runtime(model, "cpu")(1, 16, 16), TorchTiles)


def test_a_picture_is_loaded_and_saved_without_torch(tmp_path: Path) -> None:
    path = register_tiny_codec(tmp_path)
    program = (
        "import io, sys; from PIL import Image; import pillow_rnc; from pillow_rnc.models import weights\n"
        f"weights.register({str(path)!r}); fp = io.BytesIO()\n"
        "Image.linear_gradient('L').save(fp, 'RNC', model='tiny', iterations=2); Image.open(fp).load()\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_what_needs_torch_says_so_where_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gru, lstm = model_of(CONFIG, tmp_path), model_of(recurrent("additive", cell="lstm"), tmp_path, seed=2)
    monkeypatch.delitem(sys.modules, "pillow_rnc.models.torch_runtime")
    monkeypatch.setitem(sys.modules, "torch", None)

    with pytest.raises(RncOptionError, match=r"device 'cuda' needs torch: pip install pillow-rnc\[torch\]"):
        runtime(gru, "cuda")
    with pytest.raises(UnsupportedError, match=r"cell 'lstm' needs torch"):
        runtime(lstm, "cpu")
