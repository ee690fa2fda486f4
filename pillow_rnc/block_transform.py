"""The fixed front and back end of the light networks: RGB pixels <-> weighted 8x8 DCT coefficients of YCbCr.

A picture [N, 3, H, W] becomes a map [N, 192, H/8, W/8]: 64 luma coefficients, then 64 of Cb and 64 of Cr, each in
row-major order of frequency, in units of 8-bit levels, orthonormal, times a fixed perceptual weight. The weights make
one unit of error in any coefficient about equally visible, so that later stages may treat all of them alike.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pillow_rnc import block_basis

COEFFICIENTS = block_basis.COEFFICIENTS


def hvs_weights() -> Tensor:
    """Return the contrast sensitivity weights of PSNR-HVS, float32 [64], row-major."""
    return torch.from_numpy(block_basis.hvs_weights()).float()


class BlockTransform(nn.Module):
    """RGB in 0..255 <-> 192 weighted coefficients per 8x8 block; exact inverses of each other up to rounding."""

    basis: Tensor
    colour: Tensor
    inverse_colour: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        colour = torch.tensor(block_basis.YCBCR, dtype=torch.float64)
        self.register_buffer("basis", torch.from_numpy(block_basis.basis()).float(), persistent=False)
        self.register_buffer("colour", colour.float(), persistent=False)
        self.register_buffer("inverse_colour", torch.linalg.inv(colour).float(), persistent=False)
        weight = torch.from_numpy(block_basis.coefficient_weights())
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
