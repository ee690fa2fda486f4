"""Warnings about what is left out or ignored and is not an error, attributed to the line that called this package."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING

from pillow_rnc.container.reader import end_position
from pillow_rnc.errors import RncWarning

if TYPE_CHECKING:
    from types import FrameType

    from pillow_rnc.container.chunks import ByteSource

_PACKAGES = ("pillow_rnc", "PIL")


def warn(message: str) -> None:
    """Issue an `RncWarning` that points at the first caller outside this package and Pillow.

    With a filter that turns warnings into errors, this raises `RncWarning`.
    """
    level = 1
    frame: FrameType | None = sys._getframe(0)  # noqa: SLF001 -- the standard way to count frames
    while frame is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] in _PACKAGES:
        frame = frame.f_back
        level += 1
    warnings.warn(message, RncWarning, stacklevel=level - 1 if frame is None else level)


def warn_of_trailing_bytes(fp: ByteSource) -> None:
    """Warn if a file goes on at the position of `fp`, which is after its last iteration."""
    position = fp.tell()
    if fp.read(1):
        count = end_position(fp) - position
        warn(f"{count} bytes after the last iteration are ignored; pillow_rnc.verify rejects the file")
