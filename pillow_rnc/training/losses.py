"""Distortions that training minimizes, in decibels for each image: PSNR-HVS of luma and chroma, and MS-SSIM.

Both are logarithms of an error that is a mean over one image, so that every image and every rate counts equally, as in
the mean curves by which the codec is evaluated.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from pillow_rnc.models.torch_transform import hvs_weights

PEAK_DB = 20 * math.log10(255)
"""What a PSNR is measured from: less the error in decibels of squared 8-bit levels, it is the PSNR."""
_CHROMA_SHARE = 0.15  # of the squared chroma error beside that of luma
_FLOOR_HVS = 0.5  # squared 8-bit levels; keeps perfect blocks from dominating the logarithm
_FLOOR_MS_SSIM = 2e-4
_MS_SSIM_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2


def visible_weights() -> Tensor:
    """Return how visible a unit of error is in each coefficient of a block, float32 [1, 192, 1, 1]."""
    luma = hvs_weights()
    chroma = math.sqrt(_CHROMA_SHARE) * luma
    return torch.cat([luma, chroma, chroma]).view(1, -1, 1, 1)


def hvs_db(blocks: Tensor, weights: Tensor) -> Tensor:
    """Return 10 log10 of the perceptually weighted squared error, float32 [N]; lower is better.

    Args:
        blocks: DCT of the 8x8 blocks of the error, by ``BlockTransform.blocks``, [N, 192, h, w].
        weights: By ``visible_weights``.

    Source: PSNR-HVS, Egiazarian et al. 2006, without masking; chroma added with a small share.
    """
    h, w = blocks.shape[2:]
    squared = (blocks * weights).square().sum((1, 2, 3)) / (64 * h * w)
    return 10 * torch.log10(squared + _FLOOR_HVS)


@cache
def _smoothing_matrix(size: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return the 11-tap Gaussian filter without borders as a banded matrix [size - 10, size].

    Matrix products use the cores far better than convolutions of a single channel. Cached, because a step that is
    captured as a graph must not copy from the host.
    """
    taps = torch.exp(-((torch.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    taps = taps / taps.sum()
    matrix = torch.zeros(size - 10, size)
    for row in range(size - 10):
        matrix[row, row : row + 11] = taps
    return matrix.to(device, dtype)


def ms_ssim(x: Tensor, y: Tensor) -> Tensor:
    """Return the multi-scale structural similarity of images in 0..255, float32 [N].

    Uses as many of the five published scales as the 11-tap window allows, their weights brought to sum 1.

    Args:
        x: Pixels [N, 3, H, W], H and W at least 16.
        y: Pixels to compare with, same shape.
    """
    n = x.shape[0]
    levels = min(5, int(math.log2(min(x.shape[2:]) / 11)) + 1)
    weights = [weight / sum(_MS_SSIM_WEIGHTS[:levels]) for weight in _MS_SSIM_WEIGHTS[:levels]]
    x, y = x.flatten(0, 1), y.flatten(0, 1)  # [3 N, H, W]
    out = torch.ones(n, dtype=x.dtype, device=x.device)
    for level in range(levels):
        rows, columns = (_smoothing_matrix(size, x.device, x.dtype) for size in x.shape[1:])
        maps = rows @ (torch.cat([x, y, x * x + y * y, x * y]) @ columns.T)
        mu_x, mu_y, energy, product = maps.chunk(4)
        mu_xy, mu_sq = mu_x * mu_y, mu_x * mu_x + mu_y * mu_y
        contrast = (2 * (product - mu_xy) + _C2) / (energy - mu_sq + _C2)
        if level == levels - 1:
            contrast = contrast * (2 * mu_xy + _C1) / (mu_sq + _C1)
        else:
            x, y = F.avg_pool2d(x[:, None], 2)[:, 0], F.avg_pool2d(y[:, None], 2)[:, 0]
        mean = contrast.mean((1, 2)).view(n, 3).mean(1)
        out = out * mean.clamp_min(1e-3) ** weights[level]
    return out


def ms_ssim_db(x: Tensor, y: Tensor) -> Tensor:
    """Return 10 log10(1 - MS-SSIM) of images in 0..255, float32 [N]; lower is better."""
    return 10 * torch.log10(1 - ms_ssim(x, y) + _FLOOR_MS_SSIM)
