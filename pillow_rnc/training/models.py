"""The two models that a run can train, and what differs between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from pillow_rnc.training.objective import TrainedModel, curve
from pillow_rnc.training.paper_model import PaperModel

if TYPE_CHECKING:
    from torch import Tensor

    from pillow_rnc.training.recipe import Recipe

AnyModel: TypeAlias = TrainedModel | PaperModel


def make_model(recipe: Recipe) -> AnyModel:
    """Return the model of a recipe, with random parameters."""
    return PaperModel(recipe) if recipe.network == "paper" else TrainedModel(recipe)


def validation_curve(model: AnyModel, pixels: Tensor) -> list[tuple[float, float, float]]:
    """Return (bpp, PSNR-HVS with a chroma share in dB, MS-SSIM) after each iteration of pixels [N, 3, H, W]."""
    return model.curve(pixels) if isinstance(model, PaperModel) else curve(model, pixels)
