"""The kernel's network: codes as NumPy's, samples within rounding, on every instruction set of this machine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_codec import CONFIG, picture, register_random_codec, register_tiny_codec

from pillow_rnc.codec.blending import Canvas
from pillow_rnc.codec.kernel_samples import blend_samples, round_samples
from pillow_rnc.container.records import Header
from pillow_rnc.entropy.kernel import library
from pillow_rnc.errors import UnsupportedError, WeightsError
from pillow_rnc.models import weights
from pillow_rnc.models.config import EmbeddedConfig
from pillow_rnc.models.embedded.kernel_network import KernelTiles, NetworkKernel
from pillow_rnc.models.embedded.numpy_network import NumpyTiles
from pillow_rnc.models.embedded.numpy_weights import NetworkWeights

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pillow_rnc.models.config import ModelConfig

pytestmark = pytest.mark.skipif(not library.supported(), reason="the kernel was not built")

SETS = library.supported()
RELEASED = [  # and none that other tests registered; the kernel has no network of the recurrent family
    release.model_id
    for release in weights._manifest()
    if isinstance(weights.load(release.model_id).config, EmbeddedConfig)
]
UNEQUAL = replace(CONFIG, decoder_channels=10, context_channels=12)
STEPS = (replace(CONFIG, decoder_steps=1), replace(CONFIG, decoder_steps=3), replace(CONFIG, decoder_steps=4))


def _operands(model: weights.Weights) -> NetworkWeights:
    assert isinstance(model.config, EmbeddedConfig)
    return NetworkWeights(model, model.config)


def _both(model: weights.Weights, name: str, n: int, height: int, width: int) -> tuple[KernelTiles, NumpyTiles]:
    operands = _operands(model)
    kernel = NetworkKernel(operands, name)
    return KernelTiles(kernel, n, height, width), NumpyTiles(operands, n, height, width)


def _agree(model: weights.Weights, name: str, shape: tuple[int, int, int], iterations: int) -> None:
    ours, theirs = _both(model, name, *shape)
    other, _ = _both(model, name, *shape)
    pixels = picture(*shape)
    for network in (ours, theirs):
        network.set_target(pixels)
        np.testing.assert_allclose(network.pixels(), 128, atol=1e-3)  # nothing is known yet
    for _ in range(iterations):
        codes = theirs.encode()
        np.testing.assert_array_equal(ours.encode(), codes)
        other.decode(codes)
        np.testing.assert_allclose(other.pixels(), theirs.pixels(), atol=2e-3)


@pytest.mark.torch
@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("config", [CONFIG, UNEQUAL, *STEPS])
def test_codes_and_samples_are_those_of_numpy(config: ModelConfig, name: str, tmp_path: Path) -> None:
    model = weights.load(weights.register(register_random_codec(tmp_path, config)).model_id)
    _agree(model, name, (2, 48, 80), config.iterations)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("model_id", RELEASED, ids=[one.hex() for one in RELEASED])
def test_released_models_agree(model_id: bytes, name: str) -> None:
    model = weights.load(model_id)
    _agree(model, name, (1, 32, 48), model.config.iterations)


@pytest.mark.parametrize("size", [(16, 16), (16, 400), (400, 16), (32, 16), (208, 144)])
def test_tiles_of_any_size_agree(size: tuple[int, int]) -> None:
    _agree(weights.load("auto"), SETS[-1], (1, *size), 3)


@given(st.integers(0, 2**32), st.integers(1, 5), st.integers(1, 9), st.sampled_from(("noise", "flat", "edges", "soft")))
def test_any_picture_gets_the_codes_of_numpy(seed: int, height: int, width: int, kind: str) -> None:
    """Both paths round each operation alike, so no coefficient falls to the other side of a threshold."""
    random = np.random.default_rng(seed)
    shape = (1, 16 * height, 16 * width, 3)
    pixels = random.integers(0, 256, shape)
    if kind == "flat":  # many coefficients are equal, or zero but for rounding
        pixels[...] = random.integers(0, 256)
    elif kind == "edges":
        pixels = np.where(pixels > random.integers(0, 256), 255, 0)
    elif kind == "soft":
        pixels = np.cumsum(np.cumsum(pixels - 128, axis=1), axis=2) // 64 % 256
    model = weights.load("auto")
    ours, theirs = zip(*(_both(model, name, *shape[:3]) for name in SETS), strict=True)
    for network in (theirs[0], *ours):
        network.set_target(pixels.astype(np.uint8))
    for _ in range(model.config.iterations):
        codes = theirs[0].encode()
        for name, network in zip(SETS, ours, strict=True):
            np.testing.assert_array_equal(network.encode(), codes, name)


def test_tiles_at_work_in_several_threads_do_not_meet() -> None:
    model = weights.load("auto")
    kernel = NetworkKernel(_operands(model), SETS[-1])
    pixels = picture(4, 64, 64)

    def work(picture: NDArray[np.uint8]) -> bytes:
        tiles = KernelTiles(kernel, 1, 64, 64)
        tiles.set_target(picture[None])
        codes = [tiles.encode() for _ in range(4)]
        return b"".join(one.tobytes() for one in codes) + tiles.pixels().tobytes()

    expected = [work(picture) for picture in pixels]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, pixels)) == expected


def test_lengths_and_iterations_are_checked(tmp_path: Path) -> None:
    model = weights.load(weights.register(register_tiny_codec(tmp_path)).model_id)
    ours, _ = _both(model, SETS[0], 1, 32, 32)
    codes = np.zeros((1, 8, 4, 4), np.uint8)
    with pytest.raises(ValueError, match="shape"):
        ours.decode(codes[:, :7])
    with pytest.raises(ValueError, match="shape"):
        ours.set_target(np.zeros((1, 32, 16, 3), np.uint8))
    for _ in range(model.config.iterations):
        ours.decode(codes)
    with pytest.raises(UnsupportedError):
        ours.decode(codes)
    with pytest.raises(ValueError, match="do not fit"):
        ours.set_target(np.zeros((1, 32, 32, 3), np.uint8))  # the tile was made to decode
    odd, _ = _both(model, SETS[0], 1, 32, 32)
    odd._grid = (3, 4)
    with pytest.raises(ValueError, match="do not fit"):
        odd.pixels()


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("grey", [False, True])
@given(st.integers(0, 2**32), st.integers(1, 9), st.integers(1, 40))
def test_samples_are_rounded_as_numpy_rounds_them(grey: bool, name: str, seed: int, height: int, width: int) -> None:
    samples = np.random.default_rng(seed).uniform(-20, 280, (height, width, 3)).astype(np.float32)
    if not grey:
        samples = (np.rint(2 * samples) / 2).astype(np.float32)  # halves go to even numbers
    out = np.empty((height, width) if grey else (height, width, 3), np.uint8)
    assert round_samples(name, samples, out)
    wanted = samples @ np.array([0.299, 0.587, 0.114], np.float32) if grey else samples

    difference = np.abs(out - np.clip(np.rint(wanted), 0, 255))
    assert difference.max() <= (1 if grey else 0)


@pytest.mark.parametrize(("samples", "pixels"), [(np.float64, np.uint8), (np.float32, np.uint16)])
def test_samples_of_another_type_are_rejected(samples: type, pixels: type) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        round_samples(SETS[0], np.zeros((3, 17, 3), samples), np.empty((3, 17, 3), pixels))


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_noticed(name: str, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.VARIABLE, name)
    samples = np.zeros((3, 17, 3), np.float32)
    samples[1, 16, 1] = value
    assert not round_samples(name, samples, np.empty((3, 17, 3), np.uint8))
    assert not round_samples(name, samples, np.empty((3, 17), np.uint8))
    canvas = Canvas(Header(17, 3, "RGB", 1, 8, 8, 64, 0, bytes(8)), None)
    with pytest.raises(WeightsError, match="finite"):
        canvas.add(samples)


@pytest.mark.parametrize("name", SETS)
def test_tiles_are_blended_as_numpy_blends_them(name: str) -> None:
    random = np.random.default_rng(4)
    image, tile = (random.uniform(0, 255, (30, 50, 3)).astype(np.float32) for _ in range(2))
    expected, across, down = image.copy(), random.random(20).astype(np.float32), random.random(10).astype(np.float32)
    expected[5:15, 7:27] += np.outer(down, across)[..., None] * tile[3:13, 2:22]
    blend_samples(name, image[5:15, 7:27], tile[3:13, 2:22], across, down)

    np.testing.assert_allclose(image, expected, atol=1e-3)
    with pytest.raises(ValueError, match="weights"):
        blend_samples(name, image[5:15, 7:26], tile[3:13, 2:22], across, down)
    with pytest.raises(ValueError, match="weights"):
        blend_samples(name, image[5:15, 20:0:-1], tile[3:13, 2:22], across, down)
