"""The fixed front and back end of the light networks: RGB pixels <-> weighted lapped coefficients of YCbCr.

A picture [N, 3, H, W] becomes a map [N, 192, H/8, W/8]: 64 luma coefficients, then 64 of Cb and 64 of Cr, each in
row-major order of frequency, in units of 8-bit levels, times a fixed perceptual weight. The weights make one unit of
error in any coefficient about equally visible, so that later stages may treat all of them alike.

The transform is a time-domain lapped one: a filter across each border of 8x8 blocks, then the DCT of the blocks. On
the way back the inverse filter smooths the borders, so that coarse quantisation leaves ramps instead of block edges.
At the border of the picture there is nothing to lap over, and the four outer rows and columns stay as they are.

The numbers are those of `block_basis`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pillow_rnc import block_basis

BLOCK, COEFFICIENTS = block_basis.BLOCK, block_basis.COEFFICIENTS


def hvs_weights() -> Tensor:
    """Return the contrast sensitivity weights of PSNR-HVS, float32 [64], row-major."""
    return torch.from_numpy(block_basis.hvs_weights()).float()


def _along_rows(planes: Tensor, matrix: Tensor) -> Tensor:
    """Return planes [..., W] with ``matrix`` applied to the samples around each border of 8."""
    width = planes.shape[-1]
    if width <= BLOCK:
        return planes
    edge = BLOCK // 2
    inner = planes[..., edge:-edge].reshape(*planes.shape[:-1], -1, BLOCK) @ matrix.T
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
        colour = torch.tensor(block_basis.YCBCR, dtype=torch.float64)
        overlap = torch.from_numpy(block_basis.overlap_filter())
        buffers = {
            "basis": torch.from_numpy(block_basis.basis()),
            "colour": colour,
            "inverse_colour": torch.linalg.inv(colour),
            "overlap": overlap,
            "inverse_overlap": torch.linalg.inv(overlap),
            "weight": torch.from_numpy(block_basis.coefficient_weights()),
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
        h, w = height // BLOCK, width // BLOCK
        blocks = F.pixel_unshuffle(planes, BLOCK).view(n, 3, 64, h, w)
        return torch.einsum("kp,ncphw->nckhw", self.basis, blocks).reshape(n, COEFFICIENTS, h, w)

    def _planes(self, coefficients: Tensor) -> Tensor:
        """Return the planes YCbCr [N, 3, H, W] of weighted coefficients [N, 192, h, w]."""
        n, _, h, w = coefficients.shape
        plain = (coefficients / self.weight.view(1, -1, 1, 1)).view(n, 3, 64, h, w)
        blocks = torch.einsum("kp,nckhw->ncphw", self.basis, plain).reshape(n, COEFFICIENTS, h, w)
        return _across_borders(F.pixel_shuffle(blocks, BLOCK), self.inverse_overlap)
