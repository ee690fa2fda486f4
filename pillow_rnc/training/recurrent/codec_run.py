"""What is read of a run of a recurrent codec, the light network or the paper's: the codec, and the codes of images.

Runs of the light network are made by `light_run` and `timed`, those of the paper's network from recipes by
``python -m pillow_rnc.training``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from pillow_rnc.training.checkpoint import read_newest
from pillow_rnc.training.recipe import Recipe, recipe_from_mapping
from pillow_rnc.training.recurrent.light_model import LightModel
from pillow_rnc.training.recurrent.light_recipe import LightRecipe
from pillow_rnc.training.recurrent.paper_model import PaperModel, trained_model

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from pillow_rnc.models.config import RecurrentConfig
    from pillow_rnc.training.checkpoint import Checkpoint


class Codec(NamedTuple):
    """A codec of a run, with its averaged parameters, the choices of the run, and how far it has come."""

    model: LightModel | PaperModel
    recipe: LightRecipe | Recipe
    block_iterations: float

    @property
    def config(self) -> RecurrentConfig:
        """The configuration of the codec."""
        return self.model.network.config


def read_codec(folder: Path) -> Codec:
    """Return the codec of the newest checkpoint of a run.

    Raises:
        FileNotFoundError: There is none.
        ValueError: The run is of neither the light network nor the paper's.
    """
    checkpoint = read_newest(folder)
    if checkpoint is None:
        raise FileNotFoundError(f"{folder}: no checkpoint")
    model, recipe = _light(checkpoint) if "choices" in checkpoint.state else _paper(checkpoint)
    model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Codec(model.eval(), recipe, checkpoint.state["block_iterations"])


def _light(checkpoint: Checkpoint) -> tuple[LightModel, LightRecipe]:
    recipe = LightRecipe(**checkpoint.state["choices"])
    model = LightModel(recipe.config, lapped=recipe.lapped)
    model.network.load_state_dict(checkpoint.average)
    return model, recipe


def _paper(checkpoint: Checkpoint) -> tuple[PaperModel, Recipe]:
    recipe = recipe_from_mapping(checkpoint.state["recipe"])
    return trained_model(recipe, checkpoint), recipe


@torch.no_grad()
def codes_of(model: LightModel | PaperModel, pixels: Tensor) -> Tensor:
    """Return the codes of images [N, 3, H, W] in 0..255: int8 +-1, [T, N, C, H / 16, W / 16]."""
    return torch.stack([one.bits for one in model.coded(pixels)]).to(torch.int8)
