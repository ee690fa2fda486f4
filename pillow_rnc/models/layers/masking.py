"""The masking of errors by texture, as a function of what was coded so far."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_EXPONENT, _FLOOR = 0.2, 200.0  # by measurement: MS-SSIM gains most before PSNR-HVS loses


class Masking(nn.Module):
    """Coded coefficients [N, 192, h, w] -> factor of the gain [N, 1, h, w], 0 to 1: less in textured blocks.

    Errors are less visible under texture, and MS-SSIM models this: ``(1 + activity / floor) ** -exponent``. The
    activity of a block is the mean energy of its luma coefficients without the first one, half of it its own and half
    that of the nine blocks around it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.exponent = nn.Parameter(torch.tensor(_EXPONENT))
        self.log_floor = nn.Parameter(torch.tensor(math.log(_FLOOR)))

    def forward(self, coded: Tensor) -> Tensor:
        energy = coded[:, 1:64].float().square().mean(1, keepdim=True)
        around = F.avg_pool2d(energy, 3, stride=1, padding=1, count_include_pad=False)
        return torch.exp(-self.exponent * torch.log1p((energy + around) / 2 * torch.exp(-self.log_floor)))
