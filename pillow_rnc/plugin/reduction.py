"""At which part of its size an image is decoded, and from how many iterations, if a smaller one is wanted.

Must not load torch or numpy.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pillow_rnc.plugin.options import LoadOptions

ITERATIONS_AT: Final = {8: 4, 4: 6, 2: 8}
"""Most iterations that an image at one over 8, 4 or 2 of its size is decoded from, if nobody asks for others."""

_TOLERANCE = 1 / 16  # by which a draft may be smaller than wanted


def draft_factor(size: tuple[int, int], wanted: tuple[int, int], options: LoadOptions) -> int | None:
    """Return by how much to reduce an image of a size for a draft of about another size; None if not at all."""
    shrink = min(size[0] / max(wanted[0], 1), size[1] / max(wanted[1], 1))
    for factor in ITERATIONS_AT:
        if shrink >= factor * (1 - _TOLERANCE) and factor * options.reduction in ITERATIONS_AT:
            return factor
    return None


def common_factor(factors: tuple[int, int], options: LoadOptions) -> int | None:
    """Return by how much to reduce an image before it is reduced to one over `factors`; None if not at all."""
    if options.reduction > 1:
        return None
    return next((factor for factor in ITERATIONS_AT if not any(one % factor for one in factors)), None)


def reduced_options(options: LoadOptions, factor: int, stored: int) -> LoadOptions:
    """Return the options that decode an image of some iterations reduced by a further factor."""
    reduction = options.reduction * factor
    return replace(options, reduction=reduction, iterations=min(stored, ITERATIONS_AT[reduction]))
