"""A recipe: every choice of a training run, read from a TOML file and stored beside the weights it made."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # of the same author, with the same interface

from pillow_rnc.models.config import (
    EmbeddedConfig,
    ModelConfig,
    RecurrentConfig,
    config_from_mapping,
    lattice_passes,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pillow_rnc.models.config import Framework

BLOCK_PX = 16
"""Side of the blocks that the amount of training is counted in."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Choices of a training run; the TOML file has these keys, and a table ``[model]`` with the configuration."""

    name: str
    block_iterations: float = 30e6  # 16x16 blocks times iterations after which the learning rate has fallen to its end
    batch: int = 4
    crop_px: int = 96
    learning_rate: float = 1e-3
    matrix_learning_rate: float = 0.0  # of Muon, for the codec's matrices; 0 leaves them to AdamW
    final_learning_rate: float = 0.05  # share of the learning rate at the end
    constant_share: float = 0.4  # part of the run before the cosine fall begins
    warmup_steps: int = 100
    clip_norm: float = 1.0
    average: float = 0.999  # of the parameters, per step
    hvs_share: float = 1.0  # weight of the PSNR-HVS distortion
    ms_ssim_share: float = 0.5
    ms_ssim_iterations: int = 4  # supervised by MS-SSIM in a step; the embedded family reconstructs no others
    entropy_learning_rate_factor: float = 3.0  # the entropy network starts from noise, the codec does not
    direct_learning_rate_factor: float = 0.1  # the decoder's direct paths start where they should end
    entropy_only_steps: int = 500  # the codec waits while the entropy network learns to predict its first codes
    codec_ramp_steps: int = 300  # then its learning rate rises
    train_encoder: bool = False  # pass gradients through the binarizer; otherwise the codes stay those of the start
    train_entropy: bool = True  # otherwise the entropy network stays as it is, and code lengths are not computed
    rate_weight: float = 1.0
    first_step: float = 250.0  # quantizer steps of the greedy start, in weighted 8-bit levels
    last_step: float = 3.5
    downscaled_share: float = 0.2
    seed: int = 0
    choose_by_area: bool = False  # keep the checkpoint with the largest areas under the curves of the validation
    stochastic_codes: bool = True  # the paper's binarizer draws its bits in training; else it takes the sign
    model: ModelConfig = field(default_factory=EmbeddedConfig)

    @property
    def steps(self) -> int:
        """Steps of one process that trains alone."""
        blocks = self.batch * (self.crop_px / BLOCK_PX) ** 2
        return math.ceil(self.block_iterations / (blocks * self.model.iterations))

    @classmethod
    def from_toml(cls, path: Path) -> Recipe:
        """Read a recipe.

        Raises:
            ValueError: A key is unknown; the message lists the known ones.
        """
        return recipe_from_mapping(tomllib.loads(path.read_text(encoding="utf-8")), str(path))

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values, ready for JSON."""
        return {**asdict(self), "model": self.model.as_dict()}


def recipe_from_mapping(table: dict[str, Any], where: str = "recipe") -> Recipe:
    """Return a recipe of plain values, as TOML and JSON hold them.

    Raises:
        ValueError: A key is unknown; the message lists the known ones.
        WeightsError: The same in the table ``model``.
    """
    names = {f.name for f in fields(Recipe)}
    unknown = sorted(set(table) - names)
    if unknown:
        msg = f"{where}: unknown keys {unknown}, known are {sorted(names)}"
        raise ValueError(msg)
    return Recipe(**{**table, "model": config_from_mapping(table.get("model", {}))})


def as_embedded(config: ModelConfig) -> EmbeddedConfig:
    """Return a model of the embedded family with the sizes of another."""
    return EmbeddedConfig(**_sizes(config), passes=lattice_passes(config.code_channels // 2))


def as_recurrent(config: ModelConfig, framework: Framework) -> RecurrentConfig:
    """Return a light model of the recurrent family with the sizes of another; its encoder is as wide as its decoder."""
    return RecurrentConfig(
        **_sizes(config),
        framework=framework,
        encoder_channels=config.decoder_channels,
        passes=lattice_passes(config.code_channels, groups=2),
    )


def _sizes(config: ModelConfig) -> dict[str, Any]:
    """Return the fields that both families have, without the passes, which depend on the family."""
    return {one.name: getattr(config, one.name) for one in fields(ModelConfig) if one.name != "passes"}


def target_slope(iteration: int, iterations: int) -> tuple[float, float]:
    """Return what one bit per pixel is worth after an iteration, in decibels of PSNR-HVS and of 1 - MS-SSIM.

    These are the slopes of JPEG's mean curves over photographs at the rate where the iteration should end: 2 bpp
    divided evenly among the iterations. So training spends bits where a decibel costs as many as it does in JPEG.
    """
    rate = 2.0 * (iteration + 1) / iterations
    return 9.5 * rate**-0.8, 5.7 * rate**-0.8
