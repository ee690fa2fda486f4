"""The twelve runs of the paper's comparison: train one, code images with it, measure them.

A run has a folder: checkpoints, ``coder-STEP.safetensors`` and ``measured-STEP-DIGEST.json``. Existing results are
reused.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from pillow_rnc.evaluation.curves import Point, mean_curve
from pillow_rnc.evaluation.metrics import score
from pillow_rnc.models.recurrent.paper_network import CODE_CHANNELS
from pillow_rnc.training.checkpoint import read_newest
from pillow_rnc.training.crops import CropSampler
from pillow_rnc.training.loop import Run
from pillow_rnc.training.pace import Pace
from pillow_rnc.training.recurrent.coder_training import train_coder
from pillow_rnc.training.recurrent.paper_model import PATCH_PX, nominal_bpp, paper_config, trained_model
from pillow_rnc.training.recurrent.published_coder import PublishedCoder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from PIL import Image
    from torch import Tensor

    from pillow_rnc.models.config import CellName, Framework
    from pillow_rnc.training.checkpoint import Checkpoint
    from pillow_rnc.training.data import Photographs
    from pillow_rnc.training.recipe import Recipe
    from pillow_rnc.training.recurrent.paper_model import PaperModel

_log = logging.getLogger(__name__)
CELLS: tuple[CellName, ...] = ("lstm", "associative_lstm", "gru", "residual_gru")
CODER_SHARE = 0.25
"""CPU time for the entropy coder, as a share of that for the network."""
CODER_CROP_PX = 128
"""Side of the crops that the entropy coder is trained on."""
_CODER_BATCH, _CODER_REUSE = 4, 4
_ENOUGH = 0.99  # of the time: the last step seldom ends with it
_SAVE_SECONDS = 30.0


class Combination(NamedTuple):
    """A cell and a framework, and the seed that the run starts from."""

    cell: CellName
    framework: Framework
    seed: int

    @property
    def folder_name(self) -> str:
        """Name of the run's folder."""
        return f"{self.cell}-{self.framework}-{self.seed}"


@dataclass(frozen=True, slots=True)
class Measured:
    """The results of a run.

    Attributes:
        plain: Mean curve at the rate of the plain bits.
        coded: The same images at the ideal code length of the trained coder.
        steps: Training steps of the network.
        block_iterations: 16x16 blocks times iterations that it has seen.
        seconds: CPU time of its training.
    """

    plain: list[Point]
    coded: list[Point]
    steps: int
    block_iterations: float
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "plain": [list(point) for point in self.plain],
            "coded": [list(point) for point in self.coded],
            "steps": self.steps,
            "block_iterations": self.block_iterations,
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Measured:
        """Return the results from what `as_json` returned."""
        curves = {name: [Point(*point) for point in values[name]] for name in ("plain", "coded")}
        return cls(**{**values, **curves})


def recipe_of(base: Recipe, combination: Combination) -> Recipe:
    """Return the recipe of a combination: only cell, framework, seed and name differ.

    Raises:
        ValueError: The recipe is not for the paper's network.
    """
    cell, framework, seed = combination
    model = replace(paper_config(base), cell=cell, framework=framework)
    return replace(base, name=combination.folder_name, seed=seed, model=model)


def train(recipe: Recipe, photographs: Callable[[], Photographs], folder: Path, minutes: float) -> Checkpoint:
    """Train until this many minutes of CPU time are spent in all, including what was spent before.

    Args:
        recipe: That of the combination.
        photographs: Called only if training is not complete.
        folder: That of the run.
        minutes: Of all threads together, from the first start on.

    Raises:
        ValueError: The folder holds a run of another recipe.
        OSError: No checkpoint could be written.
    """
    newest = read_newest(folder)
    if newest is not None and newest.state["recipe"] != _as_stored(recipe):
        msg = f"{folder}: holds a run of another recipe; take another folder, or remove it"
        raise ValueError(msg)
    spent, seen = (0.0, 0.0) if newest is None else (newest.state["seconds"], newest.state["block_iterations"])
    if newest is None or (spent < _ENOUGH * 60 * minutes and seen < recipe.block_iterations):
        pictures = photographs()
        run = Run(recipe, replace(pictures, held_out=[]), folder, torch.device("cpu"))
        run.run(Pace.of_cpu(minutes - spent / 60, _SAVE_SECONDS))
        newest = read_newest(folder)
        if newest is None:
            msg = f"{folder}: the run has no checkpoint, its log says why none was written"
            raise OSError(msg)
    return newest


def _as_stored(recipe: Recipe) -> Any:  # noqa: ANN401 -- as JSON has it
    return json.loads(json.dumps(recipe.as_dict()))


