"""Training of the published entropy coder on fixed codes, for an amount of CPU time."""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from pillow_rnc.training.recurrent.published_coder import PublishedCoder

_log = logging.getLogger(__name__)
_LEARNING_RATE, _LAST_SHARE, _WARMUP_STEPS = 3e-3, 0.05, 20
_CLIP_NORM = 1.0
_LOG_SECONDS = 30.0


class CoderTraining(NamedTuple):
    """What was done: steps, code bits seen, and code length per bit of each step."""

    steps: int
    bits_seen: int
    losses: list[float]


def train_coder(
    coder: PublishedCoder,
    codes: Callable[[int], Tensor],
    seconds: float,
    *,
    learning_rate: float = _LEARNING_RATE,
    clock: Callable[[], float] = time.process_time,
) -> CoderTraining:
    """Minimise the code length per bit until the time is up; the learning rate falls with the time that is left.

    Args:
        coder: Changed in place; its first step begins from the frequency of each bit in the first batch.
        codes: Returns the batch of a step, bits +-1, 0 where none is coded, float32 [T, N, C, h, w]; its time counts.
        seconds: How long, by the clock.
        learning_rate: At the start, after a short warm-up.
        clock: Seconds since some moment; by default those of this process's threads together.
    """
    start = reported = clock()
    optimizer = torch.optim.Adam(coder.parameters(), betas=(0.9, 0.98))
    losses: list[float] = []
    seen = 0
    while (done := (clock() - start) / seconds) < 1:
        batch = codes(len(losses))
        if not losses:
            ones, coded = (part.float().sum((1, 3, 4)) for part in (batch > 0, batch != 0))
            coder.expect((ones + 0.5) / (coded + 1))
        fall = _LAST_SHARE + (1 - _LAST_SHARE) * 0.5 * (1 + math.cos(math.pi * done))
        optimizer.param_groups[0]["lr"] = learning_rate * fall * min(1.0, (len(losses) + 1) / _WARMUP_STEPS)
        optimizer.zero_grad(set_to_none=True)
        loss = coder.code_lengths(batch).sum() / batch.count_nonzero()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(coder.parameters(), _CLIP_NORM)
        optimizer.step()
        losses.append(float(loss.detach()))
        seen += int(batch.count_nonzero())
        if clock() - reported > _LOG_SECONDS:
            _log.info("step %d  %.0f s left  %.4f bits per bit", len(losses), seconds * (1 - done), losses[-1])
            reported = clock()
    return CoderTraining(len(losses), seen, losses)
