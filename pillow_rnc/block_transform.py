"""The fixed front and back end of the light networks: RGB pixels <-> weighted 8x8 DCT coefficients of YCbCr.

A picture [N, 3, H, W] becomes a map [N, 192, H/8, W/8]: 64 luma coefficients, then 64 of Cb and 64 of Cr, each in
row-major order of frequency, in units of 8-bit levels, orthonormal, times a fixed perceptual weight. The weights make
one unit of error in any coefficient about equally visible, so that later stages may treat all of them alike.

Source: YCbCr of ITU-T T.871; weights after the luminance table of ITU-T T.81 annex K.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

COEFFICIENTS = 192
_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
# Quantiser steps of annex K, rows of rising vertical frequency: large steps where the eye sees little.
_LUMINANCE_STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
_HVS_SCALE = 25.735  # PSNR-HVS weighs each coefficient by this over the step of annex K
_WEIGHT_EXPONENT = 0.75  # between plain squared error (0) and PSNR-HVS (1), so that fine texture is kept
_CHROMA_WEIGHT = 0.5


def hvs_weights() -> Tensor:
    """Return the contrast sensitivity weights of PSNR-HVS, float32 [64], row-major."""
    return _HVS_SCALE / torch.tensor(_LUMINANCE_STEPS, dtype=torch.float32).reshape(64)


class BlockTransform(nn.Module):
    """RGB in 0..255 <-> 192 weighted coefficients per 8x8 block; exact inverses of each other up to rounding."""

    basis: Tensor
    colour: Tensor
    inverse_colour: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        k = torch.arange(8, dtype=torch.float64)
        cosines = torch.cos(math.pi * (2 * k[None] + 1) * k[:, None] / 16) / 2
        cosines[0] /= math.sqrt(2)
        basis = torch.einsum("iu,jv->ijuv", cosines, cosines).reshape(64, 64)
        colour = torch.tensor(_YCBCR, dtype=torch.float64)
        luma = hvs_weights().double() ** _WEIGHT_EXPONENT
        self.register_buffer("basis", basis.float(), persistent=False)
        self.register_buffer("colour", colour.float(), persistent=False)
        self.register_buffer("inverse_colour", torch.linalg.inv(colour).float(), persistent=False)
        weight = torch.cat([luma, _CHROMA_WEIGHT * luma, _CHROMA_WEIGHT * luma])
        self.register_buffer("weight", weight.float(), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return coefficients [N, 192, H/8, W/8] of pixels [N, 3, H, W] in 0..255; H and W are multiples of 8."""
        n, _, height, width = pixels.shape
        h, w = height // 8, width // 8
        ycc = torch.einsum("ij,njhw->nihw", self.colour, pixels - 128.0)
        blocks = F.pixel_unshuffle(ycc, 8).view(n, 3, 64, h, w)
        coefficients = torch.einsum("kp,ncphw->nckhw", self.basis, blocks).reshape(n, COEFFICIENTS, h, w)
        return coefficients * self.weight.view(1, -1, 1, 1)

    def inverse(self, coefficients: Tensor) -> Tensor:
        """Return pixels [N, 3, H, W], unclipped, of coefficients [N, 192, H/8, W/8]."""
        n, _, h, w = coefficients.shape
        plain = (coefficients / self.weight.view(1, -1, 1, 1)).view(n, 3, 64, h, w)
        blocks = torch.einsum("kp,nckhw->ncphw", self.basis, plain).reshape(n, COEFFICIENTS, h, w)
        return torch.einsum("ij,njhw->nihw", self.inverse_colour, F.pixel_shuffle(blocks, 8)) + 128.0
