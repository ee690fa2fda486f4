"""SSIMULACRA2 against the values of the original tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("ssimulacra2", reason="needs the extra [eval]")
pytest.importorskip("pytorch_msssim", reason="needs the extra [eval]")
pytest.importorskip("psnr_hvsm", reason="needs the extra [eval]")

from pillow_rnc.evaluation.metrics import ssimulacra2

if TYPE_CHECKING:
    from pillow_rnc.evaluation.metrics import Pixels


def waves(height: int = 203, width: int = 251) -> Pixels:
    """Return waves that turn finer to the right, with some grain."""
    rows, columns = np.mgrid[:height, :width]
    plane = 128 + 80 * np.sin(columns**1.7 / 90 + rows / 11)
    grain = np.random.default_rng(3).normal(0, 9, (height, width, 3))
    pixels: Pixels = np.clip(np.rint(plane[..., None] * (1, 0.8, 0.6) + grain), 0, 255).astype(np.uint8)
    return pixels


def noisy(pixels: Pixels, deviation: float) -> Pixels:
    noise = np.random.default_rng(4).normal(0, deviation, pixels.shape)
    changed: Pixels = np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)
    return changed


def coarse(pixels: Pixels, step: int) -> Pixels:
    return (pixels // step * step + step // 2).astype(np.uint8)


def blocky(pixels: Pixels, side: int) -> Pixels:
    return pixels[::side, ::side].repeat(side, 0).repeat(side, 1)[: pixels.shape[0], : pixels.shape[1]]


def shifted_colour(pixels: Pixels, levels: int) -> Pixels:
    changed: Pixels = np.clip(pixels.astype(int) + np.array([levels, 0, -levels]), 0, 255).astype(np.uint8)
    return changed


DISTORTED = {
    "little noise": noisy(waves(), 1),
    "noise": noisy(waves(), 5),
    "much noise": noisy(waves(), 20),
    "coarse levels": coarse(waves(), 8),
    "blocks": blocky(waves(), 3),
    "colour": shifted_colour(waves(), 12),
}
# What the C++ tool says, https://github.com/cloudinary/ssimulacra2 at 81feacf, for PNG files of the same pixels.
ORIGINAL_TOOL = {
    "little noise": 95.54808894,
    "noise": 84.18993375,
    "much noise": 42.58236591,
    "coarse levels": 92.09447453,
    "blocks": -62.97269953,
    "colour": 89.96888348,
}


@pytest.mark.parametrize("name", DISTORTED)
def test_points_are_those_of_the_original_tool(name: str) -> None:
    assert ssimulacra2(waves(), DISTORTED[name]) == pytest.approx(ORIGINAL_TOOL[name], abs=0.25)


@pytest.mark.parametrize("size", [(8, 8), (15, 97), (16, 16), (127, 128)])
def test_small_images_have_fewer_scales(size: tuple[int, int]) -> None:
    small = waves(*size)

    assert ssimulacra2(small, small) == 100
    assert ssimulacra2(small, noisy(small, 9)) < ssimulacra2(small, noisy(small, 2)) < 100


def test_an_image_below_eight_pixels_is_rejected() -> None:
    with pytest.raises(ValueError, match="97x7 has no SSIMULACRA2"):
        ssimulacra2(waves(7, 97), waves(7, 97))
