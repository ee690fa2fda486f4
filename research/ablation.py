"""``python -m research.ablation ROW...``: compare the choices of a recipe at equal CPU time.

Every variant of a row is trained from the same seed for the same CPU time and measured on the same held-out crops.
Results that the output folder holds are reused. Rows are in `ablation_rows`.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pillow_rnc.training.crops import VALIDATION_PX
from pillow_rnc.training.data import load_photographs
from pillow_rnc.training.loop import Run
from pillow_rnc.training.objective import RateOutput, rate_iteration, reconstruction_error
from pillow_rnc.training.pace import Pace
from pillow_rnc.training.selection import mean_heights
from research.ablation_rows import ROWS, Variant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from pillow_rnc.training.data import Photographs
    from pillow_rnc.training.model import TrainableModel
    from pillow_rnc.training.recipe import Recipe

_log = logging.getLogger(__name__)
_CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a variant.

    Attributes:
        steps: How many it did in its time.
        curve: (bpp, PSNR-HVS in dB, MS-SSIM) after each iteration, means over the held-out crops.
    """

    steps: int
    curve: list[tuple[float, float, float]]


class VariantRun(Run):
    """A run of a variant, without checkpoints."""

    def __init__(
        self, variant: Variant, recipe: Recipe, photographs: Photographs, before: TrainableModel | None
    ) -> None:
        self.variant, self._before = variant, before
        super().__init__(recipe, photographs, Path(variant.name), _CPU)
        if variant.optimizer:
            groups = [{"params": group["params"], "lr": group["lr"]} for group in self.stepper.optimizer.param_groups]
            self.stepper.set_optimizer(variant.optimizer(groups))

    def new_model(self) -> TrainableModel:
        model = super().new_model()
        self.variant.change(model)
        model.compile_parts(self._part)
        return model

    def _part(self, part: Callable[..., Any]) -> Callable[..., Any]:
        """Return the replacement of one of the functions of a step."""
        if part is reconstruction_error:
            return self.variant.error(part)
        if part is not rate_iteration:
            return self.variant.iteration(part)
        return _plain_rate if self.variant.from_noise else part

    def start(self, model: TrainableModel) -> None:
        if self._before is not None:
            _copy_parameters(model, self._before)
        elif not self.variant.from_noise:
            super().start(model)

    def train(self, minutes: float) -> None:
        """Take steps for this many minutes of CPU time."""
        pace = Pace.of_cpu(minutes)
        while pace.seconds_left > 0:
            self.train_step()

    def result(self) -> Result:
        """Return the result."""
        curve, config = self.validate(), self.recipe.model
        if self.variant.from_noise:  # bits as they are: its entropy network has learned nothing
            bpp = config.code_channels / config.code_stride**2
            curve = [(bpp * (t + 1), hvs, ms_ssim) for t, (_, hvs, ms_ssim) in enumerate(curve)]
        return Result(self.step, curve)


def _plain_rate(
    _entropy: object, _shared: object, _values: object, bits: Tensor, _coded: object, _previous: object
) -> RateOutput:
    """Count the plain bits, without the time that an entropy network takes."""
    return RateOutput(None, bits.new_full(bits.shape[:1], bits[0].numel()))


@torch.no_grad()
def _copy_parameters(model: TrainableModel, before: TrainableModel) -> None:
    """Copy the parameters of a model of as many iterations, or fewer."""
    learned = dict(before.named_parameters())
    for name, parameter in model.named_parameters():
        if name in learned and learned[name].shape == parameter.shape:
            parameter.copy_(learned[name])
        elif name in learned:  # one value for each iteration
            parameter[: len(learned[name])] = learned[name]


def trained(variant: Variant, photographs: Photographs, minutes: float) -> Result:
    """Train a variant for this many minutes of CPU time and measure it; its initialisation is not counted."""
    recipes = (*variant.before, variant.recipe)
    model = None
    for recipe in recipes:
        run = VariantRun(variant, recipe, photographs, model)
        run.train(minutes / len(recipes))
        model = run.stepper.model
    return run.result()


def kept_or_trained(variant: Variant, photographs: Callable[[], Photographs], folder: Path, minutes: float) -> Result:
    """Return the result of a variant that a folder holds; if it holds none, train the variant and write it there.

    Args:
        variant: The variant.
        photographs: Called only if the variant has to be trained.
        folder: Where results are.
        minutes: CPU time.

    Raises:
        ValueError: The folder holds that of another recipe or time.
    """
    path, what = folder / f"{variant.name}.json", {"minutes": minutes, "recipe": variant.recipe.as_dict()}
    what = json.loads(json.dumps(what))
    if path.exists():
        record = json.loads(path.read_text(encoding="utf-8"))
        if {key: record[key] for key in what} != what:
            msg = f"{path}: is of another recipe or time; choose another folder, or remove it"
            raise ValueError(msg)
        return Result(record["steps"], [tuple(point) for point in record["curve"]])
    result = trained(variant, photographs(), minutes)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**what, "steps": result.steps, "curve": result.curve}), encoding="utf-8")
    return result


def table(found: Sequence[tuple[str, Sequence[tuple[str, Result]]]]) -> str:
    """Return results by row and label as Markdown: means between the row's rates."""
    lines = ["| Row | | Steps | PSNR-HVS | MS-SSIM |", "|---|---|---:|---:|---:|"]
    for name, results in found:
        row = ROWS[name]
        low, high = row.bpp
        lines.append(f"| `{name}` | **{row.choice}**, {low:g} to {high:g} bpp | | | |")
        for label, result in results:
            hvs, ms_ssim = mean_heights(result.curve, low, high)
            lines.append(f"| | {label} | {result.steps} | {hvs:.2f} | {ms_ssim:.4f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m research.ablation", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)}; default: all")
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs, or a pack of one")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results")
    parser.add_argument("--minutes", type=float, default=1.25, help="minutes of CPU time of each variant")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    args = parser.parse_args(arguments)
    unknown = sorted(set(args.rows) - ROWS.keys())
    if unknown:
        parser.error(f"unknown rows {unknown}, known are {sorted(ROWS)}")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(args.threads)

    @cache
    def photographs() -> Photographs:
        found = load_photographs(args.data, smallest_px=VALIDATION_PX)
        if not found.held_out:
            parser.error(f"{args.data}: no image of it is held out, so there is none to measure on")
        return found

    found = []
    for name in args.rows or ROWS:
        results = []
        for label, variant in ROWS[name].variants.items():
            result = kept_or_trained(variant, photographs, args.out, args.minutes)
            hvs, ms_ssim = mean_heights(result.curve, *ROWS[name].bpp)
            _log.info("%s, %s: %d steps, PSNR-HVS %.2f dB, MS-SSIM %.4f", name, label, result.steps, hvs, ms_ssim)
            results.append((label, result))
        found.append((name, results))
    print(table(found))


if __name__ == "__main__":
    main()
