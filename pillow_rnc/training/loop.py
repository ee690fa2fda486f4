"""The training loop: time-boxed, resumable, and able to survive kills, damage and divergence."""

from __future__ import annotations

import json
import logging
import math
from typing import TYPE_CHECKING, Any

import torch

from pillow_rnc.training.checkpoint import Checkpoint, read_newest, write_checkpoint
from pillow_rnc.training.crops import VALIDATION_PX, CropSampler, validation_crops
from pillow_rnc.training.families import make_model
from pillow_rnc.training.losses import PEAK_DB
from pillow_rnc.training.process_group import ProcessGroup
from pillow_rnc.training.recipe import BLOCK_PX
from pillow_rnc.training.selection import keep_if_best
from pillow_rnc.training.step import Speed, Stepper

if TYPE_CHECKING:
    from pathlib import Path

    from pillow_rnc.training.data import Photographs
    from pillow_rnc.training.model import CurvePoint, TrainableModel
    from pillow_rnc.training.pace import Pace
    from pillow_rnc.training.recipe import Recipe
    from pillow_rnc.training.step import StepReport

_log = logging.getLogger(__name__)
_MAX_BAD_STEPS = 20  # in a row, before the run goes back to its last checkpoint
_ROLLBACKS = 3  # before the run gives up
_START_CROPS = 200
_STEPS_PER_SEED = 10**9


class DivergedError(RuntimeError):
    """Training produced NaN, infinite or leaping losses again and again."""


def _copy_average(folder: Path, model: TrainableModel) -> None:
    """Let a model begin with the averaged parameters of another run.

    Raises:
        FileNotFoundError: The folder holds no checkpoint.
        ValueError: That run trained a model of other shapes.
    """
    checkpoint = read_newest(folder)
    if checkpoint is None:
        msg = f"{folder}: no checkpoint"
        raise FileNotFoundError(msg)
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    if shapes != {name: tensor.shape for name, tensor in checkpoint.average.items()}:
        msg = f"{folder}: the checkpoint is of a model of other shapes"
        raise ValueError(msg)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(checkpoint.average[name])


