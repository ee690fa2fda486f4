"""The progress bar of a command that works on many files."""

from __future__ import annotations

import sys
from typing import Protocol


class Bar(Protocol):
    """What is asked of a progress bar."""

    def clear(self) -> object:
        """Take the bar off the terminal, so that something can be printed."""

    def update(self) -> object:
        """Count one file and show the bar."""

    def close(self) -> object:
        """Take the bar off for good."""


class _NoBar:
    """Shows nothing."""

    def clear(self) -> None:
        """Do nothing."""

    update = close = clear


def open_bar(total: int, *, quiet: bool) -> Bar:
    """Return a bar if someone looks and there is something to wait for."""
    if quiet or total == 1 or not sys.stderr.isatty():
        return _NoBar()
    from tqdm import tqdm

    bar: Bar = tqdm(total=total, unit="file", leave=False, file=sys.stderr)
    return bar
