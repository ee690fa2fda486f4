"""The visits of the embedded quantiser: which coefficients each iteration tells of, with which pairs of codes.

They are shared by the quantiser, which turns codes into intervals, and by the entropy coder, which must know which
codes tell something.

Source: spec, section "Visits".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Floats = NDArray[np.float32]

COEFFICIENTS = 192
"""Coefficients of an 8x8 block: 64 each of Y, Cb and Cr."""
MEANS = (0, 64, 128)
"""Coefficients that are means of blocks, one for each colour."""
NO_LEVEL = 1e6
"""Level of a pair without a task: no magnitude reaches it."""


class Visits(NamedTuple):
    """The visits of one iteration, of V coefficients in all, and their P pairs of codes; idle pairs are left out.

    Attributes:
        coefficients: intp [V].
        steps: float32 [V].
        levels: float32 [V].
        of_pair: intp [P], index of the visit of each pair.
        level: float32 [P], from 1.
        first: intp [V], the first pair of each visit; its others follow.
        pairs: intp [P], where the pairs stand among all G.
    """

    coefficients: NDArray[np.intp]
    steps: _Floats
    levels: _Floats
    of_pair: NDArray[np.intp]
    level: _Floats
    first: NDArray[np.intp]
    pairs: NDArray[np.intp]


def visits_of(coefficient: _Floats, level: _Floats, step: _Floats) -> Visits | None:
    """Return the visits of one iteration from its tables, float32 [G] each; None if they are not those of visits.

    The pairs of a visit stand side by side, with levels 1, 2 and so on, and one step.
    """
    pairs = np.flatnonzero(level != NO_LEVEL)
    coefficients, levels, steps = coefficient[pairs], level[pairs], step[pairs]
    if not np.all(np.isin(coefficients, np.arange(COEFFICIENTS)) & (steps > 0) & np.isfinite(steps)):
        return None
    of = coefficients.astype(np.intp)
    first = np.flatnonzero(levels == 1)
    sizes = np.diff(np.append(first, len(pairs)))
    of_pair = np.repeat(np.arange(len(first)), sizes)
    sound = (
        (not len(pairs) or (len(first) > 0 and first[0] == 0))
        and len(np.unique(of[first])) == len(first)
        and np.array_equal(levels, np.arange(len(pairs)) - first[of_pair] + 1 if len(first) else levels)
        and np.array_equal(of, of[first][of_pair])
        and np.array_equal(steps, steps[first][of_pair])
        and np.array_equal(pairs, pairs[first][of_pair] + levels - 1)
    )
    if not sound:
        return None
    return Visits(of[first], steps[first], sizes.astype(np.float32), of_pair, levels, first, pairs)
