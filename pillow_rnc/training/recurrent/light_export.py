"""Writes the weights file of a recurrent codec from the runs of the codec and of its entropy network.

python -m pillow_rnc.training.recurrent.light_export --codec runs/ended --entropy runs/entropy --out weights

With `--release` it also writes the training record, and enters the model in the manifest of the folder, after those
that are there: the default stays.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from safetensors.torch import save

from pillow_rnc.models.config import RecurrentConfig, config_from_mapping
from pillow_rnc.training.checkpoint import read_newest
from pillow_rnc.training.manifest import enter, write_weights
from pillow_rnc.training.recurrent.codec_run import read_codec
from pillow_rnc.training.recurrent.dense_entropy_network import DenseEntropyNetwork
from pillow_rnc.training.recurrent.light_recipe import LightRecipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pillow_rnc.training.recurrent.codec_run import Codec


def read_entropy(folder: Path) -> DenseEntropyNetwork:
    """Return the entropy network of a run.

    Raises:
        FileNotFoundError: There is none.
    """
    checkpoint = read_newest(folder)
    if checkpoint is None:
        raise FileNotFoundError(f"{folder}: no checkpoint")
    known = {field.name for field in fields(RecurrentConfig)}  # runs of before draft 7 name no family, but other keys
    table = {key: value for key, value in checkpoint.state["config"].items() if key in known}
    config = cast("RecurrentConfig", config_from_mapping({**table, "family": RecurrentConfig.family}))
    network = DenseEntropyNetwork(config)
    network.load_state_dict(checkpoint.model)
    return network


def weights_bytes(codec: Codec, entropy: DenseEntropyNetwork) -> bytes:
    """Return the weights file: float32 network, integer entropy network, configuration as metadata.

    Raises:
        ValueError: The transform of the codec is not lapped; files have no place to say so.
    """
    if isinstance(codec.recipe, LightRecipe) and not codec.recipe.lapped:
        msg = "there are no weights files of networks whose transform is not lapped"
        raise ValueError(msg)
    network = {f"network.{n}": t.detach().float().contiguous() for n, t in codec.model.network.state_dict().items()}
    return save(network | entropy.dense_tensors(), metadata={"config": entropy.config.to_json()})


def training_record(name: str, codec: Codec, entropy: DenseEntropyNetwork) -> dict[str, object]:
    """Return what a release says of its training."""
    recipe = {**asdict(codec.recipe), "name": name, "model": entropy.config.as_dict()}
    return {"block_iterations": codec.block_iterations, "recipe": recipe}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the file, load it once as a check, and print its path and SHA-256."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", type=Path, required=True, help="folder of the codec's run")
    parser.add_argument("--entropy", type=Path, required=True, help="folder of its entropy network's run")
    parser.add_argument("--out", type=Path, required=True, help="folder of the weights")
    parser.add_argument("--name", default="recurrent", help="first part of the name of the file")
    parser.add_argument("--release", action="store_true", help="enter the model in the manifest of the folder")
    args = parser.parse_args(arguments)
    codec, entropy = read_codec(args.codec), read_entropy(args.entropy)
    with torch.no_grad():
        data = weights_bytes(codec, entropy)
    path = write_weights(args.out, args.name, data)
    if args.release:
        enter(path, args.name, training_record(args.name, codec, entropy), is_default=False)
    print(json.dumps({"file": str(path), "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}))


if __name__ == "__main__":
    main()
