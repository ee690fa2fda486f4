"""The fixed front and back end of the light networks: RGB pixels <-> weighted lapped coefficients of YCbCr.

An image [N, 3, H, W] becomes a map [N, 192, H/8, W/8]: 64 luma coefficients, then 64 of Cb and 64 of Cr, each in
row-major order of frequency, in units of 8-bit levels, times a fixed perceptual weight. The weights make one unit of
error in any coefficient about equally visible, so that later stages may treat all of them alike.

The transform is a time-domain lapped one: a filter across each border of 8x8 blocks, then the DCT of the blocks. On
the way back the inverse filter smooths the borders, so that coarse quantization leaves ramps instead of block edges.
At the border of the image there is nothing to lap over, and the four outer rows and columns stay as they are.

The means of the blocks, which resemble their neighbours, are then transformed by two levels of a wavelet, in place:
means of means remain in every fourth row and column, and all else is detail. So the coefficients of a block
may be coded without reference to those around it.

The numbers are those of `basis`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pillow_rnc.entropy.schedule import COEFFICIENTS
from pillow_rnc.models import basis
from pillow_rnc.models.network import Transform

BLOCK = basis.BLOCK


def hvs_weights() -> Tensor:
    """Return the contrast sensitivity weights of PSNR-HVS, float32 [64], row-major."""
    return torch.from_numpy(basis.hvs_weights()).float()


def _along_rows(planes: Tensor, matrix: Tensor) -> Tensor:
    """Return planes [..., W] with ``matrix`` applied to the samples around each border of 8."""
    width = planes.shape[-1]
    if width <= BLOCK:
        return planes
    edge = BLOCK // 2
    inner = planes[..., edge:-edge].reshape(*planes.shape[:-1], -1, BLOCK) @ matrix.T
    return torch.cat([planes[..., :edge], inner.flatten(-2), planes[..., -edge:]], -1)


def filter_borders(planes: Tensor, matrix: Tensor) -> Tensor:
    """Return planes [..., H, W] with ``matrix`` applied around each border of blocks, along both directions."""
    return _along_rows(_along_rows(planes, matrix).transpose(-1, -2), matrix).transpose(-1, -2)


def _lift(line: Tensor, *, back: bool) -> Tensor:
    """Return the wavelet transform of lines [..., L] by lifting, or its inverse; mirrored at the ends."""
    length = line.shape[-1]
    if length < 2:
        return line
    even, odd = line[..., ::2], line[..., 1::2]
    gain = basis.LIFTING_GAIN
    a, b, c, d = basis.LIFTING
    if back:
        even, odd = even / gain, odd * gain
        even = even - d * _around_even(odd, even.shape[-1])
        odd = odd - c * _around_odd(even, odd.shape[-1])
        even = even - b * _around_even(odd, even.shape[-1])
        odd = odd - a * _around_odd(even, odd.shape[-1])
    else:
        odd = odd + a * _around_odd(even, odd.shape[-1])
        even = even + b * _around_even(odd, even.shape[-1])
        odd = odd + c * _around_odd(even, odd.shape[-1])
        even = even + d * _around_even(odd, even.shape[-1])
        even, odd = even * gain, odd / gain
    if length % 2:
        odd = torch.cat([odd, odd[..., -1:]], -1)
    return torch.stack([even, odd], -1).flatten(-2)[..., :length]


def _around_odd(even: Tensor, count: int) -> Tensor:
    """Return the sums of the even samples before and after each odd one."""
    return even[..., :count] + torch.cat([even, even[..., -1:]], -1)[..., 1 : count + 1]


def _around_even(odd: Tensor, count: int) -> Tensor:
    """Return the sums of the odd samples before and after each even one."""
    padded = torch.cat([odd[..., :1], odd, odd[..., -1:]], -1)
    return padded[..., :count] + padded[..., 1 : count + 1]


def _wavelet(means: Tensor, *, back: bool) -> Tensor:
    """Return the wavelet transform of maps [..., h, w] in place of their samples, or its inverse."""
    levels = range(basis.WAVELET_LEVELS)
    out = means.clone()
    for level in reversed(levels) if back else levels:
        grid = out[..., :: 2**level, :: 2**level]
        if back:
            grid[...] = _lift(_lift(grid.transpose(-1, -2), back=True).transpose(-1, -2), back=True)
        else:
            grid[...] = _lift(_lift(grid, back=False).transpose(-1, -2), back=False).transpose(-1, -2)
    return out


def _with_means(coefficients: Tensor, *, back: bool) -> Tensor:
    """Return coefficients [N, 192, h, w] with their means transformed, or transformed back."""
    n, _, h, w = coefficients.shape
    planes = coefficients.view(n, 3, 64, h, w)
    means = _wavelet(planes[:, :, 0], back=back)
    return torch.cat([means[:, :, None], planes[:, :, 1:]], 2).view(n, COEFFICIENTS, h, w)


class BlockTransform(Transform):
    """RGB in 0..255 <-> 192 weighted coefficients per 8x8 block; exact inverses of each other up to rounding."""

    basis: Tensor
    colour: Tensor
    inverse_colour: Tensor
    overlap: Tensor
    inverse_overlap: Tensor
    weight: Tensor

    def __init__(self) -> None:
        super().__init__()
        colour = torch.tensor(basis.YCBCR, dtype=torch.float64)
        overlap = torch.from_numpy(basis.overlap_filter())
        buffers = {
            "basis": torch.from_numpy(basis.basis()),
            "colour": colour,
            "inverse_colour": torch.linalg.inv(colour),
            "overlap": overlap,
            "inverse_overlap": torch.linalg.inv(overlap),
            "weight": torch.from_numpy(basis.coefficient_weights()),
        }
        for name, value in buffers.items():
            self.register_buffer(name, value.float(), persistent=False)

    def forward(self, pixels: Tensor) -> Tensor:
        """Return coefficients [N, 192, H/8, W/8] of pixels [N, 3, H, W] in 0..255; H and W are multiples of 8."""
        planes = torch.einsum("ij,njhw->nihw", self.colour, pixels - 128.0)
        coefficients = self._coefficients(filter_borders(planes, self.overlap)) * self.weight.view(1, -1, 1, 1)
        return _with_means(coefficients, back=False)

    def inverse(self, coefficients: Tensor) -> Tensor:
        """Return pixels [N, 3, H, W], unclipped, of coefficients [N, 192, H/8, W/8]."""
        return torch.einsum("ij,njhw->nihw", self.inverse_colour, self._planes(coefficients)) + 128.0

    def blocks(self, coefficients: Tensor) -> Tensor:
        """Return the plain DCT of each 8x8 block, not weighted, of coefficients [N, 192, h, w]; of the same shape."""
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
        coefficients = _with_means(coefficients.contiguous(), back=True)
        plain = (coefficients / self.weight.view(1, -1, 1, 1)).view(n, 3, 64, h, w)
        blocks = torch.einsum("kp,nckhw->ncphw", self.basis, plain).reshape(n, COEFFICIENTS, h, w)
        return filter_borders(F.pixel_shuffle(blocks, BLOCK), self.inverse_overlap)
