"""The fixed front and back end of the light networks: RGB pixels <-> weighted lapped coefficients of YCbCr.

A picture [N, 3, H, W] becomes a map [N, 192, H/8, W/8]: 64 luma coefficients, then 64 of Cb and 64 of Cr, each in
row-major order of frequency, in units of 8-bit levels, times a fixed perceptual weight. The weights make one unit of
error in any coefficient about equally visible, so that later stages may treat all of them alike.

The transform is a time-domain lapped one: a filter across each border of 8x8 blocks, then the DCT of the blocks. On
the way back the inverse filter smooths the borders, so that coarse quantisation leaves ramps instead of block edges.
At the border of the picture there is nothing to lap over, and the four outer rows and columns stay as they are.

Source: YCbCr of ITU-T T.871; weights after the luminance table of ITU-T T.81 annex K; lapped transform: Tran, Liang and
Tu, "Lapped transform via time-domain pre- and post-filtering", IEEE Trans. Signal Processing 51 (2003).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

COEFFICIENTS = 192
_BLOCK = 8
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
_OVERLAP_SCALE = 1.3  # of the mean difference across a border: above 1, flat areas are quantised more finely


def hvs_weights() -> Tensor:
    """Return the contrast sensitivity weights of PSNR-HVS, float32 [64], row-major."""
    return _HVS_SCALE / torch.tensor(_LUMINANCE_STEPS, dtype=torch.float32).reshape(64)


def _dct(size: int) -> Tensor:
    """Return the orthonormal DCT-II, float64 [size, size]."""
    k = torch.arange(size, dtype=torch.float64)
    basis = torch.cos(math.pi * (2 * k[None] + 1) * k[:, None] / (2 * size)) * math.sqrt(2 / size)
    basis[0] /= math.sqrt(2)
    return basis


def overlap_filter() -> Tensor:
    """Return the filter of the eight samples across a border of blocks, float64 [8, 8]; constants pass unchanged."""
    k = torch.arange(4, dtype=torch.float64)
    dct4 = torch.cos(math.pi * (2 * k[None] + 1) * (2 * k[:, None] + 1) / 16) / math.sqrt(2)
    scale = torch.tensor([_OVERLAP_SCALE, 1.0, 1.0, 1.0], dtype=torch.float64)
    unit = torch.eye(4, dtype=torch.float64)
    differences = (_dct(4).T @ (scale[:, None] * dct4)).flip(0, 1)
    mirror = unit.flip(0)
    butterfly = torch.cat([torch.cat([unit, mirror], 1), torch.cat([mirror, -unit], 1)]) / math.sqrt(2)
    return butterfly @ torch.block_diag(unit, differences) @ butterfly


def _along_rows(planes: Tensor, matrix: Tensor) -> Tensor:
    """Return planes [..., W] with ``matrix`` applied to the samples around each border of 8."""
    width = planes.shape[-1]
    if width <= _BLOCK:
        return planes
    edge = _BLOCK // 2
    inner = planes[..., edge:-edge].unflatten(-1, (-1, _BLOCK)) @ matrix.T
    return torch.cat([planes[..., :edge], inner.flatten(-2), planes[..., -edge:]], -1)


def _across_borders(planes: Tensor, matrix: Tensor) -> Tensor:
    """Return planes [..., H, W] with ``matrix`` applied around each border of blocks, along both directions."""
    return _along_rows(_along_rows(planes, matrix).transpose(-1, -2), matrix).transpose(-1, -2)


class BlockTransform(nn.Module):
    """RGB in 0..255 <-> 192 weighted coefficients per 8x8 block; exact inverses of each other up to rounding."""

    basis: Tensor
    colour: Tensor
    inverse_colour: Tensor
    overlap: Tensor
    inverse_overlap: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        cosines = _dct(_BLOCK)
        colour = torch.tensor(_YCBCR, dtype=torch.float64)
        luma = hvs_weights().double() ** _WEIGHT_EXPONENT
        buffers = {
            "basis": torch.einsum("iu,jv->ijuv", cosines, cosines).reshape(64, 64),
            "colour": colour,
            "inverse_colour": torch.linalg.inv(colour),
            "overlap": overlap_filter(),
            "inverse_overlap": torch.linalg.inv(overlap_filter()),
            "weight": torch.cat([luma, _CHROMA_WEIGHT * luma, _CHROMA_WEIGHT * luma]),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value.float(), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return coefficients [N, 192, H/8, W/8] of pixels [N, 3, H, W] in 0..255; H and W are multiples of 8."""
        planes = torch.einsum("ij,njhw->nihw", self.colour, pixels - 128.0)
        return self._coefficients(_across_borders(planes, self.overlap)) * self.weight.view(1, -1, 1, 1)

    def inverse(self, coefficients: Tensor) -> Tensor:
        """Return pixels [N, 3, H, W], unclipped, of coefficients [N, 192, H/8, W/8]."""
        return torch.einsum("ij,njhw->nihw", self.inverse_colour, self._planes(coefficients)) + 128.0

    def blocks(self, coefficients: Tensor) -> Tensor:
        """Return the plain DCT of each 8x8 block, not weighted, of coefficients; same shape, and linear."""
        return self._coefficients(self._planes(coefficients))

    def _coefficients(self, planes: Tensor) -> Tensor:
        """Return the DCT [N, 192, h, w] of the blocks of planes [N, 3, H, W]."""
        n, _, height, width = planes.shape
        h, w = height // _BLOCK, width // _BLOCK
        blocks = F.pixel_unshuffle(planes, _BLOCK).view(n, 3, 64, h, w)
        return torch.einsum("kp,ncphw->nckhw", self.basis, blocks).reshape(n, COEFFICIENTS, h, w)

    def _planes(self, coefficients: Tensor) -> Tensor:
        """Return the planes YCbCr [N, 3, H, W] of weighted coefficients [N, 192, h, w]."""
        n, _, h, w = coefficients.shape
        plain = (coefficients / self.weight.view(1, -1, 1, 1)).view(n, 3, 64, h, w)
        blocks = torch.einsum("kp,nckhw->ncphw", self.basis, plain).reshape(n, COEFFICIENTS, h, w)
        return _across_borders(F.pixel_shuffle(blocks, _BLOCK), self.inverse_overlap)
