"""``python -m pillow_rnc.training.release CHECKPOINTS --to weights``: turn the newest checkpoint into a release.

Writes the weights file and its training record, and puts the model first in the manifest, which makes it the default.
Earlier models stay listed, so that their files can still be read. Release only what the evaluation found better than
the current default, on Kodak and on images held out from training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from pillow_rnc.training.checkpoint import read_newest
from pillow_rnc.training.export import export
from pillow_rnc.training.manifest import enter


def release(checkpoints: Path, folder: Path, name: str | None = None) -> Path:
    """Export the newest checkpoint and enter it in the manifest; return the weights file.

    Args:
        checkpoints: Folder of a training run.
        folder: Folder of released weights.
        name: Name of the model; the recipe's name by default. A released name passes on to the newer model.

    Raises:
        FileNotFoundError: There is no complete checkpoint.
        WeightsError: The parameters break a rule of the format.
    """
    checkpoint = read_newest(checkpoints)
    path = export(checkpoints, folder, name)
    assert checkpoint is not None  # or export would have raised
    name = name or checkpoint.state["recipe"]["name"]
    record = {key: value for key, value in checkpoint.state.items() if key != "level"}
    record["recipe"] = record["recipe"] | {"name": name}
    enter(path, name, record, is_default=True)
    return path


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m pillow_rnc.training.release", description=__doc__)
    parser.add_argument("checkpoints", type=Path, help="folder of a training run")
    parser.add_argument("--to", type=Path, required=True, help="folder of released weights")
    parser.add_argument("--name", help="name of the model; default: that of the recipe")
    args = parser.parse_args(arguments)
    print(release(args.checkpoints, args.to, args.name))


if __name__ == "__main__":
    main()
