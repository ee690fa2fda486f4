"""The transform of the light network with code cells of 16x16 pixels: pixels <-> lapped coefficients of unit deviation.

It is the transform of `torch_transform` without the wavelet, and with the deviation of each coefficient in the place of
its perceptual weight.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pillow_rnc.entropy.schedule import COEFFICIENTS
from pillow_rnc.models.torch_transform import BLOCK, BlockTransform, filter_borders


class CosineTransform(BlockTransform):
    """RGB in 0..255 <-> 192 coefficients per 8x8 block, each over its standard deviation; exact inverses.

    The means of blocks stay as they are: with code cells of 16x16 pixels, learned maps do what the wavelet would.

    Args:
        lapped: Whether there is a filter across the borders of blocks. Weights files are of networks that have it.

    Attributes:
        deviation: Standard deviation of each coefficient in 8-bit levels, float32 [192]; part of the weights.
    """

    deviation: Tensor

    def __init__(self, *, lapped: bool = True) -> None:
        super().__init__()
        self.lapped = lapped
        self.register_buffer("deviation", torch.ones(COEFFICIENTS))

    def forward(self, pixels: Tensor) -> Tensor:
        """Return coefficients [N, 192, H/8, W/8] of pixels [N, 3, H, W] in 0..255; H and W are multiples of 8."""
        planes = torch.einsum("ij,njhw->nihw", self.colour, pixels - 128.0)
        if self.lapped:
            planes = filter_borders(planes, self.overlap)
        return self._coefficients(planes) / self.deviation.view(1, -1, 1, 1)

    def _planes(self, coefficients: Tensor) -> Tensor:
        n, _, h, w = coefficients.shape
        plain = (coefficients * self.deviation.view(1, -1, 1, 1)).view(n, 3, 64, h, w)
        blocks = torch.einsum("kp,nckhw->ncphw", self.basis, plain).reshape(n, COEFFICIENTS, h, w)
        planes = F.pixel_shuffle(blocks, BLOCK)
        return filter_borders(planes, self.inverse_overlap) if self.lapped else planes

    def blocks(self, coefficients: Tensor) -> Tensor:
        """Return the plain DCT of each 8x8 block of coefficients [N, 192, h, w]; of the same shape."""
        if not self.lapped:
            return coefficients * self.deviation.view(1, -1, 1, 1)
        return super().blocks(coefficients)
