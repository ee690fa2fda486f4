"""A recipe: every choice of a training run, read from a TOML file and stored beside the weights it made."""

from __future__ import annotations

import math
import tomllib
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from pillow_rnc.models.config import ModelConfig

if TYPE_CHECKING:
    from pathlib import Path

    from pillow_rnc.models.config import Framework

BLOCK_PX = 16
"""Side of the blocks that training is counted in."""

NetworkName = Literal["light", "paper"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Choices of a training run; the TOML file has these keys, and a table ``[model]`` with those of ModelConfig."""

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
    ms_ssim_iterations: int = 4  # how many iterations of a step MS-SSIM judges; the embedded framework shows no others
    entropy_learning_rate_factor: float = 3.0  # the entropy network starts from noise, the codec does not
    direct_learning_rate_factor: float = 0.1  # the decoder's direct paths start where they should end
    entropy_only_steps: int = 500  # the codec waits while the entropy network learns to predict its first codes
    codec_ramp_steps: int = 300  # then its learning rate rises
    train_encoder: bool = False  # let gradients through the binarizer; otherwise the codes stay those of the start
    rate_weight: float = 1.0
    first_step: float = 250.0  # quantiser steps of the greedy start, in weighted 8-bit levels
    last_step: float = 3.5
    downscaled_share: float = 0.2
    seed: int = 0
    choose_by_area: bool = False  # keep the checkpoint with the largest areas under the curves of the validation
    network: NetworkName = "light"  # "paper" takes cell, framework and iterations from the model, and L1 for its loss
    paper_divisor: int = 1  # of the widths of the paper's network
    stochastic_codes: bool = True  # the paper's binarizer draws its bits in training; else it takes the sign
    model: ModelConfig = field(default_factory=ModelConfig)

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
        return asdict(self)


def recipe_from_mapping(table: dict[str, Any], where: str = "recipe") -> Recipe:
    """Return a recipe of plain values, as TOML and JSON hold them.

    Raises:
        ValueError: A key is unknown, the message lists the known ones; or there is no such network.
        WeightsError: The same in the table ``model``.
    """
    names = {f.name for f in fields(Recipe)}
    unknown = sorted(set(table) - names)
    if unknown:
        msg = f"{where}: unknown keys {unknown}, known are {sorted(names)}"
        raise ValueError(msg)
    if table.get("network", "light") not in get_args(NetworkName):
        msg = f"{where}: network is {table['network']!r}, allowed are {get_args(NetworkName)}"
        raise ValueError(msg)
    values = {**table, "model": ModelConfig.from_mapping(table.get("model", {}))}
    return Recipe(**values)


def in_framework(config: ModelConfig, framework: Framework) -> ModelConfig:
    """Return the configuration with another framework, and passes over the bits that have probabilities there.

    Those are half of the channels at once in the embedded framework, whose other half are signs; and one half after
    the other where codes are learned.
    """
    channels, half = config.code_channels, config.code_channels // 2
    parts = [(0, half)] if framework == "embedded" else [(0, half), (half, channels)]
    return replace(
        config, framework=framework, passes=tuple((lattice, *part) for part in parts for lattice in (2, 3, 1))
    )


def target_slope(iteration: int, iterations: int) -> tuple[float, float]:
    """Return the price of one bit per pixel after an iteration, in decibels of PSNR-HVS and of 1 - MS-SSIM.

    The prices are the slopes of JPEG's mean curves over photographs at the rate where the iteration should end, so
    that training spends bits where a decibel costs as many as users are used to: 0.125 bpp per iteration, up to 2.
    """
    rate = 2.0 * (iteration + 1) / iterations
    return 9.5 * rate**-0.8, 5.7 * rate**-0.8
