r"""Trains the light network with code cells of 16x16 pixels on one CPU core; resumable, at a constant learning rate.

    python -m pillow_rnc.training.recurrent.light_run --data PHOTOGRAPHS --out runs/recurrent

Run it again to resume from the newest checkpoint. The crops and iterations of a step depend on seed and step alone. The
learning rate warms up and then stays as it is. To end the training, begin another run from the checkpoint of this one,
here with a learning rate that falls to zero within 20 million block-iterations::

    python -m pillow_rnc.training.recurrent.light_run --data PHOTOGRAPHS --out runs/ended --end 20 \
        --begin-from runs/recurrent
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import signal
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pillow_rnc.training.checkpoint import Checkpoint, read_newest, write_checkpoint
from pillow_rnc.training.crops import VALIDATION_PX, CropSampler, validation_crops
from pillow_rnc.training.data import load_photographs
from pillow_rnc.training.losses import PEAK_DB
from pillow_rnc.training.muon import Muon, is_matrix
from pillow_rnc.training.recipe import BLOCK_PX
from pillow_rnc.training.recurrent.light_model import LightModel, area, judged_iterations
from pillow_rnc.training.recurrent.light_recipe import LightRecipe
from pillow_rnc.training.recurrent.light_start import measure_deviations, start_from_components

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pillow_rnc.training.data import Photographs

_log = logging.getLogger(__name__)
_START_STEP = 10**6  # crops that the start is measured on; no step of training draws them
_START_BATCHES, _START_CROPS, _START_PX = 6, 64, 64
_REPORT_STEPS = 50


class Run:
    """Model, its average, optimizers and counters.

    Args:
        recipe: Of the run; those of its checkpoint win.
        images: Those to train on and those held out, all of at least 256 pixels a side.
        folder: Of the checkpoints.
        begin_from: Folder of another run whose newest checkpoint a new run begins from.
        compiled: Let torch compile the iterations.
    """

    def __init__(
        self, recipe: LightRecipe, images: Photographs, folder: Path, *, begin_from: Path | None = None, compiled: bool
    ) -> None:
        self.folder = folder
        checkpoint = read_newest(folder)
        if checkpoint is None and begin_from is not None:
            checkpoint = read_newest(begin_from)
        if checkpoint is not None:
            recipe = LightRecipe(**checkpoint.state["choices"])
        self.recipe = recipe
        self.step, self.block_iterations, self.seconds = 0, 0.0, 0.0
        self.end: tuple[float, float] | None = None  # block-iterations at which the learning rate begins to fall, is 0
        torch.manual_seed(recipe.seed)
        training = images.training
        _log.info("%d images to train on, %d held out", len(training), len(images.held_out))
        self.sampler = CropSampler(
            training, crop_px=recipe.crop_px, seed=recipe.seed, downscaled_share=recipe.downscaled_share
        )
        self.validation = validation_crops(images.held_out)
        self.model = LightModel(recipe.config, lapped=recipe.lapped, ms_ssim_share=recipe.ms_ssim_share)
        if checkpoint is None:
            self._start(CropSampler(training, crop_px=_START_PX, seed=recipe.seed))
        self.model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.model.autocast = torch.bfloat16 if recipe.half_precision else None
        parameters = dict(self.model.network.named_parameters())
        matrices = {n: p for n, p in parameters.items() if recipe.matrix_learning_rate and is_matrix(n, p)}
        self._matrix_rate = torch.tensor(0.0)
        self._muon = Muon(matrices.items(), self._matrix_rate)
        self._others = {n: p for n, p in parameters.items() if n not in matrices}
        self._adam = torch.optim.AdamW(self._others.values(), betas=(0.9, 0.95), weight_decay=0.0, fused=True)
        self.average = {n: p.detach().clone() for n, p in parameters.items()}
        if checkpoint is not None:
            self._restore(checkpoint)
        if compiled:
            self.model.compile_parts()
        self._losses: list[tuple[float, float, float]] = []

    def _start(self, sampler: CropSampler) -> None:
        batches = [sampler.batch(_START_STEP + i, _START_CROPS) for i in range(_START_BATCHES)]
        measure_deviations(self.model.network, batches)
        shares = start_from_components(self.model.network, torch.cat(batches))
        _log.info("energy left by the start, in dB: %s", " ".join(f"{10 * math.log10(s):.1f}" for s in shares))

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint; one that cannot be written is logged, the ones before are untouched."""
        states = {n: self._adam.state[p] for n, p in self._others.items() if p in self._adam.state}
        first = {n: s["exp_avg"] for n, s in states.items()} | self._muon.momentum
        second = {n: s["exp_avg_sq"] for n, s in states.items()}
        state: dict[str, Any] = {
            "step": self.step,
            "block_iterations": self.block_iterations,
            "seconds": round(self.seconds, 1),
            "updates": max((int(s["step"]) for s in states.values()), default=0),
            "end": self.end,
            "choices": asdict(self.recipe),
        }
        deviation = {"transform.deviation": self.model.network.transform.deviation}
        model = {n: p.detach() for n, p in self.model.network.named_parameters()} | deviation
        try:
            write_checkpoint(self.folder, Checkpoint(model, self.average | deviation, first, second, state))
        except OSError as error:
            _log.error("checkpoint of step %d not written: %s", self.step, error)

    @torch.no_grad()
    def _restore(self, checkpoint: Checkpoint) -> None:
        state = checkpoint.state
        self.step, self.block_iterations, self.seconds = state["step"], state["block_iterations"], state["seconds"]
        self.end = tuple(state["end"]) if state["end"] else None
        self.model.network.transform.deviation.copy_(checkpoint.model["transform.deviation"])
        for name, parameter in self.model.network.named_parameters():
            parameter.copy_(checkpoint.model[name])
            self.average[name].copy_(checkpoint.average[name])
            if name in self._muon.momentum:
                self._muon.momentum[name].copy_(checkpoint.moment1[name])
            elif name in checkpoint.moment2:
                self._adam.state[parameter] = {
                    "step": torch.tensor(float(state["updates"])),
                    "exp_avg": torch.empty_like(parameter).copy_(checkpoint.moment1[name]),
                    "exp_avg_sq": torch.empty_like(parameter).copy_(checkpoint.moment2[name]),
                }
        _log.info("resumed at step %d, %.2fM block-iterations", self.step, self.block_iterations / 1e6)

    # --- steps -------------------------------------------------------------------------------------------------------

    def rate_share(self) -> float:
        """Return the share of the learning rates in this step: rising, then one, then falling once there is an end."""
        share = min(1.0, (self.step + 1) / self.recipe.warmup_steps)
        if self.end is not None:
            begin, stop = self.end
            share *= min(1.0, max(0.0, (stop - self.block_iterations) / (stop - begin)))
        return share

    def train_step(self) -> None:
        """Do one step; a step without a finite gradient changes nothing."""
        c = self.recipe
        share = self.rate_share()
        iterations = c.config.iterations
        if self.block_iterations < 1e6 * c.short_million:
            iterations //= 2
        counts = (min(c.hvs_iterations, iterations), min(c.ms_ssim_iterations, iterations))
        judged = judged_iterations(c.seed, self.step, iterations, counts)
        self.model.zero_grad(set_to_none=True)
        out = self.model(self.sampler.batch(self.step, c.batch), judged)
        out.loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_(self.model.parameters(), c.clip_norm))
        self.step += 1
        self.block_iterations += c.batch * (c.crop_px / BLOCK_PX) ** 2 * iterations
        if not math.isfinite(norm):
            _log.warning("step %d: gradient not finite, skipped", self.step)
            return
        for group in self._adam.param_groups:
            group["lr"] = share * c.learning_rate
        self._matrix_rate.fill_(share * c.matrix_learning_rate)
        self._adam.step()
        self._muon.step(torch.tensor(0.0))
        drift = 1 - min(c.average, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for name, parameter in self.model.network.named_parameters():
                self.average[name].lerp_(parameter, drift)
        self._losses.append((float(out.loss.detach()), float(out.commitment), norm))

    def validate(self) -> None:
        """Log the curve of the averaged parameters on the images held out."""
        model = LightModel(self.recipe.config, lapped=self.recipe.lapped)
        values = {**self.average, "transform.deviation": self.model.network.transform.deviation}
        model.network.load_state_dict(values)
        model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        points = model.curve(self.validation)
        line = {
            "step": self.step,
            "block_iterations": self.block_iterations,
            "seconds": round(self.seconds, 1),
            "area": round(area(points), 5),
            "curve": [[round(v, 5) for v in p] for p in points],
        }
        with (self.folder / "validation.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        text = " ".join(f"{b:.3f}:{h:.2f}:{m:.4f}" for b, h, m in points)
        _log.info("VALID %.2fM %.0fs area %.4f  %s", self.block_iterations / 1e6, self.seconds, line["area"], text)

    def report(self, speed: float) -> None:
        """Log the means since the last report, with a speed in block-iterations a second."""
        if not self._losses:
            return
        loss, commitment, norm = (sum(column) / len(self._losses) for column in zip(*self._losses, strict=True))
        _log.info(
            "step %d  %.2fM  %.0f/s  lr x %.3f  loss %.3f = %.2f dB  commitment %.3f  norm %.2f",
            self.step, self.block_iterations / 1e6, speed, self.rate_share(), loss, PEAK_DB - loss, commitment, norm,
        )  # fmt: skip
        self._losses.clear()

    def run(self, minutes: float, *, save_minutes: float = 5.0, validate_minutes: float = 10.0) -> None:
        """Train for so many minutes of the clock, until the learning rate is zero, or until asked to stop."""
        stop: list[int] = []
        for one in (signal.SIGTERM, signal.SIGINT):
            signal.signal(one, lambda number, _: stop.append(number))
        if self.step == 0:
            self.save()
            self.validate()
        start = saved = validated = reported = time.monotonic()
        seconds, seen, at_report = self.seconds, self.block_iterations, self.block_iterations
        while not stop and time.monotonic() - start < 60 * minutes:
            if self.end is not None and self.block_iterations >= self.end[1]:
                break
            self.train_step()
            now = time.monotonic()
            self.seconds = seconds + now - start
            if self.step % _REPORT_STEPS == 0:
                self.report((self.block_iterations - at_report) / (now - reported))
                reported, at_report = now, self.block_iterations
            if now - saved > 60 * save_minutes:
                self.save()
                saved = now
            if now - validated > 60 * validate_minutes:
                self.validate()
                validated = now
        self.save()
        self.validate()
        _log.info("%.0f block-iterations a second", (self.block_iterations - seen) / (time.monotonic() - start))


def main(arguments: Sequence[str] | None = None) -> None:
    """Train as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="photographs, a folder or a pack")
    parser.add_argument("--out", type=Path, required=True, help="folder of the run")
    parser.add_argument("--minutes", type=float, default=math.inf, help="wall-clock minutes to train")
    parser.add_argument("--validate-minutes", type=float, default=10.0)
    parser.add_argument("--begin-from", type=Path, help="a run whose newest checkpoint a new one begins from")
    parser.add_argument("--end", type=float, help="million block-iterations in which the learning rate falls to zero")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other recipe, in JSON")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%m-%d %H:%M:%S")
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    pairs = (one.split("=", 1) for one in args.set)
    recipe = LightRecipe(**{key: json.loads(value) for key, value in pairs})
    images = load_photographs(args.data, smallest_px=VALIDATION_PX)
    run = Run(recipe, images, args.out, begin_from=args.begin_from, compiled=not args.no_compile)
    if args.end is not None and run.end is None:
        run.end = (run.block_iterations, run.block_iterations + 1e6 * args.end)
    run.run(args.minutes, validate_minutes=args.validate_minutes)


if __name__ == "__main__":
    main()
