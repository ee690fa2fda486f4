"""Full-reference metrics of 8-bit RGB images: PSNR, MS-SSIM, PSNR-HVS, SSIMULACRA2.

Knows arrays only, no files and no codec.
"""

from __future__ import annotations

import contextlib
import io
import math
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_msssim import ms_ssim as windowed_ms_ssim

from pillow_rnc.evaluation import ssimulacra2 as ssimulacra2_maps

with contextlib.redirect_stdout(io.StringIO()):  # it prints which of its backends are missing
    from psnr_hvsm import BACKENDS as HVS_BACKENDS

Pixels = NDArray[np.uint8]

IDENTICAL_DB = 100.0  # what psnr-hvsm returns for equal images; PSNR follows, so means stay finite
MS_SSIM_MIN_SIDE_PX = 161  # an 11-pixel window must fit after four halvings
HVS_BLOCK_PX = 8
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601, full range
_hvs_and_hvsm = HVS_BACKENDS.get("cpp", HVS_BACKENDS["numpy"])["psnr_hvs_hvsm"]


class Scores(NamedTuple):
    """How close an image is to its original; greater is closer."""

    psnr: float  # dB, mean squared error over all pixels and the three channels
    ms_ssim: float  # unitless, at most 1; nan when a side is below MS_SSIM_MIN_SIDE_PX
    psnr_hvs: float  # dB, luma; nan when a side is below HVS_BLOCK_PX
    ssimulacra2: float  # points, at most 100, may be negative; nan when a side is below 8


def psnr(original: Pixels, picture: Pixels) -> float:
    """Return the PSNR in dB of uint8 ``[H, W, 3]``; 100 for identical images."""
    _check_pair(original, picture)
    difference = original.astype(np.float64) - picture
    error = float(np.mean(difference * difference))
    return IDENTICAL_DB if error == 0 else 10 * math.log10(255**2 / error)


def ms_ssim(original: Pixels, picture: Pixels) -> float:
    """Return the five-scale MS-SSIM of uint8 ``[H, W, 3]``, averaged over R, G and B.

    Raises:
        ValueError: A side is below ``MS_SSIM_MIN_SIDE_PX``.

    Source: Wang, Simoncelli, Bovik 2003, as computed by pytorch-msssim.
    """
    _check_pair(original, picture)
    height, width = original.shape[:2]
    if min(width, height) < MS_SSIM_MIN_SIDE_PX:
        msg = (
            f"an image of {width}x{height} has no MS-SSIM: "
            f"its five scales need at least {MS_SSIM_MIN_SIDE_PX} pixels on either side"
        )
        raise ValueError(msg)
    with torch.inference_mode():
        return float(windowed_ms_ssim(planes_of(original), planes_of(picture), data_range=255))


def psnr_hvs(original: Pixels, picture: Pixels) -> float:
    """Return the PSNR-HVS in dB of the luma of uint8 ``[H, W, 3]``; 100 for identical images.

    The metric is defined on 8x8 blocks: up to seven rows and columns that fill no
    block, at the bottom and at the right, do not count.

    Raises:
        ValueError: A side is below 8.

    Source: Egiazarian et al. 2006, as computed by psnr-hvsm, on unrounded BT.601 luma.
    """
    _check_pair(original, picture)
    height, width = (side - side % HVS_BLOCK_PX for side in original.shape[:2])
    if not height or not width:
        msg = f"an image of {original.shape[1]}x{original.shape[0]} has no 8x8 block for PSNR-HVS"
        raise ValueError(msg)
    first, second = (image[:height, :width] @ _LUMA / 255 for image in (original, picture))
    return float(_hvs_and_hvsm(first, second)[0])


def ssimulacra2(original: Pixels, picture: Pixels) -> float:
    """Return SSIMULACRA2 of uint8 ``[H, W, 3]``: 100 for identical images, 90 visually lossless, 50 medium quality.

    Raises:
        ValueError: A side is below 8.

    Source: `pillow_rnc.evaluation.ssimulacra2`.
    """
    _check_pair(original, picture)
    return ssimulacra2_maps.ssimulacra2(original, picture)


def score(original: Pixels, picture: Pixels) -> Scores:
    """Return all metrics of uint8 ``[H, W, 3]``; nan where the image is too small for one."""
    side = min(original.shape[:2])
    return Scores(
        psnr(original, picture),
        ms_ssim(original, picture) if side >= MS_SSIM_MIN_SIDE_PX else math.nan,
        psnr_hvs(original, picture) if side >= HVS_BLOCK_PX else math.nan,
        ssimulacra2(original, picture) if side >= ssimulacra2_maps.MIN_SIDE_PX else math.nan,
    )


def planes_of(pixels: Pixels) -> torch.Tensor:
    """Return an image, uint8 [H, W, 3], as float32 [1, 3, H, W] in 0..255."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)).astype(np.float32))[None]


def _check_pair(original: Pixels, picture: Pixels) -> None:
    if original.shape != picture.shape:
        msg = f"the images differ in shape: {original.shape} and {picture.shape}"
        raise ValueError(msg)
    if original.dtype != np.uint8 or picture.dtype != np.uint8:
        msg = f"expected uint8 pixels, found {original.dtype} and {picture.dtype}"
        raise ValueError(msg)
