"""The recipe of a run of the light network."""

from __future__ import annotations

from dataclasses import dataclass

from pillow_rnc.models.config import RecurrentConfig
from pillow_rnc.training.recipe import BLOCK_PX


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
