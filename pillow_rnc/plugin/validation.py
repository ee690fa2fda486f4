"""What single values of options may be: types and ranges.

Every function returns the value, in the type that the package works with, or raises `RncOptionError`, which names the
option, what was given and what is allowed. Must not load torch, numpy, construct or Pillow.
"""

from __future__ import annotations

import math
import operator
import sys
from typing import TypeVar

from pillow_rnc.container.records import MAX_ITERATIONS
from pillow_rnc.errors import RncOptionError

_Callback = TypeVar("_Callback")

Region = tuple[int, int, int, int]
"""Left, upper, right, lower in pixels, as in `Image.crop`."""


def check_iterations(value: object) -> int:
    """Return an iteration count from 1 to 16.

    Raises:
        RncOptionError: It is not an integer, or outside.
    """
    return check_integer("iterations", value, 1, MAX_ITERATIONS)


def check_device(value: object) -> str:
    """Return the name of a device, which only `inference` can tell to exist.

    Raises:
        RncOptionError: It is no name.
    """
    return check_text("device", value)


def check_max_work(value: object) -> int:
    """Return a limit of work of at least 1.

    Raises:
        RncOptionError: It is not an integer, or less.
    """
    return check_integer("max_work", value, 1, None)


def check_max_memory(value: object) -> int:
    """Return a limit of memory of at least 1 byte, and at most what the machine can address.

    Raises:
        RncOptionError: It is not an integer, or outside.
    """
    return check_integer("max_memory", value, 1, sys.maxsize)


def check_max_threads(value: object) -> int:
    """Return a number of threads, or 0, which stands for as many as are of use.

    Raises:
        RncOptionError: It is not an integer, or less.
    """
    return check_integer("max_threads", value, 0, None)


def check_callback(name: str, value: _Callback) -> _Callback:
    """Return a function, or None, which stands for none.

    Raises:
        RncOptionError: It cannot be called.
    """
    if value is None or callable(value):
        return value
    msg = f"{name} {value!r} is not allowed, give a function"
    raise RncOptionError(msg)


def check_target_size(value: object) -> int:
    """Return a file length of at least 1 byte.

    Raises:
        RncOptionError: It is not an integer, or less.
    """
    return check_integer("target_size", value, 1, None)


def check_region(value: object, size: tuple[int, int]) -> Region:
    """Return a box that lies inside an image of this (width, height) and is not empty.

    Raises:
        RncOptionError: It is no such box.
    """
    width, height = size
    if isinstance(value, (tuple, list)) and len(value) == 4:  # noqa: PLR2004 -- the sides of a box
        left, upper, right, lower = (check_integer("region", side, 0, None) for side in value)
        if left < right <= width and upper < lower <= height:
            return left, upper, right, lower
    msg = f"region {value!r} is not allowed, give (left, upper, right, lower) inside {width}x{height}"
    raise RncOptionError(msg)


def check_boolean(name: str, value: object) -> bool:
    """Return True or False.

    Raises:
        RncOptionError: It is neither.
    """
    if isinstance(value, bool):
        return value
    msg = f"{name} {value!r} is not allowed, give True or False"
    raise RncOptionError(msg)


def check_text(name: str, value: object) -> str:
    """Return a string that is not empty.

    Raises:
        RncOptionError: It is no such string.
    """
    if isinstance(value, str) and value:
        return value
    msg = f"{name} {value!r} is not allowed, give a name"
    raise RncOptionError(msg)


def check_integer(name: str, value: object, low: int, high: int | None) -> int:
    """Return an integer between two limits, both allowed; None stands for no upper limit.

    Raises:
        RncOptionError: It is not an integer, or outside.
    """
    try:
        # Accepts the integers of numpy; True is an int to Python, but no count to a user.
        number = None if isinstance(value, bool) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or number < low or (high is not None and number > high):
        msg = f"{name} {value!r} is not allowed, give an integer {_range(low, high)}"
        raise RncOptionError(msg)
    return number


def check_number(name: str, value: object, low: float, high: float | None) -> float:
    """Return a finite number between two limits, both allowed; None stands for no upper limit.

    Raises:
        RncOptionError: It is not a number, or outside.
    """
    try:
        # Accepts those of numpy, fractions and decimals; float would read text as well.
        number = math.nan if isinstance(value, (bool, str, bytes, bytearray)) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not (math.isfinite(number) and number >= low and (high is None or number <= high)):
        msg = f"{name} {value!r} is not allowed, give a number {_range(low, high)}"
        raise RncOptionError(msg)
    return number


def _range(low: float, high: float | None) -> str:
    return f"of at least {low}" if high is None else f"from {low} to {high}"
