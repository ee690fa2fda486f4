"""Codec and entropy network of the light network, each trained for an amount of CPU time.

So that cells and frameworks can be compared: a cell that costs more sees less. What is compiled and read before the
first step does not count.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from pillow_rnc.training.checkpoint import read_newest
from pillow_rnc.training.crops import validation_crops
from pillow_rnc.training.recurrent.codec_run import codes_of, read_codec
from pillow_rnc.training.recurrent.light_entropy import code_pool, network_for, pool_sampler, train, write_entropy
from pillow_rnc.training.recurrent.light_model import judged_iterations
from pillow_rnc.training.recurrent.light_run import Run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pillow_rnc.training.data import Photographs
    from pillow_rnc.training.recurrent.light_recipe import LightRecipe

    Clock = Callable[[], float]

_log = logging.getLogger(__name__)
_FALLING_SHARE = 1 / 3  # of the time, at its end: the learning rate falls to zero
_CODES_SHARE = 0.25  # of the time of the entropy network, for the codes that it learns from
_SAVE_SECONDS, _LOG_STEPS = 120.0, 100
_ROUNDING_SECONDS = 0.05  # checkpoints hold tenths


class TimedRun(Run):
    """A run that ends after some seconds of CPU time, in the last third of which the learning rate falls to zero.

    Args:
        recipe: Of the run.
        images: As for `Run`.
        folder: Of the checkpoints.
        seconds_in_all: Of the training, those before a resumed start included.
        compiled: Let torch compile the iterations, before the time begins.
        clock: Of the processor.
    """

    def __init__(
        self,
        recipe: LightRecipe,
        images: Photographs,
        folder: Path,
        seconds_in_all: float,
        *,
        compiled: bool = True,
        clock: Clock = time.process_time,
    ) -> None:
        super().__init__(recipe, images, folder, compiled=compiled)
        self._in_all, self._clock, self._compiled = seconds_in_all, clock, compiled

    def rate_share(self) -> float:
        """Return the share of the learning rates in this step: rising, then one, then falling."""
        left = max(0.0, 1 - self.seconds / self._in_all)
        return min(1.0, (self.step + 1) / self.recipe.warmup_steps) * min(1.0, left / _FALLING_SHARE)

    def finish(self) -> None:
        """Train until the time is over; write a checkpoint now and then, and at the end."""
        if self._compiled:
            self._compile()
        before, start, saved = self.seconds, self._clock(), self.seconds
        while self.seconds < self._in_all:
            self.train_step()
            self.seconds = before + self._clock() - start
            if self.step % _LOG_STEPS == 0:
                self.report(self.block_iterations / self.seconds)
            if self.seconds - saved > _SAVE_SECONDS:
                self.save()
                saved = self.seconds
        self.save()

    def _compile(self) -> None:
        """Do a step that changes nothing."""
        c = self.recipe
        counts = (min(c.hvs_iterations, c.config.iterations), min(c.ms_ssim_iterations, c.config.iterations))
        judged = judged_iterations(c.seed, 0, c.config.iterations, counts)
        self.model(self.sampler.batch(0, c.batch), judged).loss.backward()
        self.model.zero_grad(set_to_none=True)


class Minutes(NamedTuple):
    """CPU time of the codec and of its entropy network, in minutes."""

    codec: float
    entropy: float


def train_codec(
    recipe: LightRecipe, images: Callable[[], Photographs], folder: Path, minutes: Minutes, *, compiled: bool = True
) -> dict[str, Any]:
    """Train, or go on with, the codec of a folder; return the state of its last checkpoint.

    Args:
        recipe: Of the run.
        images: Called only if training is not complete.
        folder: Of the checkpoints.
        minutes: Those of the codec count.
        compiled: As for `TimedRun`.

    Raises:
        OSError: The last checkpoint could not be written.
    """
    least = 60 * minutes.codec - _ROUNDING_SECONDS
    newest = read_newest(folder)
    if newest is None or newest.state["seconds"] < least:
        torch.compiler.reset()  # a process compiles an iteration for so many networks only
        TimedRun(recipe, images(), folder, 60 * minutes.codec, compiled=compiled).finish()
        newest = read_newest(folder)
        if newest is None or newest.state["seconds"] < least:
            msg = f"{folder}: the last checkpoint was not written"
            raise OSError(msg)
    return newest.state


def train_entropy(
    codec_folder: Path,
    images: Callable[[], Photographs],
    folder: Path,
    minutes: Minutes,
    *,
    compiled: bool = True,
) -> dict[str, Any]:
    """Train the entropy network of a finished codec, unless that is done; return the state of its checkpoint.

    Args:
        codec_folder: The run of the codec.
        images: Called only if there is something to do.
        folder: Of the checkpoint.
        minutes: Those of the entropy network count: a quarter for codes to learn from, the rest for the steps.
        compiled: As for `TimedRun`.

    Raises:
        OSError: The checkpoint could not be written.
    """
    newest = read_newest(folder)
    if newest is not None:
        return newest.state
    torch.compiler.reset()
    codec, photographs = read_codec(codec_folder), images()
    held = codes_of(codec.model, validation_crops(photographs.held_out))
    seconds, began = 60 * minutes.entropy, 0.0

    def elapsed() -> float:
        return (time.process_time() - began) / seconds

    def collected(crops: int) -> float:
        nonlocal began
        if not crops:
            began = time.process_time()
            return 0.0
        return elapsed() / _CODES_SHARE

    pool = code_pool(codec, pool_sampler(photographs.training, codec), collected, compiled=compiled)
    first = elapsed()

    def trained(step: int) -> float:
        return (elapsed() - first) / max(1 - first, 1e-3) if step else 0.0

    network = network_for(pool, codec.config)
    steps = train(network, pool, held, trained)
    numbers = {"crops": pool.shape[1], "seconds": round(elapsed() * seconds, 1)}
    _log.info("entropy network: %d steps, %s", steps, numbers)
    write_entropy(folder, network, codec, steps, **numbers)
    newest = read_newest(folder)
    assert newest is not None
    return newest.state
