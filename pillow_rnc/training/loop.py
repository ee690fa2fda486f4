"""The training loop: time-boxed, resumable, and able to survive kills, damage and divergence."""

from __future__ import annotations

import json
import logging
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from pillow_rnc.training.checkpoint import Checkpoint, read_newest, write_checkpoint
from pillow_rnc.training.data import CropSampler, Photographs
from pillow_rnc.training.initialise import greedy_quantiser
from pillow_rnc.training.objective import TrainedModel, curve, step_loss

if TYPE_CHECKING:
    from pathlib import Path

    from pillow_rnc.training.recipe import Recipe

_log = logging.getLogger(__name__)
_MAX_BAD_STEPS = 20  # in a row, before the run goes back to its last checkpoint
_ROLLBACKS = 3  # before the run gives up
_VALIDATION_PX = 256
_VALIDATION_CROPS = 16
_BLOCK_PX = 16


class DivergedError(RuntimeError):
    """Training produced NaN or infinite losses again and again."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to run and how often to save and report, in seconds."""

    minutes: float
    save_seconds: float = 180.0
    report_seconds: float = 30.0
    validate_seconds: float = 600.0


class Run:
    """One training run: model, its average, optimiser and counters."""

    def __init__(self, recipe: Recipe, photographs: Photographs, folder: Path, device: torch.device) -> None:
        self.recipe, self.folder, self.device = recipe, folder, device
        torch.manual_seed(recipe.seed)
        self.model = TrainedModel(recipe)
        folder.mkdir(parents=True, exist_ok=True)
        self.step = 0
        self.block_iterations = 0.0
        self.seconds = 0.0
        self.resumed = 0
        self.sampler = CropSampler(
            photographs.training, crop_px=recipe.crop_px, seed=recipe.seed, downscaled_share=recipe.downscaled_share
        )
        held = [p for p in photographs.held_back if min(p.shape[:2]) >= _VALIDATION_PX]
        self.validation = (
            CropSampler(held, crop_px=_VALIDATION_PX, seed=12345).batch(0, _VALIDATION_CROPS) if held else None
        )
        checkpoint = read_newest(folder)
        if checkpoint is None:
            coefficients = self.model.network.transform(self.sampler.batch(0, 400)[:, :, :64, :64])
            blocks = coefficients.permute(0, 2, 3, 1).reshape(-1, coefficients.shape[1])
            greedy_quantiser(self.model.network, blocks, recipe.first_step, recipe.last_step)
        self.model.to(device)
        self.model.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {k: v.detach().clone() for k, v in self.model.named_parameters()}
        groups = [
            {"params": list(self.model.network.parameters()), "factor": 1.0},
            {"params": list(self.model.entropy.parameters()), "factor": recipe.entropy_learning_rate_factor},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.95), weight_decay=0.0)
        if checkpoint is not None:
            self._restore(checkpoint)
            self.resumed += 1

    # --- checkpoints -------------------------------------------------------------------------------------------------

    def _restore(self, checkpoint: Checkpoint) -> None:
        named = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, parameter in named.items():
                parameter.copy_(checkpoint.model[name])
                self.average[name].copy_(checkpoint.average[name])
        self.optimizer.state.clear()
        if checkpoint.state["step"]:
            for name, parameter in named.items():
                if name in checkpoint.moment1:
                    self.optimizer.state[parameter] = {
                        "step": torch.tensor(float(checkpoint.state["updates"])),
                        "exp_avg": checkpoint.moment1[name].to(parameter).clone(),
                        "exp_avg_sq": checkpoint.moment2[name].to(parameter).clone(),
                    }
        self.step = checkpoint.state["step"]
        self.block_iterations = checkpoint.state["block_iterations"]
        self.seconds = checkpoint.state["seconds"]
        self.resumed = checkpoint.state["resumed"]

    def save(self) -> Path:
        """Write a checkpoint; a full disk is logged and the run goes on with the one before."""
        named = dict(self.model.named_parameters())
        moments = {n: self.optimizer.state[p] for n, p in named.items() if "exp_avg" in self.optimizer.state.get(p, {})}
        updates = max((int(m["step"]) for m in moments.values()), default=0)
        state: dict[str, Any] = {
            "step": self.step,
            "updates": updates,
            "block_iterations": self.block_iterations,
            "seconds": self.seconds,
            "resumed": self.resumed,
            "recipe": self.recipe.as_dict(),
        }
        return write_checkpoint(
            self.folder,
            Checkpoint(
                {n: p.detach() for n, p in named.items()},
                self.average,
                {n: m["exp_avg"] for n, m in moments.items()},
                {n: m["exp_avg_sq"] for n, m in moments.items()},
                state,
            ),
        )

    # --- steps -------------------------------------------------------------------------------------------------------

    def learning_rate(self) -> float:
        """Return the learning rate of this step: warm-up, constant, then half a cosine down to its final share."""
        r = self.recipe
        done = min(1.0, self.block_iterations / r.block_iterations)
        fall = max(0.0, (done - r.constant_share) / (1 - r.constant_share))
        cosine = r.final_learning_rate + (1 - r.final_learning_rate) * 0.5 * (1 + math.cos(math.pi * fall))
        return r.learning_rate * min(1.0, (self.step + 1) / r.warmup_steps) * cosine

    def train_step(self) -> tuple[bool, list[float], list[float]]:
        """Do one step; return whether it was sound, and bpp and PSNR-HVS error after each iteration."""
        r = self.recipe
        pixels = self.sampler.batch(self.step, r.batch).to(self.device)
        result = step_loss(self.model, pixels, r, self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate() * group["factor"]
        self.optimizer.zero_grad()
        result.loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), r.clip_norm)
        sound = bool(torch.isfinite(norm)) and bool(torch.isfinite(result.loss))
        if sound:
            self.optimizer.step()
            self._update_average()
        self.step += 1
        self.block_iterations += r.batch * (r.crop_px / _BLOCK_PX) ** 2 * r.model.iterations
        return sound, result.bpp, result.hvs_db

    @torch.no_grad()
    def _update_average(self) -> None:
        keep = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        names, parameters = zip(*self.model.named_parameters(), strict=True)
        torch._foreach_lerp_([self.average[n] for n in names], list(parameters), 1 - keep)

    @torch.no_grad()
    def validate(self) -> list[tuple[float, float, float]]:
        """Return the curve of the averaged parameters on the pictures held back."""
        if self.validation is None:
            return []
        current = {n: p.detach().clone() for n, p in self.model.named_parameters()}
        self._load(self.average)
        points = curve(self.model, self.validation.to(self.device))
        self._load(current)
        return points

    @torch.no_grad()
    def _load(self, parameters: dict[str, Tensor]) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.copy_(parameters[name])

    # --- the loop ----------------------------------------------------------------------------------------------------

    def run(self, pace: Pace) -> None:
        """Train until the time is up or the recipe's amount is done, saving on the way and at the end.

        Raises:
            DivergedError: Losses stayed unsound after several returns to the last checkpoint.
        """
        start = saved = reported = validated = time.monotonic()
        base, seen = self.seconds, self.block_iterations
        bad = rollbacks = 0
        while (
            now := time.monotonic()
        ) - start < 60 * pace.minutes and self.block_iterations < self.recipe.block_iterations:
            sound, bpp, hvs = self.train_step()
            self.seconds = base + time.monotonic() - start
            bad = 0 if sound else bad + 1
            if bad > _MAX_BAD_STEPS:
                rollbacks += 1
                bad = 0
                checkpoint = read_newest(self.folder)
                if checkpoint is None or rollbacks > _ROLLBACKS:
                    msg = f"step {self.step}: losses unsound {_MAX_BAD_STEPS} times in a row, {rollbacks} returns"
                    raise DivergedError(msg)
                _log.error("step %d: losses unsound, back to step %d", self.step, checkpoint.state["step"])
                skipped_to = self.step
                self._restore(checkpoint)
                self.step = skipped_to  # other crops than those that led here
            if now - reported > pace.report_seconds:
                self._report(bpp, hvs, (self.block_iterations - seen) / (now - start + 1e-9), start, pace)
                reported = now
            if now - saved > pace.save_seconds:
                self._save_or_log()
                saved = now
            if now - validated > pace.validate_seconds:
                self._log_validation()
                validated = now
        self._save_or_log()
        self._log_validation()

    def _save_or_log(self) -> None:
        try:
            self.save()
        except OSError as error:
            _log.error("checkpoint of step %d not written: %s", self.step, error)

    def _report(self, bpp: list[float], hvs: list[float], speed: float, start: float, pace: Pace) -> None:
        left = min(
            60 * pace.minutes - (time.monotonic() - start),
            (self.recipe.block_iterations - self.block_iterations) / max(speed, 1e-9),
        )
        marks = [0, 1, 3, 5, 7, 11, 15]
        points = " ".join(f"{bpp[t]:.2f}:{48.13 - hvs[t]:.1f}" for t in marks if t < len(bpp))
        _log.info(
            "step %d  %.2fM block-iterations  %.0f/s  lr %.1e  %.0f min left  bpp:PSNR-HVS %s",
            self.step, self.block_iterations / 1e6, speed, self.learning_rate(), left / 60, points,
        )  # fmt: skip

    def _log_validation(self) -> None:
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
        with (self.folder / "validation.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        text = " ".join(f"{b:.3f}:{h:.2f}:{m:.4f}" for b, h, m in points)
        _log.info("held back, bpp:PSNR-HVS:MS-SSIM  %s", text)
