"""``python -m research.resume_test RECIPE``: is a run that is interrupted and resumed the same as one that is not?

A recipe is trained twice to its end: in one run, and in parts of equal length, each resumed from the checkpoint of the
previous part. Before each resumption some steps are taken that no checkpoint holds, as when a process is killed. Losses
are compared step by step, then all parameters, averages and moments.
"""

from __future__ import annotations

import argparse
import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from pillow_rnc.training.data import load_photographs
from pillow_rnc.training.loop import Run
from pillow_rnc.training.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pillow_rnc.training.data import Photographs

_CPU = torch.device("cpu")
_LOST_STEPS = 3
_SHOWN_STEPS = 10


class ResumeTest(NamedTuple):
    """The losses of both runs, step by step, and their difference at the end.

    Attributes:
        whole: Losses of the uninterrupted run.
        parts: Losses of the run in parts.
        resumed_at: Steps before which it was resumed.
        parameter_difference: The largest of any parameter, average or moment at the end.
    """

    whole: list[float]
    parts: list[float]
    resumed_at: list[int]
    parameter_difference: float


def losses(run: Run, steps: int) -> list[float]:
    """Return the losses of the next steps of a run."""
    out = []
    for _ in range(steps):
        run.train_step()
        out.append(run.stepper.report().loss)
    return out


def _tensors(run: Run) -> dict[str, torch.Tensor]:
    """Return all that a run has learned: parameters, their averages and both moments."""
    first, second, _ = run.stepper.moments()
    parameters = dict(run.stepper.model.named_parameters())
    parts: tuple[Mapping[str, torch.Tensor], ...] = (parameters, run.stepper.average, first, second)
    return {f"{part} {name}": tensor.detach() for part, held in enumerate(parts) for name, tensor in held.items()}


def compare(recipe: Recipe, photographs: Photographs, folder: Path, resumptions: int) -> ResumeTest:
    """Train a recipe in one run and in parts.

    Args:
        recipe: It has at least one step for each part.
        photographs: To train on.
        folder: Where the checkpoints of the run in parts go; empty or absent.
        resumptions: One less than there are parts.

    Raises:
        FileExistsError: The folder holds something.
        OSError: A checkpoint cannot be written.
        RuntimeError: A part did not resume from the checkpoint of the previous one.
    """
    if folder.exists() and any(folder.iterdir()):
        msg = f"{folder}: is not empty, a run that is in it would be resumed"
        raise FileExistsError(msg)
    one = Run(recipe, photographs, folder / "whole", _CPU)
    one.train_step()
    steps = math.ceil(recipe.block_iterations / one.block_iterations)
    whole = [one.stepper.report().loss, *losses(one, steps - 1)]
    ends = [steps * (part + 1) // (resumptions + 1) for part in range(resumptions + 1)]
    parts: list[float] = []
    for end in ends:
        other = Run(recipe, photographs, folder / "parts", _CPU)
        parts += losses(other, end - other.step)
        if end < steps:
            other.save()
            losses(other, _LOST_STEPS)
    if other.resumed != resumptions:
        msg = f"{folder}: resumed {other.resumed} times, expected {resumptions}; a checkpoint was not found"
        raise RuntimeError(msg)
    expected, found = _tensors(one), _tensors(other)
    differences = (float((found[name] - tensor).abs().max()) for name, tensor in expected.items())
    return ResumeTest(whole, parts, ends[:-1], max(differences))


def markdown(found: ResumeTest) -> str:
    """Return the loss around each resumption, and the largest differences."""
    whole, parts = np.array(found.whole), np.array(found.parts)
    n = _SHOWN_STEPS
    lines = [
        f"| Resumed at step | Mean loss of the {n} steps before | of the {n} after | uninterrupted |",
        "|---:|---:|---:|---:|",
    ]
    for step in found.resumed_at:
        before, after, same = (
            part.mean() for part in (parts[max(0, step - n) : step], parts[step:][:n], whole[step:][:n])
        )
        lines.append(f"| {step} | {before:.6f} | {after:.6f} | {same:.6f} |")
    largest = np.abs(whole - parts).max()
    count, lost = len(found.resumed_at), _LOST_STEPS
    lines.append(f"\n{len(whole)} steps, resumed {count} times, {lost} steps lost each time.")
    learned = found.parameter_difference
    lines.append(f"Largest difference of a loss: {largest:g}; of a parameter, average or moment: {learned:g}.")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m research.resume_test", description=__doc__)
    parser.add_argument("recipe", type=Path, help="TOML file with the choices of the run")
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs, or a pack of one")
    parser.add_argument("--out", type=Path, required=True, help="folder of checkpoints and losses.csv")
    parser.add_argument("--resumptions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    recipe = Recipe.from_toml(args.recipe)
    photographs = load_photographs(args.data, smallest_px=recipe.crop_px)
    found = compare(recipe, photographs, args.out, args.resumptions)
    with (args.out / "losses.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["step", "uninterrupted", "in_parts", "resumptions"])
        for step, losses in enumerate(zip(found.whole, found.parts, strict=True)):
            rows.writerow([step, *losses, sum(step >= at for at in found.resumed_at)])
    print(markdown(found))


if __name__ == "__main__":
    main()
