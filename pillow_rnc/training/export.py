"""``python -m pillow_rnc.training.export CHECKPOINTS --to DIR``: write a weights file from the newest checkpoint.

The only way into ``weights/``; `release` enters the file in the manifest as well.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save

from pillow_rnc.training.checkpoint import read_newest
from pillow_rnc.training.families import make_model
from pillow_rnc.training.manifest import write_weights
from pillow_rnc.training.recipe import recipe_from_mapping

if TYPE_CHECKING:
    from pillow_rnc.training.model import TrainableModel


def weights_bytes(model: TrainableModel) -> bytes:
    """Return the weights file of a model: float32 network, integer entropy network, configuration as metadata.

    Raises:
        ValueError: There is no weights file for such a model.
    """
    return save(model.tensors(), metadata={"config": model.network.config.to_json()})


def export(checkpoints: Path, folder: Path, name: str | None = None) -> Path:
    """Write the averaged parameters of the newest checkpoint as a weights file, and load it once as a check.

    Args:
        checkpoints: Folder of a training run.
        folder: Where the file goes; its name ends with the start of its SHA-256.
        name: First part of the file name; the recipe's name by default.

    Raises:
        FileNotFoundError: There is no complete checkpoint.
        ValueError: There is no weights file for such a model.
        OSError: The file cannot be written; nothing of it is left.
        WeightsError: The parameters break a rule of the format, such as the bound of the integer sums.
    """
    checkpoint = read_newest(checkpoints)
    if checkpoint is None:
        msg = f"{checkpoints}: no complete checkpoint"
        raise FileNotFoundError(msg)
    recipe = recipe_from_mapping(checkpoint.state["recipe"])
    model = make_model(recipe)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            parameter.copy_(checkpoint.average[parameter_name])
    return write_weights(folder, name or recipe.name, weights_bytes(model))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m pillow_rnc.training.export", description=__doc__)
    parser.add_argument("checkpoints", type=Path, help="folder of a training run")
    parser.add_argument("--to", type=Path, required=True, help="folder for the weights file")
    parser.add_argument("--name", help="first part of its name; default: the name of the recipe")
    args = parser.parse_args(arguments)
    print(export(args.checkpoints, args.to, args.name))


if __name__ == "__main__":
    main()
