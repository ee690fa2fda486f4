"""The iteration schedule of the embedded quantizer: which coefficients each iteration codes, with which pairs of bits.

The quantizer, which turns codes into intervals, and the entropy coder, which must know which bits are coded, share it.
A scheduled coefficient gets a significance pass in the cells where it is zero so far, and a refinement pass elsewhere.

Source: spec, section "Iteration schedule".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pillow_rnc.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    _Floats = NDArray[np.float32]

COEFFICIENTS = 192
"""Coefficients of an 8x8 block: 64 each of Y, Cb and Cr."""
MEANS = (0, 64, 128)
"""Coefficients that are block means, one for each colour component."""
NO_LEVEL = 1e6
"""Level of an idle pair; no magnitude reaches it."""
UNBOUNDED = 1e9
"""Half width of an interval about which nothing has been coded."""

_TABLES = "network.quantizer"


class IterationSchedule(NamedTuple):
    """The V coefficients that one iteration codes, and their P pairs of bits; idle pairs are left out.

    Attributes:
        coefficients: intp [V].
        steps: float32 [V], quantizer step of each coefficient.
        levels: float32 [V], number of pairs of each coefficient.
        of_pair: intp [P], index in `coefficients` of each pair.
        level: float32 [P], level of each pair, from 1.
        first: intp [V], index of the first pair of each coefficient; its other pairs follow.
        pairs: intp [P], position of each pair among all G pairs of a code plane.
    """

    coefficients: NDArray[np.intp]
    steps: _Floats
    levels: _Floats
    of_pair: NDArray[np.intp]
    level: _Floats
    first: NDArray[np.intp]
    pairs: NDArray[np.intp]


def schedule_from_tensors(
    tensors: Mapping[str, NDArray[Any]], iterations: int, pairs: int
) -> tuple[IterationSchedule, ...] | None:
    """Return the schedule of each iteration from the tensors `network.quantizer.*`, None if there are none.

    Args:
        tensors: Contents of a weights file.
        iterations: T, iterations that the model can code.
        pairs: G, pairs of bits of a code cell.

    Raises:
        WeightsError: The tensors have another type or shape, or violate a rule of the schedule.
    """
    names = [f"{_TABLES}.{name}" for name in ("coefficient", "level", "step")]
    tables = [tensors[name] for name in names if name in tensors]
    if not tables:
        return None
    shape = iterations, pairs
    if len(tables) < len(names) or any(table.shape != shape or table.dtype != np.float32 for table in tables):
        msg = f"{_TABLES}: must be three float32 tensors of shape {shape}"
        raise WeightsError(msg)
    found = [iteration_schedule(*rows) for rows in zip(*tables, strict=True)]
    if None in found:
        msg = f"{_TABLES}: iteration {found.index(None)} is not a valid schedule"
        raise WeightsError(msg)
    return tuple(filter(None, found))


def iteration_schedule(coefficient: _Floats, level: _Floats, step: _Floats) -> IterationSchedule | None:
    """Return the schedule of one iteration from its rows of the tables, float32 [G] each; None if they are invalid.

    The pairs of a coefficient must be adjacent, with levels 1, 2 and so on, and have one step.
    """
    pairs = np.flatnonzero(level != NO_LEVEL)
    coefficients, levels, steps = coefficient[pairs], level[pairs], step[pairs]
    # np.isin and np.unique would import numpy.ma: 10 ms, and outside `importing`.
    known = (coefficients >= 0) & (coefficients < COEFFICIENTS) & (coefficients == np.floor(coefficients))
    if not np.all(known & (steps > 0) & np.isfinite(steps)):
        return None
    of = coefficients.astype(np.intp)
    first = np.flatnonzero(levels == 1)
    sizes = np.diff(np.append(first, len(pairs)))
    of_pair = np.repeat(np.arange(len(first)), sizes)
    valid = (
        (not len(pairs) or (len(first) > 0 and first[0] == 0))
        and len(set(of[first].tolist())) == len(first)
        and np.array_equal(levels, np.arange(len(pairs)) - first[of_pair] + 1 if len(first) else levels)
        and np.array_equal(of, of[first][of_pair])
        and np.array_equal(steps, steps[first][of_pair])
        and np.array_equal(pairs, pairs[first][of_pair] + levels - 1)
    )
    if not valid:
        return None
    return IterationSchedule(of[first], steps[first], sizes.astype(np.float32), of_pair, levels, first, pairs)


def union(*coefficients: Sequence[int] | NDArray[np.intp]) -> NDArray[np.intp]:
    """Return every coefficient that an argument has, intp, ascending, each once; np.union1d would import numpy.ma."""
    found = np.zeros(COEFFICIENTS, np.bool_)
    for each in coefficients:
        found[np.asarray(each, np.intp)] = True
    return np.flatnonzero(found)


def tables(schedule: Sequence[IterationSchedule], pairs: int) -> tuple[_Floats, _Floats, _Floats]:
    """Return coefficient, level and step of all G pairs of every iteration, float32 [T, G] each."""
    coefficient = np.zeros((len(schedule), pairs), np.float32)
    level, step = np.full_like(coefficient, NO_LEVEL), np.ones_like(coefficient)
    for t, one in enumerate(schedule):
        coefficient[t, one.pairs] = one.coefficients[one.of_pair]
        level[t, one.pairs] = one.level
        step[t, one.pairs] = one.steps[one.of_pair]
    return coefficient, level, step
