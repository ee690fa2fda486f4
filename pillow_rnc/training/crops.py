"""Random crops, cut on the device that trains from photographs held there as bytes.

The crops of a step depend on the seed and the step alone: they are the same in a resumed run and on a GPU, and several
processes divide among them the crops of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pillow_rnc.training.data import HELD_OUT_SHARE

if TYPE_CHECKING:
    from numpy.typing import NDArray

VALIDATION_PX = 256
"""Side of the crops that a run is validated on; smaller held-out images are not used."""
_VALIDATION_CROPS, _VALIDATION_SEED = 16, 12345


class _Set(NamedTuple):
    """Images to draw from: index of the first in the pack, and the share of the crops of each."""

    first: int
    shares: NDArray[np.float64]


class CropSampler:
    """Random square crops, flipped and transposed, a share of them from images scaled down.

    Args:
        images: Pixels uint8 [H, W, 3]; larger ones are drawn more often.
        crop_px: Side of a crop.
        seed: Chooses the crops, together with the step.
        downscaled_share: Part of the crops that come from images at half their size.
        device: Where the bytes are held and the crops are cut.
    """

    def __init__(
        self,
        images: list[NDArray[np.uint8]],
        *,
        crop_px: int,
        seed: int,
        downscaled_share: float = 0.0,
        device: torch.device | None = None,
    ) -> None:
        self.crop_px, self.seed, self.downscaled_share = crop_px, seed, downscaled_share
        self._device = device or torch.device("cpu")
        halves = [_half(p) for p in images if min(p.shape[:2]) >= 2 * crop_px] if downscaled_share else []
        packed = [*images, *halves]
        self._shapes = [p.shape[:2] for p in packed]
        areas = np.array([h * w for h, w in self._shapes], np.int64)
        self._starts = np.concatenate([[0], np.cumsum(areas)])
        self._whole = _Set(0, _shares(areas[: len(images)]))
        self._halved = _Set(len(images), _shares(areas[len(images) :])) if halves else None
        # Four bytes a pixel, gathered as one integer: reads of single bytes would be several times slower.
        self._pack = torch.zeros((int(areas.sum()), 4), dtype=torch.uint8, device=self._device)
        for image, start in zip(packed, self._starts[:-1], strict=True):
            pixels = torch.from_numpy(image.reshape(-1, 3).copy())
            self._pack[int(start) : int(start) + len(pixels), :3] = pixels.to(self._device)

    def _crop_starts(self, step: int, size: int) -> NDArray[np.int64]:
        """Return where each crop begins in the pack and how far to go for its next row and column, int64 [size, 3]."""
        rng = np.random.default_rng([self.seed, step])
        n = self.crop_px
        rows = np.empty((size, 3), np.int64)
        for i in range(size):
            chosen = self._halved if self._halved and rng.random() < self.downscaled_share else self._whole
            image = chosen.first + int(rng.choice(len(chosen.shares), p=chosen.shares))
            height, width = self._shapes[image]
            y, x = int(rng.integers(height - n + 1)), int(rng.integers(width - n + 1))
            down, right = width, 1
            if rng.random() < 0.5:
                x, right = x + n - 1, -right
            if rng.random() < 0.5:
                y, down = y + n - 1, -down
            if rng.random() < 0.5:
                down, right = right, down
            rows[i] = self._starts[image] + y * width + x, down, right
        return rows

    def batch(self, step: int, size: int, part: slice | None = None) -> Tensor:
        """Return crops of one step, float32 [size, 3, crop_px, crop_px] in 0..255; ``part`` keeps some of them."""
        plan = torch.from_numpy(self._crop_starts(step, size)[part or slice(None)])
        if self._device.type == "cuda":
            plan = plan.pin_memory().to(self._device, non_blocking=True)
        start, down, right = plan[:, :, None, None].unbind(1)
        along = torch.arange(self.crop_px, device=self._device)
        pixels = self._pack.view(torch.int32).view(-1).take(start + down * along[:, None] + right * along)
        crops = pixels.view(torch.uint8).view(*pixels.shape, 4)[..., :3]  # [size, n, n, 3]
        return crops.permute(0, 3, 1, 2).float()


def validation_crops(held_out: list[NDArray[np.uint8]]) -> Tensor:
    """Return the crops that runs are compared on, float32 [16, 3, 256, 256] in 0..255.

    Raises:
        FileNotFoundError: No photograph is held out.
    """
    if not held_out:
        msg = f"no photograph is held out to validate on, as {HELD_OUT_SHARE:.0%} are by their names: give more of them"
        raise FileNotFoundError(msg)
    return CropSampler(held_out, crop_px=VALIDATION_PX, seed=_VALIDATION_SEED).batch(0, _VALIDATION_CROPS)


def _half(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(pixels).reduce(2))


def _shares(areas: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(areas / areas.sum(), np.float64)
