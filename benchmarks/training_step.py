"""``python -m benchmarks.training_step``: block-iterations per second of whole training steps, side by side.

Variants alternate within one process, and the best turn of each counts, so that other load on the machine affects all
equally. On one CPU thread, CPU time is measured.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, get_args

import torch

from pillow_rnc.models.complexity import macs_per_pixel
from pillow_rnc.models.config import Framework
from pillow_rnc.training.families import make_model
from pillow_rnc.training.objective import RateDistortionModel
from pillow_rnc.training.peak import peak_macs
from pillow_rnc.training.process_group import ProcessGroup, device_of
from pillow_rnc.training.recipe import BLOCK_PX, Recipe, as_embedded, as_recurrent
from pillow_rnc.training.step import Speed, Stepper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pillow_rnc.models.config import ModelConfig

_CUDA_BATCH = 64
_REFERENCES = 3  # variants that the others are measured by


_CODECS: dict[str, Callable[[ModelConfig], ModelConfig]] = {
    "embedded": as_embedded,
    **{framework: partial(as_recurrent, framework=framework) for framework in get_args(Framework)},
}


class StepVariant(NamedTuple):
    """A way to train, and what it is called."""

    name: str
    recipe: Recipe
    speed: Speed


def clock_of(device: torch.device) -> Callable[[], float]:
    """Return the clock that other load on the machine disturbs least."""
    return time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter


class Turn:
    """One variant, ready to step."""

    def __init__(self, variant: StepVariant, device: torch.device) -> None:
        self.variant, self._device = variant, device
        torch.manual_seed(0)
        model = make_model(variant.recipe).to(device)
        model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._stepper = Stepper(model, variant.recipe, device, variant.speed, ProcessGroup())
        r = variant.recipe
        self._pixels = torch.rand(r.batch, 3, r.crop_px, r.crop_px, device=device) * 255
        self._step = r.entropy_only_steps + r.codec_ramp_steps  # everything is switched on
        self.best_seconds = float("inf")
        for _ in range(5 if variant.speed.graph else 1):  # compiling and capturing do not count
            self._stepper.step(self._pixels, self._step, 1e-4)

    def run(self, steps: int) -> None:
        """Do some steps and remember the best time of one."""
        self._stepper.report()  # waits for the device
        clock = clock_of(self._device)
        start = clock()
        for _ in range(steps):
            self._stepper.step(self._pixels, self._step, 1e-4)
        self._stepper.report()
        self.best_seconds = min(self.best_seconds, (clock() - start) / steps)

    @property
    def block_iterations_per_second(self) -> float:
        """The best turn's speed."""
        r = self.variant.recipe
        return r.batch * (r.crop_px / BLOCK_PX) ** 2 * r.model.iterations / self.best_seconds


def variants(recipe: Recipe, device: torch.device, *, compiled: bool) -> list[StepVariant]:
    """Return what a recipe is compared with, after the recipe as it is.

    The plain way, the second, has full convolutions in its cells and reconstructs the image after every iteration. The
    third differs from the recipe in the convolutions only.
    """
    plain = Speed.of_device(device, compiled=False, graph=device.type == "cuda")
    full = dataclasses.replace(recipe, model=dataclasses.replace(recipe.model, separable=False))
    half, double = (dataclasses.replace(recipe, batch=max(1, n)) for n in (recipe.batch // 2, recipe.batch * 2))
    found = [
        StepVariant("as in the recipe", recipe, plain),
        StepVariant("plain", dataclasses.replace(full, ms_ssim_iterations=recipe.model.iterations), plain),
        StepVariant("full convolutions", full, plain),
        StepVariant("half the batch", half, plain),
        StepVariant("twice the batch", double, plain),
    ]
    if device.type == "cuda":
        found.append(StepVariant("without a graph", recipe, dataclasses.replace(plain, graph=False)))
        found.append(StepVariant("in float32", recipe, dataclasses.replace(plain, autocast=None)))
    else:
        found.append(StepVariant("in bfloat16", recipe, dataclasses.replace(plain, autocast=torch.bfloat16)))
    if compiled:
        fast = dataclasses.replace(plain, compiled=True)
        found.append(StepVariant("compiled", recipe, fast))
        found.append(StepVariant("full convolutions, compiled", full, fast))
        found.append(
            StepVariant("compiled, twice the batch", dataclasses.replace(recipe, batch=recipe.batch * 2), fast)
        )
    return found


def compare(chosen: Sequence[StepVariant], device: torch.device, *, rounds: int, steps: int) -> list[Turn]:
    """Return the variants after their turns."""
    turns = [Turn(variant, device) for variant in chosen]
    for _ in range(rounds):
        for turn in turns:
            turn.run(steps)
    return turns


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_step", description=__doc__)
    parser.add_argument("recipe", type=Path, nargs="?", help="a TOML file; by default what recipes are without one")
    parser.add_argument(
        "--framework", choices=_CODECS, help="'embedded', or a framework of the recurrent family; default: the recipe's"
    )
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--batch", type=int, help="crops per step; by default the recipe's, on a GPU 64")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="compare with compiled parts as well: takes minutes")
    parser.add_argument(
        "--only", nargs="+", metavar="VARIANT", help="in addition to the first three, which are always measured"
    )
    args = parser.parse_args(arguments)
    torch.set_num_threads(args.threads)
    device = device_of(args.device)
    recipe = Recipe.from_toml(args.recipe) if args.recipe else Recipe("benchmark")
    if not isinstance(make_model(recipe), RateDistortionModel):
        parser.error(f"{args.recipe}: the model is not trained for rate and distortion")
    batch = args.batch or (recipe.batch if device.type == "cpu" else _CUDA_BATCH)
    recipe = dataclasses.replace(recipe, batch=batch)
    if args.framework:
        model = _CODECS[args.framework](recipe.model)
        recipe = dataclasses.replace(recipe, model=model, train_encoder=model.learns_codes)
    chosen = variants(recipe, device, compiled=args.compile)
    if args.only is not None:
        unknown = sorted(set(args.only) - {variant.name for variant in chosen})
        if unknown:
            parser.error(f"unknown variants {unknown}, known are {[variant.name for variant in chosen]}")
        chosen = chosen[:_REFERENCES] + [variant for variant in chosen[_REFERENCES:] if variant.name in args.only]
    print(report(compare(chosen, device, rounds=args.rounds, steps=1 if device.type == "cpu" else 10), device))


def report(turns: Sequence[Turn], device: torch.device) -> str:
    """Return speeds, their ratios to those of the first three turns, and their shares of the device's peak, as text."""
    names = f"{'to recipe':>9} {'to plain':>8} {'to full':>7}"
    lines = [f"{'variant':27} {'batch':>5} {'block-iterations/s':>18} {names} {'of peak':>7}"]
    for turn in turns:
        recipe, speed = turn.variant.recipe, turn.block_iterations_per_second
        peak = peak_macs(device, turn.variant.speed.autocast, clock_of(device))
        iterations = recipe.model.iterations
        macs = 3 * macs_per_pixel(recipe.model, iterations, reconstructions=recipe.ms_ssim_iterations) / iterations
        share = macs * BLOCK_PX**2 * speed / peak
        ours, plain, full = (speed / other.block_iterations_per_second for other in turns[:_REFERENCES])
        ratios = f"{ours:9.2f} {plain:8.2f} {full:7.2f}"
        lines.append(f"{turn.variant.name:27} {recipe.batch:5} {speed:18.0f} {ratios} {share:7.1%}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
