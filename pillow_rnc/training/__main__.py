"""``python -m pillow_rnc.training RECIPE --data DATA --out DIR``: train, or resume the last run.

The same command serves two cores, one GPU and, behind ``torchrun``, many; see docs/training-reference.md.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import torch

from pillow_rnc.training.crops import VALIDATION_PX
from pillow_rnc.training.data import load_photographs
from pillow_rnc.training.loop import Run
from pillow_rnc.training.pace import Pace
from pillow_rnc.training.peak import peak_macs
from pillow_rnc.training.process_group import ProcessGroup, device_of
from pillow_rnc.training.recipe import Recipe
from pillow_rnc.training.step import Speed

_log = logging.getLogger(__name__)
_SYNC_STEPS_CUDA = 20


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pillow_rnc.training", description=__doc__)
    parser.add_argument("recipe", type=Path, help="TOML file with the choices of the run")
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs, or a pack of one")
    parser.add_argument(
        "--validate-on", type=Path, metavar="DATA", help="photographs to validate on instead of those held out"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoints; a run in it is resumed")
    parser.add_argument(
        "--begin-from", type=Path, metavar="DIR", help="run whose averaged parameters a new run begins with"
    )
    parser.add_argument("--minutes", type=float, default=1e9, help="train no longer than this after the start")
    parser.add_argument("--save-minutes", type=float, default=3.0)
    parser.add_argument("--validate-minutes", type=float, default=10.0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0 leaves the default")
    parser.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="compile the element-wise parts: about a quarter faster after one or two minutes; default: on a GPU",
    )
    parser.add_argument("--graph", action=argparse.BooleanOptionalAction, default=True, help="CUDA graph of the step")
    return parser


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    args = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    if args.threads:
        torch.set_num_threads(args.threads)
    device = device_of(args.device)
    processes = ProcessGroup.join(device)
    recipe = Recipe.from_toml(args.recipe)
    pace = Pace(
        args.minutes,
        60 * args.save_minutes,
        validate_seconds=60 * args.validate_minutes,
        sync_steps=_SYNC_STEPS_CUDA if device.type == "cuda" else 1,
    )
    photographs = load_photographs(args.data, smallest_px=recipe.crop_px)
    if args.validate_on:
        others = load_photographs(args.validate_on, smallest_px=VALIDATION_PX, held_out_share=0.0)
        photographs = replace(photographs, held_out=others.training)
    compiled = device.type == "cuda" if args.compile is None else args.compile
    speed = Speed.of_device(device, compiled=compiled, graph=args.graph and processes.size == 1)
    if processes.is_main:
        _log.info(
            "%d images to train on, %d held out, %d skipped; %s, %d processes",
            len(photographs.training), len(photographs.held_out), len(photographs.skipped), speed, processes.size,
        )  # fmt: skip
        waits, steps = recipe.entropy_only_steps + recipe.codec_ramp_steps, recipe.steps
        if 4 * waits > steps:
            _log.warning("the entropy-network phase and the codec ramp take %d of only %d steps in all", waits, steps)
    run = Run(recipe, photographs, args.out, device, speed=speed, processes=processes, begin_from=args.begin_from)
    run.run(pace.with_peak(peak_macs(device, speed.autocast)))
    del run  # whose model holds the group
    processes.leave()


if __name__ == "__main__":
    main()
