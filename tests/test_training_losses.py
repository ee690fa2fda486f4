"""The losses of training are the metrics of the evaluation."""

from __future__ import annotations

import math

import psnr_hvsm
import pytest
import torch
from pytorch_msssim import ms_ssim as peer_ms_ssim

from pillow_rnc.models.torch_transform import BlockTransform
from pillow_rnc.training.losses import hvs_db, ms_ssim, ms_ssim_db, visible_weights


def picture(seed: int, size: int) -> torch.Tensor:
    """Return a picture with detail at every scale, float32 [1, 3, size, size] in 0..255."""
    generator = torch.Generator().manual_seed(seed)
    out = torch.zeros(1, 3, size, size)
    for octave in range(6):
        coarse = torch.rand(1, 3, 2 + 2**octave, 2 + 2**octave, generator=generator)
        out += torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic") / 2 ** (octave / 2)
    return (out - out.min()) / (out.max() - out.min()) * 255


def test_ms_ssim_is_that_of_pytorch_msssim() -> None:
    x = torch.cat([picture(1, 192), picture(2, 192)])
    y = (x + 12 * torch.randn(x.shape, generator=torch.Generator().manual_seed(3))).clamp(0, 255)
    expected = peer_ms_ssim(x, y, data_range=255, size_average=False)

    torch.testing.assert_close(ms_ssim(x, y), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("size", [16, 22, 32, 96, 128, 160])
def test_pictures_too_small_for_five_scales_are_judged_by_fewer(size: int) -> None:
    x = picture(4, size)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(5))
    values = [float(ms_ssim(x, (x + level * noise).clamp(0, 255))) for level in (0, 4, 16)]

    assert values[0] == pytest.approx(1, abs=1e-5)
    assert values == sorted(values, reverse=True)


def test_ms_ssim_in_decibels_falls_as_pictures_get_alike() -> None:
    x = picture(6, 64)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(7))
    values = [float(ms_ssim_db(x, x + level * noise)) for level in (0, 2, 8, 32)]

    assert values == sorted(values)
    assert values[0] > 10 * math.log10(1e-4), "bounded for a perfect picture"


def test_hvs_loss_is_psnr_hvs_of_luma() -> None:
    transform = BlockTransform()
    grey = picture(8, 64)[:, :1].expand(-1, 3, -1, -1)
    noisy = grey + 10 * torch.randn((1, 1, 64, 64), generator=torch.Generator().manual_seed(9))
    error = float(hvs_db(transform.blocks(transform(noisy) - transform(grey)), visible_weights()))
    # The peer wants planes in 0..1; the loss has a floor of half a squared level.
    planes = (grey[0, 0].double().numpy() / 255, noisy[0, 0].double().numpy() / 255)
    expected = float(psnr_hvsm.psnr_hvs_hvsm(*planes)[0])
    squared = 255**2 / 10 ** (expected / 10)

    assert error == pytest.approx(10 * math.log10(squared + 0.5), abs=0.02)


def test_chroma_counts_for_less_than_luma() -> None:
    luma, chroma = torch.zeros(1, 192, 2, 2), torch.zeros(1, 192, 2, 2)
    luma[:, 1], chroma[:, 65] = 30, 30
    levels = [10 ** (float(hvs_db(d, visible_weights())) / 10) - 0.5 for d in (luma, chroma)]

    assert levels[1] / levels[0] == pytest.approx(0.15, rel=1e-3)