class Run:
    """One training run: model, its average, optimizer and counters.

    A run begins from the checkpoint in ``folder``; without one, from the averaged parameters of the run in
    ``begin_from``; without either, from training images.
    """

    def __init__(
        self,
        recipe: Recipe,
        photographs: Photographs,
        folder: Path,
        device: torch.device,
        *,
        speed: Speed | None = None,
        processes: ProcessGroup | None = None,
        begin_from: Path | None = None,
    ) -> None:
        self.recipe, self.folder, self.device = recipe, folder, device
        self.processes = processes or ProcessGroup()
        torch.manual_seed(recipe.seed)
        model = self.new_model()
        self.step = 0
        self.block_iterations = 0.0
        self.seconds = 0.0
        self.resumed = 0
        self.sampler = CropSampler(
            photographs.training,
            crop_px=recipe.crop_px,
            seed=recipe.seed,
            downscaled_share=recipe.downscaled_share,
            device=device,
        )
        held_out = [p for p in photographs.held_out if min(p.shape[:2]) >= VALIDATION_PX]
        self.validation = validation_crops(held_out) if held_out else None
        checkpoint = self.processes.broadcast(read_newest(folder) if self.processes.is_main else None)
        if checkpoint is None and begin_from is not None:
            _copy_average(begin_from, model)
        elif checkpoint is None:
            self.start(model)
        model.to(device)
        model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.stepper = Stepper(model, recipe, device, speed or Speed(), self.processes)
        if checkpoint is not None:
            self._restore(checkpoint)
            self.resumed += 1

    def new_model(self) -> TrainableModel:
        """Return the model of the recipe with random parameters; an ablation may make another."""
        return make_model(self.recipe)

    def start(self, model: TrainableModel) -> None:
        """Initialise a new model from crops."""
        model.start(self.sampler.batch(0, _START_CROPS).cpu())

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.stepper.restore(checkpoint)
        self.step = checkpoint.state["step"]
        self.block_iterations = checkpoint.state["block_iterations"]
        self.seconds = checkpoint.state["seconds"]
        self.resumed = checkpoint.state["resumed"]

    def save(self) -> Path:
        """Write a checkpoint.

        Raises:
            OSError: It could not be written; the ones before are untouched.
        """
        return write_checkpoint(self.folder, self._checkpoint())

    def _checkpoint(self) -> Checkpoint:
        first, second, updates = self.stepper.moments()
        state: dict[str, Any] = {
            "step": self.step,
            "updates": updates.entropy,
            "codec_updates": updates.codec,
            "block_iterations": self.block_iterations,
            "seconds": self.seconds,
            "resumed": self.resumed,
            "level": self.stepper.level,
            "recipe": self.recipe.as_dict(),
        }
        model = {name: p.detach() for name, p in self.stepper.model.named_parameters()}
        return Checkpoint(model, self.stepper.average, first, second, state)

    # --- steps -------------------------------------------------------------------------------------------------------

    def learning_rate(self) -> float:
        """Return the learning rate of this step: warm-up, constant, then half a cosine down to its final share."""
        r = self.recipe
        done = min(1.0, self.block_iterations / r.block_iterations)
        fall = max(0.0, (done - r.constant_share) / (1 - r.constant_share))
        cosine = r.final_learning_rate + (1 - r.final_learning_rate) * 0.5 * (1 + math.cos(math.pi * fall))
        return r.learning_rate * min(1.0, (self.step + 1) / r.warmup_steps) * cosine

    def train_step(self) -> None:
        """Do one step; ``stepper.report()`` returns the outcome."""
        r = self.recipe
        if self.stepper.model.draws_codes:  # the same codes after a resumption
            torch.manual_seed(_STEPS_PER_SEED * r.seed + self.step)
        pixels = self.sampler.batch(self.step, r.batch * self.processes.size, self.processes.shard(r.batch))
        self.stepper.step(pixels.to(self.device), self.step, self.learning_rate())
        self.step += 1
        blocks = r.batch * self.processes.size * (r.crop_px / BLOCK_PX) ** 2
        self.block_iterations += blocks * r.model.iterations

    @torch.no_grad()
    def validate(self) -> list[CurvePoint]:
        """Return the curve of the averaged parameters on the held-out images."""
        if self.validation is None:
            return []
        model = self.new_model().to(self.device)
        for name, parameter in model.named_parameters():
            parameter.copy_(self.stepper.average[name])
        return model.curve(self.validation.to(self.device))

    # --- the loop ----------------------------------------------------------------------------------------------------

    def run(self, pace: Pace) -> None:
        """Train until the time is up or the recipe's amount is done, saving on the way and at the end.

        Raises:
            DivergedError: Losses stayed invalid after several returns to the last checkpoint.
            OSError: The last checkpoint cannot be written.
        """
        start = saved = reported = validated = pace.clock()
        base, seen, rollbacks = self.seconds, self.block_iterations, 0
        if self.step == 0:
            self._save_or_log()  # so that there is a checkpoint to go back to
        while self.block_iterations < self.recipe.block_iterations:
            # All processes of a group must go back, and stop, at the same step: the main one decides.
            if not self.processes.broadcast(pace.seconds_left > 0):
                break
            for _ in range(pace.sync_steps):
                self.train_step()
            report = self.stepper.report()
            now = pace.clock()
            self.seconds = base + now - start
            if report.bad_in_a_row > _MAX_BAD_STEPS:
                rollbacks += 1
                self._go_back(rollbacks)
            if now - reported > pace.report_seconds:
                self._report(report, (self.block_iterations - seen) / (now - start + 1e-9), pace)
                reported = now
            if now - saved > pace.save_seconds and report.bad_in_a_row == 0:
                self._save_or_log()
                saved = now
            if now - validated > pace.validate_seconds:
                self._log_validation()
                validated = now
        if self.processes.is_main:
            self.save()  # all would be lost without it, so this one must not fail silently
        self._log_validation()

    def _go_back(self, rollbacks: int) -> None:
        checkpoint = self.processes.broadcast(read_newest(self.folder) if self.processes.is_main else None)
        if checkpoint is None or rollbacks > _ROLLBACKS:
            msg = f"step {self.step}: losses invalid more than {_MAX_BAD_STEPS} times in a row, {rollbacks} returns"
            raise DivergedError(msg)
        _log.error("step %d: losses invalid, back to step %d", self.step, checkpoint.state["step"])
        skipped_to, resumed = self.step, self.resumed
        self._restore(checkpoint)
        self.step, self.resumed = skipped_to, resumed  # other crops than those that led here

    def _save_or_log(self) -> None:
        if not self.processes.is_main:
            return
        try:
            self.save()
        except OSError as error:
            _log.error("checkpoint of step %d not written: %s", self.step, error)

    def _report(self, report: StepReport, speed: float, pace: Pace) -> None:
        if not self.processes.is_main:
            return
        left = min(pace.seconds_left, (self.recipe.block_iterations - self.block_iterations) / max(speed, 1e-9))
        marks = [t for t in (0, 1, 3, 5, 7, 11, 15) if t < len(report.bpp)]
        points = " ".join(f"{report.bpp[t]:.2f}:{PEAK_DB - report.hvs_db[t]:.1f}".replace("nan", "-") for t in marks)
        share = ""
        macs_per_pixel = self.stepper.model.macs_per_pixel()
        if pace.peak_macs and macs_per_pixel is not None:  # a backward pass costs two forward passes
            macs = 3 * macs_per_pixel / self.recipe.model.iterations * BLOCK_PX**2
            share = f" = {speed * macs / pace.peak_macs / self.processes.size:.1%} of peak"
        _log.info(
            "step %d  %.2fM block-iterations  %.0f/s%s  lr %.1e  %.0f min left  loss %.2f  bpp:dB %s",
            self.step, self.block_iterations / 1e6, speed, share, self.learning_rate(), left / 60, report.loss, points,
        )  # fmt: skip

    def _log_validation(self) -> None:
        if not self.processes.is_main:
            return
        points = self.validate()
        if not points:
            return
        line = {
            "step": self.step,
            "block_iterations": self.block_iterations,
            "seconds": round(self.seconds, 1),
            "resumed": self.resumed,
            "curve": [[round(v, 5) for v in p] for p in points],
        }
        try:
            with (self.folder / "validation.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            _log.error("validation of step %d not written: %s", self.step, error)
        if self.recipe.choose_by_area:
            self._keep_if_best(points)
        text = " ".join(f"{b:.3f}:{h:.2f}:{m:.4f}" for b, h, m in points)
        _log.info("held out, bpp:PSNR-HVS:MS-SSIM  %s", text)

    def _keep_if_best(self, points: list[CurvePoint]) -> None:
        try:
            kept = keep_if_best(self.folder, self._checkpoint(), points)
        except OSError as error:
            _log.error("best checkpoint, of step %d, not written: %s", self.step, error)
            return
        if kept:
            _log.info("step %d has the largest areas so far", self.step)
