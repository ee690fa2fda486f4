from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("pytorch_msssim", reason="needs the extra [eval]")
pytest.importorskip("psnr_hvsm", reason="needs the extra [eval]")

from pillow_rnc.evaluation import metrics

GREY = np.full((176, 192, 3), 128, dtype=np.uint8)


def noise(shape: tuple[int, ...], seed: int = 0) -> metrics.Pixels:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_psnr_of_an_error_of_five_levels_everywhere() -> None:
    assert metrics.psnr(GREY, GREY + np.uint8(5)) == pytest.approx(20 * math.log10(255 / 5))


def test_psnr_averages_over_channels() -> None:
    red = GREY.copy()
    red[..., 0] -= 10

    assert metrics.psnr(GREY, red) == pytest.approx(10 * math.log10(255**2 / (100 / 3)))


def test_psnr_does_not_wrap_around_at_black() -> None:
    assert metrics.psnr(np.zeros_like(GREY), np.full_like(GREY, 255)) == pytest.approx(0)


def test_identical_pictures_score_the_convention() -> None:
    picture = noise((168, 161, 3))

    assert metrics.score(picture, picture) == pytest.approx((100, 1, 100, 100), abs=1e-6)


def test_ms_ssim_of_a_darker_flat_picture_is_its_luminance_term() -> None:
    # Without texture every contrast term is 1; luminance enters at the last scale, weight 0.1333.
    a, b, c1 = 128, 32, (0.01 * 255) ** 2
    luminance = (2 * a * b + c1) / (a * a + b * b + c1)

    assert metrics.ms_ssim(GREY, np.full_like(GREY, b)) == pytest.approx(luminance**0.1333, abs=2e-4)


def test_ms_ssim_names_the_smallest_side_it_takes() -> None:
    with pytest.raises(ValueError, match=r"160x170 .* at least 161 pixels"):
        metrics.ms_ssim(noise((170, 160, 3)), noise((170, 160, 3)))


def test_psnr_hvs_of_a_brighter_picture_is_its_weighted_dc() -> None:
    # A shift by d changes the DC of an 8x8 DCT by 8 d, of weight 1.608443; the mean is over 64 coefficients.
    error = (8 * 5 * 1.608443) ** 2 / 64

    assert metrics.psnr_hvs(GREY, GREY + np.uint8(5)) == pytest.approx(10 * math.log10(255**2 / error), abs=1e-3)


def test_psnr_hvs_sees_luma_only_and_ignores_unfilled_blocks() -> None:
    picture = GREY[:23, :17].copy()
    picture[16:] = 0
    picture[:, 16:] = 255
    picture[:16, :16] = (128, 128, 128)

    assert metrics.psnr_hvs(GREY[:23, :17], picture) == 100


def test_psnr_hvs_forgives_fine_detail_more_than_coarse() -> None:
    rows, columns = np.mgrid[:176, :192]
    fine = GREY + ((rows + columns) % 2 * 8).astype(np.uint8)[..., None]
    coarse = GREY + ((rows // 16 + columns // 16) % 2 * 8).astype(np.uint8)[..., None]

    assert metrics.psnr(GREY, fine) == pytest.approx(metrics.psnr(GREY, coarse))
    assert metrics.psnr_hvs(GREY, fine) > metrics.psnr_hvs(GREY, coarse) + 2


def test_small_pictures_lack_what_does_not_fit() -> None:
    tiny, small = noise((7, 9, 3)), noise((8, 160, 3))

    assert [math.isnan(value) for value in metrics.score(tiny, tiny)] == [False, True, True, True]
    assert [math.isnan(value) for value in metrics.score(small, small)] == [False, True, False, False]


def test_different_shapes_or_types_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        metrics.psnr(GREY, GREY[1:])
    with pytest.raises(ValueError, match="expected uint8"):
        metrics.psnr(GREY, GREY.astype(np.float32))
