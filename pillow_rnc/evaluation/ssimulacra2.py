"""SSIMULACRA2 of 8-bit RGB images, in torch.

The constants, the trained weights and the final mapping are those of the package ssimulacra2. Its own computation is
some ten times slower and blurs with another kernel and other borders than the original tool, from which it differs by
up to 4 points on photographs and by far more on noise. This one blurs as the original does; a test compares the two.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from numpy.typing import NDArray
from ssimulacra2 import ssimulacra2 as package
from torch.nn import functional as F

Pixels = NDArray[np.uint8]

MIN_SIDE_PX = 8  # an image with a shorter side is not halved any further
_SIGMA_PX = 1.5


@torch.inference_mode()
def ssimulacra2(original: Pixels, picture: Pixels) -> float:
    """Return SSIMULACRA2 of two images of one shape, uint8 ``[H, W, 3]`` in sRGB.

    100 for identical images, about 90 where no difference is visible, 50 at medium quality; negative where the
    distortion is very strong.

    Raises:
        ValueError: A side is below 8.

    Source: Sneyers, SSIMULACRA 2.1, https://github.com/cloudinary/ssimulacra2.
    """
    if min(original.shape[:2]) < MIN_SIDE_PX:
        msg = (
            f"an image of {original.shape[1]}x{original.shape[0]} has no SSIMULACRA2: it needs 8 pixels on either side"
        )
        raise ValueError(msg)
    first, second = _linear_rgb(original), _linear_rgb(picture)
    result = package.Msssim()
    for scale in range(package.kNumScales):
        if min(first.shape[1:]) < MIN_SIDE_PX:
            break
        if scale:
            first, second = _halved(first), _halved(second)
        result.scales.append(_compare(_xyb(first), _xyb(second)))
    return float(result.score())


def _compare(first: torch.Tensor, second: torch.Tensor) -> object:
    """Return the averages of the maps of one scale; images are ``[3, H, W]`` in positive XYB."""
    planes = torch.cat([first, second, first * first, second * second, first * second])
    mean_1, mean_2, square_1, square_2, product = _blur(planes).reshape(5, *first.shape)
    # As in SSIM, but the luminance term is not divided by the means: XYB is perceptually uniform.
    luminance = 1 - (mean_1 - mean_2).square()
    structure = 2 * (product - mean_1 * mean_2) + package.kC2
    structure /= square_1 - mean_1.square() + (square_2 - mean_2.square()) + package.kC2
    difference = (1 - luminance * structure).clamp(min=0)
    # Above 0 where the second image has an edge that the first lacks, below where it has lost one.
    edges = (1 + (second - mean_2).abs()) / (1 + (first - mean_1).abs()) - 1
    scale = package.MsssimScale()
    scale.avg_ssim[0::2], scale.avg_ssim[1::2] = _norms(difference)
    scale.avg_edgediff[0::4], scale.avg_edgediff[1::4] = _norms(edges.clamp(min=0))
    scale.avg_edgediff[2::4], scale.avg_edgediff[3::4] = _norms((-edges).clamp(min=0))
    return scale


def _norms(planes: torch.Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and fourth root of the mean fourth power of each plane ``[H, W]``, both ``[3]``."""
    fourth = planes.square().square().mean((1, 2), dtype=torch.float64).sqrt().sqrt()
    return planes.mean((1, 2), dtype=torch.float64).numpy(), fourth.numpy()


def _linear_rgb(pixels: Pixels) -> torch.Tensor:
    """Return linear RGB in 0..1, float32 ``[3, H, W]``."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    curve = torch.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4).float()
    return curve[torch.from_numpy(pixels.transpose(2, 0, 1).astype(np.int64))]


def _xyb(linear: torch.Tensor) -> torch.Tensor:
    """Return positive XYB ``[3, H, W]`` of linear RGB ``[3, H, W]``."""
    matrix = torch.from_numpy(package.kOpsinAbsorbanceMatrix).float().reshape(3, 3)
    bias = float(package.kB0)
    mixed = (torch.einsum("ij,jhw->ihw", matrix, linear) + bias).clamp(min=0)
    long, middle, short = mixed.pow(1 / 3) - bias ** (1 / 3)
    x, y = (long - middle) / 2, (long + middle) / 2
    return torch.stack([14 * x + 0.42, y + 0.01, short - y + 0.55])


def _halved(planes: torch.Tensor) -> torch.Tensor:
    """Return the means of blocks of 2x2; an odd last row or column counts twice."""
    height, width = planes.shape[1:]
    return F.avg_pool2d(F.pad(planes[None], (0, width % 2, 0, height % 2), mode="replicate"), 2)[0]


def _blur(planes: torch.Tensor) -> torch.Tensor:
    """Return planes ``[C, H, W]`` convolved with the kernel in both directions, zeros around them.

    Nine shifted sums take a fifth of the time of a convolution by torch.
    """
    taps = _kernel()
    radius = len(taps) - 1
    height, width = planes.shape[1:]
    wide = F.pad(planes, (radius, radius))
    rows = taps[0] * planes
    for shift, tap in enumerate(taps[1:], 1):
        left, right = radius - shift, radius + shift
        rows.add_(wide[..., left : left + width] + wide[..., right : right + width], alpha=tap)
    high = F.pad(rows, (0, 0, radius, radius))
    blurred = taps[0] * rows
    for shift, tap in enumerate(taps[1:], 1):
        upper, lower = radius - shift, radius + shift
        blurred.add_(high[:, upper : upper + height] + high[:, lower : lower + height], alpha=tap)
    return blurred


@functools.cache
def _kernel() -> list[float]:
    """Return the middle tap of the kernel and those to its right: a sum of three cosines that resembles a Gaussian.

    Source: Charalampidis 2016, Recursive implementation of the Gaussian filter using truncated cosine functions;
    numbers of equations in the comments.
    """
    radius = round(3.2795 * _SIGMA_PX + 0.2546)  # (57)
    omega = np.array([1, 3, 5]) * math.pi / (2 * radius)
    p = np.array([1, -1, 1]) / np.tan(omega / 2)  # (37)
    r = np.array([1, -1, 1]) * p * p / np.sin(omega)  # (44)
    rho = np.exp(-(_SIGMA_PX**2) * omega**2 / 2) / radius  # (50)
    d_13, d_35, d_51 = (p[i] * r[j] - r[i] * p[j] for i, j in ((0, 1), (1, 2), (2, 0)))
    zeta = np.array([d_35 / d_13, d_51 / d_13, 1])  # (52)
    # Sum 1, variance sigma^2, and the projection of the Gaussian (53 to 56).
    beta = np.linalg.solve(np.array([p, r, zeta]), np.array([1, radius**2 - _SIGMA_PX**2, zeta @ rho]))
    return [float(beta @ np.cos(omega * n)) for n in range(radius)]
