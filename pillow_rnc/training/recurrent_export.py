"""From the runs of a recurrent codec and of its entropy network to a weights file.

python -m pillow_rnc.training.recurrent_export --codec runs/ended --entropy runs/entropy --out weights --name recurrent
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save

from pillow_rnc.models.config import ModelConfig
from pillow_rnc.training.checkpoint import read_newest
from pillow_rnc.training.recurrent_entropy import Codec, DenseEntropyNetwork, read_codec

if TYPE_CHECKING:
    from collections.abc import Sequence

_DIGEST_LETTERS = 12


def read_entropy(folder: Path) -> DenseEntropyNetwork:
    """Return the entropy network of a run.

    Raises:
        FileNotFoundError: There is none.
    """
    checkpoint = read_newest(folder)
    if checkpoint is None:
        raise FileNotFoundError(f"{folder}: no checkpoint")
    table = checkpoint.state["config"]
    passes = tuple((row[0], row[1], row[2]) for row in table.pop("passes"))
    network = DenseEntropyNetwork(ModelConfig(**table, passes=passes))
    network.load_state_dict(checkpoint.model)
    return network


def weights_bytes(codec: Codec, entropy: DenseEntropyNetwork) -> bytes:
    """Return the weights file: float32 network, int8 entropy network, configuration as metadata."""
    network = {f"network.{n}": t.detach().float().contiguous() for n, t in codec.model.network.state_dict().items()}
    return save(network | entropy.dense_tensors(), metadata={"config": entropy.config.to_json()})


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the file, and print its path and SHA-256."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--codec", type=Path, required=True, help="folder of the codec's run")
    parser.add_argument("--entropy", type=Path, required=True, help="folder of its entropy network's run")
    parser.add_argument("--out", type=Path, required=True, help="folder of the weights")
    parser.add_argument("--name", default="recurrent")
    args = parser.parse_args(arguments)
    with torch.no_grad():
        data = weights_bytes(read_codec(args.codec), read_entropy(args.entropy))
    digest = hashlib.sha256(data).hexdigest()
    path = args.out / f"{args.name}-{digest[:_DIGEST_LETTERS]}.safetensors"
    args.out.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    print(json.dumps({"file": str(path), "sha256": digest, "bytes": len(data)}))


if __name__ == "__main__":
    main()
