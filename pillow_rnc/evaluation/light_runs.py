"""A cell and a framework in the light network: trained, written as a weights file, measured on whole `.rnc` files.

A run has a folder: ``codec/`` and ``entropy/`` with checkpoints, and the weights file. What is there is not done again.
"""

from __future__ import annotations

import io
import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from PIL import Image

import pillow_rnc
from pillow_rnc.container.writer import truncate
from pillow_rnc.evaluation.curves import Point, mean_curve
from pillow_rnc.evaluation.metrics import ms_ssim, psnr, psnr_hvs
from pillow_rnc.models.weights import register
from pillow_rnc.plugin.file_io import atomic_write
from pillow_rnc.training.crops import validation_crops
from pillow_rnc.training.recurrent.codec_run import read_codec
from pillow_rnc.training.recurrent.light_export import read_entropy, weights_bytes
from pillow_rnc.training.recurrent.timed import Minutes, train_codec, train_entropy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pillow_rnc.evaluation.paper_runs import Combination
    from pillow_rnc.training.data import Photographs
    from pillow_rnc.training.recurrent.light_recipe import LightRecipe

    Pictures = Mapping[str, Sequence[Image.Image]]
    """Images to measure, RGB, by the name of the set."""

_log = logging.getLogger(__name__)
_MEASURED = Point._fields.index("psnr_hvs") + 1  # the fields after it cost too much for this table


def curve_as_json(curve: Sequence[Point]) -> list[list[float]]:
    """Return plain values, without the metric that is not measured."""
    return [list(point[:_MEASURED]) for point in curve]


def curve_from_json(values: Sequence[Sequence[Any]]) -> list[Point]:
    """Return what `curve_as_json` was given."""
    return [Point(*point) for point in values]


@dataclass(frozen=True, slots=True)
class LightResult:
    """What is known of a run.

    Attributes:
        steps: Training steps of the codec.
        block_iterations: 16x16 blocks times iterations that it has seen.
        entropy_steps: Training steps of the entropy network.
        crops: Whose codes it has learned from.
        weights: Name of the weights file.
        curves: Mean curves of whole files, by the name of the set of images.
    """

    steps: int
    block_iterations: float
    entropy_steps: int
    crops: int
    weights: str
    curves: dict[str, list[Point]]

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> LightResult:
        """Return the result of what `as_json` returned."""
        curves = {name: curve_from_json(curve) for name, curve in values["curves"].items()}
        return cls(**{**values, "curves": curves})

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {**asdict(self), "curves": {name: curve_as_json(curve) for name, curve in self.curves.items()}}


class Plan(NamedTuple):
    """What all runs have in common.

    Attributes:
        recipe: Of the codec; cell, framework and seed are those of the run.
        minutes: Processor time.
        images: Returns those to train on.
        compiled: Let torch compile the training.
    """

    recipe: LightRecipe
    minutes: Minutes
    images: Callable[[], Photographs]
    compiled: bool = True


def held_out_crops(images: Photographs) -> list[Image.Image]:
    """Return the crops of 256x256 that runs of the light network are compared on."""
    pixels = validation_crops(images.held_out).permute(0, 2, 3, 1).round().to(torch.uint8).numpy()
    return [Image.fromarray(np.ascontiguousarray(one)) for one in pixels]


def run(plan: Plan, combination: Combination, pictures: Pictures, folder: Path) -> LightResult:
    """Do what is left of a run.

    Args:
        plan: What all runs have in common.
        combination: Cell, framework and seed.
        pictures: To measure on.
        folder: Of the run.

    Raises:
        OSError: A checkpoint or the weights file could not be written.
    """
    cell, framework, seed = combination
    recipe = replace(plan.recipe, cell=cell, framework=framework, seed=seed)
    codec_folder, entropy_folder = folder / "codec", folder / "entropy"
    codec = train_codec(recipe, plan.images, codec_folder, plan.minutes, compiled=plan.compiled)
    entropy = train_entropy(codec_folder, plan.images, entropy_folder, plan.minutes, compiled=plan.compiled)
    path = folder / f"{combination.folder_name}.safetensors"
    with torch.no_grad():
        atomic_write(path, weights_bytes(read_codec(codec_folder), read_entropy(entropy_folder)))
    model, iterations = register(path).model_id.hex(), recipe.config.iterations
    curves = {
        name: mean_curve([curve_of(image, model, iterations) for image in images]) for name, images in pictures.items()
    }
    _log.info("%s: measured", combination.folder_name)
    return LightResult(codec["step"], codec["block_iterations"], entropy["step"], entropy["crops"], path.name, curves)


def curve_of(image: Image.Image, model: str, iterations: int) -> list[Point]:
    """Return the points of an RGB image after each iteration; it is encoded once and decoded once.

    A file of fewer iterations is the truncated file, byte for byte.
    """
    fp = io.BytesIO()
    image.save(fp, "RNC", model=model, iterations=iterations)
    file = fp.getvalue()
    return [
        point_of(image, shown.convert("RGB"), len(truncate(file, k)), k)
        for k, shown in enumerate(pillow_rnc.progressive(io.BytesIO(file)), 1)
    ]


def point_of(image: Image.Image, shown: Image.Image, file_bytes: int, setting: int) -> Point:
    """Return size and scores of what a file shows of an RGB image: those that the table needs."""
    pair = np.asarray(image), np.asarray(shown)
    bpp = 8 * file_bytes / (image.width * image.height)
    return Point(setting, file_bytes, bpp, psnr(*pair), ms_ssim(*pair), psnr_hvs(*pair))
