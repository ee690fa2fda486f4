"""A schedule of the embedded quantizer that codes graphics as well, from one that is greedy for photographs.

Photographs need the highest frequencies in the last iterations only, and PSNR-HVS hardly shows colours. Text and
drawings consist of these frequencies, and a preview should not have wrong colours. So the new schedule differs:

- the chroma means have finer steps in the first iterations;
- pairs of codes that are idle take frequencies that graphics need, with steps in pixels that fall from `FILL_STEPS`;
- one further iteration, after number `INSERTED_AFTER`, is for these frequencies alone;
- the iterations of an extension are found again after that, on photographs and graphics (`start.extend_schedule`).

Everything else keeps its order, so photographs hardly change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from pillow_rnc.entropy.schedule import MEANS, NO_LEVEL
from pillow_rnc.models.basis import coefficient_weights
from pillow_rnc.training.embedded.start import Sample, best_in_pixels, extend_schedule

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from pillow_rnc.models.embedded.network import EmbeddedNetwork
    from pillow_rnc.models.embedded.torch_quantizer import EmbeddedQuantizer

INSERTED_AFTER, INSERTED_STEP = 12, 22.0
"""After how many iterations the one for graphics comes, and its step in 8-bit levels of pixels."""
FILL_STEPS = (120.0, 18.0)
"""Steps of idle pairs in the first and the last iteration that takes any, likewise."""
_FIRST_FILLED = 4
_COLOURS, _COLOUR_STEP, _COLOUR_LEVELS, _FINEST_COLOUR_STEP = MEANS[1:], 250.0, 6, 62.0
_COLOUR_ITERATIONS = 4  # whose steps for colours are replaced
_SAME_STEP = 0.75  # a step above this share of the last one of a coefficient would say nothing new


class Images(NamedTuple):
    """Coefficients of photographs and of graphics, float32 [N, 192, h, w] each, h and w even."""

    photographs: Tensor
    graphics: Tensor


class Entry(NamedTuple):
    """A coefficient that an iteration codes."""

    coefficient: int
    step: float
    levels: int


def entries_of(quantizer: EmbeddedQuantizer, iteration: int) -> list[Entry]:
    """Return what an iteration codes, in the order of its pairs."""
    found: dict[int, Entry] = {}
    rows = (getattr(quantizer, name)[iteration].tolist() for name in ("coefficient", "level", "step"))
    for coefficient, level, step in zip(*rows, strict=True):
        if level < NO_LEVEL:
            found[int(coefficient)] = Entry(int(coefficient), step, int(level))  # levels rise from pair to pair
    return list(found.values())


def with_early_colours(iterations: Sequence[list[Entry]], pairs: int) -> list[list[Entry]]:
    """Return the entries of all iterations with finer steps of the chroma means in the first ones.

    What no longer fits into the first iteration, the last of its entries, moves to the second.
    """
    out = [list(entries) for entries in iterations]
    for t in range(min(_COLOUR_ITERATIONS, len(out))):
        out[t] = [entry for entry in out[t] if entry.coefficient not in _COLOURS]
    while sum(entry.levels for entry in out[0]) + len(_COLOURS) * _COLOUR_LEVELS > pairs:
        out[1].append(out[0].pop())
    step, levels = _COLOUR_STEP, _COLOUR_LEVELS
    for t in range(min(_COLOUR_ITERATIONS, len(out))):
        if step >= _FINEST_COLOUR_STEP:
            out[t] = [Entry(coefficient, step, levels) for coefficient in _COLOURS] + out[t]
        step, levels = step / 2, 1
    return out


class _Planner:
    """Assigns pairs of codes, iteration by iteration, and knows what was coded so far.

    Args:
        network: Its quantizer is changed in place.
        graphics: Coefficients of graphics, [N, 192, h, w].
    """

    def __init__(self, network: EmbeddedNetwork, graphics: Tensor) -> None:
        self._network, self._graphics = network, graphics
        self._state = network.initial_state(len(graphics), *graphics.shape[2:])
        self._weights = torch.tensor(coefficient_weights(), dtype=graphics.dtype)
        self._last: dict[int, float] = {}
        self._for_graphics: set[int] = set()
        self._late: list[Entry] = []

    def plan(self, iteration: int, wanted: Sequence[Entry], pixel_step: float | None) -> None:
        """Set the schedule of the next iteration.

        Args:
            iteration: Its index.
            wanted: What it should code; what does not fit comes in the next one, what says nothing new is left out.
            pixel_step: Idle pairs take coefficients for graphics with this step, if it is given.
        """
        free = self._network.quantizer.pairs
        chosen: list[Entry] = []
        late, self._late = [*self._late, *wanted], []
        for entry in late:
            last = self._last.get(entry.coefficient)
            if last is not None and entry.step > _SAME_STEP * last:
                continue
            fitted = entry if last is None else entry._replace(levels=1)
            if fitted.levels > free:
                self._late.append(entry)
                continue
            chosen.append(fitted)
            free -= fitted.levels
        if pixel_step is not None:
            chosen += self._graphic_entries({entry.coefficient for entry in chosen}, pixel_step, free)
        self._network.quantizer.set_schedule(iteration, chosen)
        self._last.update((entry.coefficient, entry.step) for entry in chosen)
        schedule = self._network.weights_of(iteration)
        margin, _ = self._network.encode_step(self._graphics, schedule, self._state, None)
        self._state = self._network.decode_step(self._network.binarizer(margin), schedule, self._state)

    def _graphic_entries(self, taken: set[int], pixel_step: float, free: int) -> list[Entry]:
        scale = self._network.step_scale(self._state)
        sample = Sample(self._graphics, self._state, scale, self._weights.view(1, -1, 1, 1))
        candidates = []
        for coefficient in range(self._graphics.shape[1]):
            last = self._last.get(coefficient)
            if coefficient in taken or (last is not None and coefficient not in self._for_graphics):
                continue
            best = best_in_pixels(sample, coefficient, pixel_step, float(self._weights[coefficient]), last)
            candidates += [best] if best else []
        chosen = []
        for best in sorted(candidates, reverse=True):
            if best.merit > 0 and free:
                chosen.append(Entry(best.coefficient, best.step, min(best.levels, free)))
                free -= chosen[-1].levels
        self._for_graphics.update(entry.coefficient for entry in chosen)
        return chosen


@torch.no_grad()
def set_schedule(
    network: EmbeddedNetwork, old: EmbeddedNetwork, images: Images, *, known: int, steps: tuple[float, float]
) -> list[int]:
    """Set the schedule of a network with one iteration more than the old one.

    Args:
        network: Its quantizer and gains are changed in place.
        old: The network of the old model.
        images: What the iterations are fitted to.
        known: How many iterations of the old model are for photographs; the others are found anew.
        steps: Of the first and the last iteration that is found anew, in 8-bit levels.

    Returns:
        Of each iteration, the index of the old one that it continues.
    """
    planner = _Planner(network, images.graphics)
    wanted = with_early_colours([entries_of(old.quantizer, t) for t in range(known)], old.quantizer.pairs)
    continued: list[int] = []
    first, last = FILL_STEPS
    for t in range(known):
        share = max(0, t - _FIRST_FILLED) / max(1, known - 1 - _FIRST_FILLED)
        planner.plan(len(continued), wanted[t], first * (last / first) ** share if t >= _FIRST_FILLED else None)
        continued.append(t)
        if t + 1 == INSERTED_AFTER:
            planner.plan(len(continued), [], INSERTED_STEP)
            continued.append(t)
    begins = len(continued)
    continued += range(known, network.config.iterations - begins + known)
    network.log_gain.copy_(old.log_gain[torch.tensor(continued).clamp(max=known - 1)])
    extend_schedule(network, torch.cat(images), begins, *steps)
    return continued
