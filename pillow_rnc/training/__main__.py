"""``python -m pillow_rnc.training RECIPE --data DIR --out DIR``: train, or go on where the last run stopped."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch

from pillow_rnc.training.data import load_photographs
from pillow_rnc.training.loop import Pace, Run
from pillow_rnc.training.recipe import Recipe

_log = logging.getLogger(__name__)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m pillow_rnc.training", description=__doc__)
    parser.add_argument("recipe", type=Path, help="TOML file with the choices of the run")
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs, searched recursively")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoints; a run in it is resumed")
    parser.add_argument("--minutes", type=float, default=1e9, help="stop after this time")
    parser.add_argument("--save-minutes", type=float, default=3.0)
    parser.add_argument("--validate-minutes", type=float, default=10.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves the default")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if args.threads:
        torch.set_num_threads(args.threads)
    recipe = Recipe.from_toml(args.recipe)
    photographs = load_photographs(args.data, smallest_px=recipe.crop_px)
    _log.info(
        "%d pictures to train on, %d held back, %d skipped",
        len(photographs.training), len(photographs.held_back), len(photographs.skipped),
    )  # fmt: skip
    run = Run(recipe, photographs, args.out, torch.device(args.device))
    run.run(Pace(args.minutes, 60 * args.save_minutes, validate_seconds=60 * args.validate_minutes))


if __name__ == "__main__":
    main()