def trained_coder(
    model: PaperModel, photographs: Callable[[], Photographs], path: Path, minutes: float
) -> PublishedCoder:
    """Return an entropy coder for the codes of a network, from a file or trained into it.

    Args:
        model: The network.
        photographs: Called only if there is no such file.
        path: The file.
        minutes: CPU time for its training.
    """
    torch.manual_seed(model.recipe.seed)
    coder = PublishedCoder(model.recipe.model.iterations, CODE_CHANNELS)
    if path.exists():
        coder.load_state_dict(load_file(path))
        return coder
    sampler = CropSampler(photographs().training, crop_px=CODER_CROP_PX, seed=model.recipe.seed)
    rng = np.random.default_rng(model.recipe.seed)
    batches: list[Tensor] = []

    def batch(step: int) -> Tensor:
        """Return a new batch every few steps, and an earlier one in between: coding is the greater cost."""
        if step % _CODER_REUSE:
            return batches[rng.integers(len(batches))]
        with torch.no_grad():
            batches.append(torch.stack([one.bits for one in model.coded(sampler.batch(step, _CODER_BATCH))]))
        return batches[-1]

    train_coder(coder, batch, 60 * minutes)
    part = path.with_suffix(".part")
    save_file(coder.state_dict(), part)
    part.replace(path)
    return coder


def measured(
    recipe: Recipe,
    photographs: Callable[[], Photographs],
    pictures: Sequence[Image.Image],
    folder: Path,
    minutes: float,
) -> Measured:
    """Train a run, and measure it on images; do only what its folder does not hold yet.

    Args:
        recipe: That of the combination.
        photographs: To train on.
        pictures: Images to measure on, RGB.
        folder: That of the run.
        minutes: CPU time of the network's training; its coder gets a quarter of it.
    """
    checkpoint = train(recipe, photographs, folder, minutes)
    step = checkpoint.state["step"]
    record = folder / f"measured-{step}-{_digest(pictures)}.json"
    if record.exists():
        return Measured.from_json(json.loads(record.read_text(encoding="utf-8")))
    model = trained_model(recipe, checkpoint)
    coder = trained_coder(model, photographs, folder / f"coder-{step}.safetensors", CODER_SHARE * minutes)
    curves = [_points(model, coder, picture) for picture in pictures]
    result = Measured(
        mean_curve([plain for plain, _ in curves]),
        mean_curve([coded for _, coded in curves]),
        step,
        checkpoint.state["block_iterations"],
        checkpoint.state["seconds"],
    )
    for old in (*folder.glob("measured-*.json"), *folder.glob("coder-*.safetensors")):
        if not old.name.startswith((f"measured-{step}-", f"coder-{step}.")):
            old.unlink()  # of a run that has gone on since
    record.write_text(json.dumps(result.as_json()), encoding="utf-8")
    _log.info("%s: %d steps, measured on %d images", recipe.name, step, len(pictures))
    return result


def _digest(pictures: Sequence[Image.Image]) -> str:
    digest = hashlib.sha256()
    for picture in pictures:
        digest.update(repr(picture.size).encode() + picture.tobytes())
    return digest.hexdigest()[:12]


@torch.no_grad()
def _points(model: PaperModel, coder: PublishedCoder, image: Image.Image) -> tuple[list[Point], list[Point]]:
    """Return the curves of an image: at the rate of the plain bits, and at the ideal code length."""
    pixels, area = np.asarray(image), image.width * image.height
    coded = list(model.coded(_padded(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float())))
    codes = torch.stack([one.bits for one in coded])
    lengths = coder.code_lengths(codes)[:, 0].cumsum(0).tolist()
    plain_points, coded_points = [], []
    for t, one in enumerate(coded):
        cropped = one.reconstruction[0, :, : image.height, : image.width]
        shown = model.network.transform.inverse(cropped).clamp(0, 255).round()
        scores = score(pixels, shown.permute(1, 2, 0).to(torch.uint8).numpy())
        plain_bits = codes[: t + 1].numel()
        plain_points.append(Point(t + 1, plain_bits / 8, plain_bits / area, *scores))
        coded_points.append(Point(t + 1, lengths[t] / 8, lengths[t] / area, *scores))
    return plain_points, coded_points


def _padded(pixels: Tensor) -> Tensor:
    """Return images [N, 3, H, W] padded to multiples of 32 by their last column and row."""
    height, width = pixels.shape[2:]
    return F.pad(pixels, (0, -width % PATCH_PX, 0, -height % PATCH_PX), mode="replicate")


def area_range(recipe: Recipe) -> tuple[float, float]:
    """Return the rates in bpp that the areas are taken over: those of the plain bits of all iterations."""
    return nominal_bpp(1), nominal_bpp(recipe.model.iterations)
