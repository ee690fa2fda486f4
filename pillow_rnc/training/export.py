"""From a checkpoint to a weights file: the one door into ``weights/``."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save

from pillow_rnc.models.weights import load, register
from pillow_rnc.plugin.file_io import atomic_write
from pillow_rnc.training.checkpoint import read_newest
from pillow_rnc.training.objective import TrainedModel
from pillow_rnc.training.recipe import Recipe, recipe_from_mapping

if TYPE_CHECKING:
    from pathlib import Path

_DIGEST_LETTERS = 12


def weights_bytes(model: TrainedModel, recipe: Recipe) -> bytes:
    """Return the weights file of a model: float32 network, int8 entropy network, configuration as metadata."""
    network = {f"network.{n}": p.detach().float().cpu().contiguous() for n, p in model.network.named_parameters()}
    return save(network | model.entropy.integer_tensors(model.network), metadata={"config": recipe.model.to_json()})


def export(checkpoints: Path, folder: Path, name: str | None = None) -> Path:
    """Write the averaged parameters of the newest checkpoint as a weights file, and load it once as proof.

    Args:
        checkpoints: Folder of a training run.
        folder: Where the file goes; its name ends with the start of its SHA-256.
        name: First part of the file name; the recipe's name by default.

    Raises:
        FileNotFoundError: There is no whole checkpoint.
        ValueError: It is of the paper's network, which codes no files.
        OSError: The file cannot be written; nothing of it is left.
        WeightsError: The parameters break a rule of the format, such as the bound of the integer sums.
    """
    checkpoint = read_newest(checkpoints)
    if checkpoint is None:
        msg = f"{checkpoints}: no whole checkpoint"
        raise FileNotFoundError(msg)
    recipe = recipe_from_mapping(checkpoint.state["recipe"])
    if recipe.network != "light":
        msg = f"{checkpoints}: of the {recipe.network} network, only the light one has weights files"
        raise ValueError(msg)
    model = TrainedModel(recipe)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            parameter.copy_(checkpoint.average[parameter_name])
    data = weights_bytes(model, recipe)
    digest = hashlib.sha256(data).hexdigest()
    path = folder / f"{name or recipe.name}-{digest[:_DIGEST_LETTERS]}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(path, data)
    load(register(path).model_id)
    return path
