"""The allowed values of every option, in one table, and the check of each.

Options are checked once, where the caller hands them over; below that they are trusted.
Must not load torch, numpy, construct or Pillow.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pillow_rnc.container.alpha import LOSSLESS
from pillow_rnc.container.records import MAX_ITERATIONS, MAX_OVERLAP, TILE_SIZES
from pillow_rnc.container.tile_grid import TILE_ALIGNMENT
from pillow_rnc.errors import RncOptionError

if TYPE_CHECKING:
    from pillow_rnc.container.tile_grid import Region

MAX_QUALITY = 100
_SCALES = (1, 1 / 2, 1 / 4, 1 / 8)

_Check = Callable[[str, object], Any]
"""Takes the name of an option and its value; returns the value in the type that the package works with."""


def validated(**options: object) -> dict[str, Any]:
    """Return the options that are given, each with a value that is allowed.

    Args:
        options: Options of the package by name; None means that an option is not given.

    Raises:
        RncOptionError: A value is not allowed; the message names the option, the value and what is allowed.
    """
    return {name: check_option(name, value) for name, value in options.items() if value is not None}


def check_option(name: str, value: object) -> Any:  # noqa: ANN401 -- of the type of the option
    """Return the value of one option, which must be given; see `validated`.

    Raises:
        RncOptionError: The value is not allowed.
    """
    return _CHECKS[name](name, value)


def check_region(value: object, size: tuple[int, int]) -> Region:
    """Return a box that lies inside an image of this (width, height) and is not empty.

    Raises:
        RncOptionError: The value is not such a box.
    """
    width, height = size
    if isinstance(value, (tuple, list)) and len(value) == 4:  # noqa: PLR2004 -- the sides of a box
        check = _integer(0)
        sides = zip(("left", "upper", "right", "lower"), value, strict=True)
        left, upper, right, lower = (check(f"region {value!r}: {side}", each) for side, each in sides)
        if left < right <= width and upper < lower <= height:
            return left, upper, right, lower
    msg = f"region {value!r} is not allowed, give (left, upper, right, lower) inside {width}x{height}"
    raise RncOptionError(msg)


def _integer(low: int, high: int | None = None, *, multiple_of: int = 1) -> _Check:
    """Return the check for integers between two limits, both allowed."""

    def check(name: str, value: object) -> int:
        try:
            # Accepts NumPy's integers; True is an int to Python, but not a count to a user.
            number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            number = None
        if number is None or number < low or (high is not None and number > high):
            msg = f"{name} {value!r} is not allowed, give an integer {_range(low, high)}"
            raise RncOptionError(msg)
        if number % multiple_of:
            msg = f"{name} {number} is not allowed, give a multiple of {multiple_of}"
            raise RncOptionError(msg)
        return number

    return check


def _number(low: float, high: float | None = None) -> _Check:
    """Return the check for finite numbers between two limits, both allowed."""

    def check(name: str, value: object) -> float:
        try:
            # Accepts NumPy's numbers, fractions and decimals; `float` alone would accept text as well.
            is_text = isinstance(value, (bool, str, bytes, bytearray))
            number = math.nan if is_text else float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not (math.isfinite(number) and number >= low and (high is None or number <= high)):
            msg = f"{name} {value!r} is not allowed, give a number {_range(low, high)}"
            raise RncOptionError(msg)
        return number

    return check


def _boolean(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    msg = f"{name} {value!r} is not allowed, give True or False"
    raise RncOptionError(msg)


def _text(name: str, value: object) -> str:
    if isinstance(value, str) and value:
        return value
    msg = f"{name} {value!r} is not allowed, give a name"
    raise RncOptionError(msg)


def _scale(name: str, value: object) -> float:
    with suppress(RncOptionError):
        scale: float = _number(0)(name, value)
        if scale in _SCALES:
            return scale
    msg = f"{name} {value!r} is not allowed, give 1, 1/2, 1/4 or 1/8"
    raise RncOptionError(msg)


def _callback(name: str, value: object) -> Callable[..., object]:
    if callable(value):
        return value
    msg = f"{name} {value!r} is not allowed, give a function"
    raise RncOptionError(msg)


def _range(low: float, high: float | None) -> str:
    return f"of at least {low}" if high is None else f"from {low} to {high}"


_CHECKS: dict[str, _Check] = {
    "iterations": _integer(1, MAX_ITERATIONS),
    "target_size": _integer(1),
    "target_bpp": _number(0),
    "target_psnr": _number(0),
    "quality": _number(0, MAX_QUALITY),
    "alpha_quality": _number(0, LOSSLESS),
    "model": _text,
    "tile_size": _integer(TILE_SIZES[0], TILE_SIZES[-1], multiple_of=TILE_ALIGNMENT),
    "overlap": _integer(0, MAX_OVERLAP, multiple_of=TILE_ALIGNMENT),
    "verify": _boolean,
    "keep_metadata": _boolean,
    "allow_truncated": _boolean,
    "device": _text,
    "max_memory": _integer(1, sys.maxsize),  # what can be addressed
    "max_threads": _integer(0),
    "max_pixels": _integer(1),
    "max_work": _integer(1),
    "scale": _scale,
    "on_iteration": _callback,
    "on_progress": _callback,
}
