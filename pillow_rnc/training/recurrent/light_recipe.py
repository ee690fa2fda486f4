"""The recipe of a run of the light network, and the images that it sees.

Images are held out by the stems of their names: the same ones whatever format they are stored in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pillow_rnc.models.config import RecurrentConfig
from pillow_rnc.training.crops import CropSampler
from pillow_rnc.training.data import is_held_out, read_pixels, source_files

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

BLOCK_PX = 16
_HELD_OUT_SHARE = 0.05
_VALIDATION_PX, _VALIDATION_CROPS, _VALIDATION_SEED = 256, 16, 12345


@dataclass(frozen=True, slots=True)
class LightRecipe:
    """Choices of a run, stored in its checkpoints."""

    cell: str = "gru"
    framework: str = "residual_scaling"
    lapped: bool = True
    encoder_channels: int = 96
    decoder_channels: int = 96
    context_channels: int = 192
    batch: int = 8
    crop_px: int = 128
    learning_rate: float = 2e-3
    matrix_learning_rate: float = 1e-2  # of Muon, for the matrices that all iterations share; 0 leaves them to AdamW
    warmup_steps: int = 100
    short_million: float = 1.5  # block-iterations during which only half of the iterations are done
    average: float = 0.999
    clip_norm: float = 1.0
    hvs_iterations: int = 8
    ms_ssim_iterations: int = 4
    ms_ssim_share: float = 0.5
    downscaled_share: float = 0.25
    half_precision: bool = True  # bfloat16 in convolutions and matrix products
    seed: int = 0

    @property
    def config(self) -> RecurrentConfig:
        """The configuration of the codec."""
        return RecurrentConfig(
            cell=self.cell,  # type: ignore[arg-type]
            framework=self.framework,  # type: ignore[arg-type]
            code_stride=BLOCK_PX,
            encoder_channels=self.encoder_channels,
            decoder_channels=self.decoder_channels,
            context_channels=self.context_channels,
        )


class Images(NamedTuple):
    """Pixels uint8 [H, W, 3]."""

    training: list[NDArray[np.uint8]]
    held_out: list[NDArray[np.uint8]]


def load(source: Path) -> Images:
    """Return the images to train on and those held out, chosen by the stems of their names."""
    parts = Images([], [])
    for file in source_files(source):
        pixels = read_pixels(file)
        if pixels is not None and min(pixels.shape[:2]) >= _VALIDATION_PX:
            parts[is_held_out(file.name, _HELD_OUT_SHARE)].append(pixels)
    return parts


def validation_crops(held_out: list[NDArray[np.uint8]]) -> Tensor:
    """Return the crops that runs are compared on, float32 [16, 3, 256, 256] in 0..255."""
    return CropSampler(held_out, crop_px=_VALIDATION_PX, seed=_VALIDATION_SEED).batch(0, _VALIDATION_CROPS)
