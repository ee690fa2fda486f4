"""Training photographs: read once, held as uint8, cut into random crops.

Crops depend on the seed and the step alone, so that a resumed run sees what an uninterrupted one would have seen.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Photographs:
    """Pixels uint8 [H, W, 3] to train on and held back, and the files that could not be read."""

    training: list[NDArray[np.uint8]]
    held_back: list[NDArray[np.uint8]]
    skipped: list[str]


def is_held_back(name: str, share: float) -> bool:
    """Return whether a file of this name is kept for validation: fixed by the name alone, on every machine."""
    digest = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return digest < share * 2**32


def load_photographs(folder: Path, *, smallest_px: int, held_back_share: float = 0.05) -> Photographs:
    """Read every picture of a folder.

    Args:
        folder: Searched recursively; files that are no pictures are named in a warning and counted.
        smallest_px: Pictures with a shorter side are skipped.
        held_back_share: Part of the files kept for validation, by name.

    Raises:
        FileNotFoundError: The folder holds no usable picture.
    """
    photographs = Photographs([], [], [])
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
        except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
            _log.warning("skipped %s: %s", path, error)
            photographs.skipped.append(str(path))
            continue
        if min(pixels.shape[:2]) < smallest_px:
            _log.warning("skipped %s: %dx%d, smaller than %d", path, pixels.shape[1], pixels.shape[0], smallest_px)
            photographs.skipped.append(str(path))
            continue
        (photographs.held_back if is_held_back(path.name, held_back_share) else photographs.training).append(pixels)
    if not photographs.training:
        msg = f"{folder}: no usable picture of at least {smallest_px} pixels a side, {len(photographs.skipped)} skipped"
        raise FileNotFoundError(msg)
    return photographs


class CropSampler:
    """Random square crops, flipped and turned, a share of them from pictures scaled down."""

    def __init__(
        self, pictures: list[NDArray[np.uint8]], *, crop_px: int, seed: int, downscaled_share: float = 0.0
    ) -> None:
        self.crop_px = crop_px
        self.seed = seed
        self.downscaled_share = downscaled_share
        self.pictures = pictures
        self.halves = [self._half(p) for p in pictures if min(p.shape[:2]) >= 2 * crop_px] if downscaled_share else []
        self.weights = self._weights(pictures)
        self.half_weights = self._weights(self.halves) if self.halves else None

    @staticmethod
    def _half(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(Image.fromarray(pixels).reduce(2))

    @staticmethod
    def _weights(pictures: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
        areas = np.array([p.shape[0] * p.shape[1] for p in pictures], np.float64)
        return np.asarray(areas / areas.sum())

    def batch(self, step: int, size: int) -> Tensor:
        """Return crops of one step, float32 [size, 3, crop_px, crop_px] in 0..255."""
        rng = np.random.default_rng([self.seed, step])
        n = self.crop_px
        crops = np.empty((size, n, n, 3), np.uint8)
        for i in range(size):
            if self.halves and rng.random() < self.downscaled_share:
                picture = self.halves[rng.choice(len(self.halves), p=self.half_weights)]
            else:
                picture = self.pictures[rng.choice(len(self.pictures), p=self.weights)]
            y, x = rng.integers(picture.shape[0] - n + 1), rng.integers(picture.shape[1] - n + 1)
            crop = picture[y : y + n, x : x + n]
            if rng.random() < 0.5:
                crop = crop[:, ::-1]
            if rng.random() < 0.5:
                crop = crop[::-1]
            if rng.random() < 0.5:
                crop = crop.transpose(1, 0, 2)
            crops[i] = crop
        return torch.from_numpy(crops).permute(0, 3, 1, 2).float()
