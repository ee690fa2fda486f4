"""The progress bar over the files of a command, on a terminal."""

from __future__ import annotations

import os
import shutil
import sys
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

from pillow_rnc.plugin.file_io import unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLEAR_LINE = "\r\x1b[K"
_SECONDS_BETWEEN = 0.1
_BAR_WIDTH = 20


class Bar(Protocol):
    """A progress bar over files."""

    def clear(self) -> object:
        """Remove the bar from the terminal, so that something can be printed."""

    def update(self) -> object:
        """Count one file and show the bar."""


class _NoBar:
    """A bar that is never shown."""

    def clear(self) -> None:
        """Do nothing."""

    update = clear


class _TerminalBar:
    """A bar on standard error, which a terminal that has gone away does not disturb."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._start = time.monotonic()
        self._shown_at = -_SECONDS_BETWEEN
        self._show()

    def clear(self) -> None:
        self._print(_CLEAR_LINE)
        self._shown_at = -_SECONDS_BETWEEN

    def update(self) -> None:
        self._done += 1
        self._show()

    def _show(self) -> None:
        seconds = time.monotonic() - self._start
        if seconds - self._shown_at < _SECONDS_BETWEEN and self._done < self._total:
            return
        self._shown_at = seconds
        columns = shutil.get_terminal_size().columns
        self._print(_CLEAR_LINE + bar_line(self._done, self._total, seconds)[: columns - 1])

    def _print(self, text: str) -> None:
        with suppress(OSError, ValueError):  # the latter if the stream is closed
            sys.stderr.write(text)
            sys.stderr.flush()


def bar_line(done: int, total: int, seconds: float) -> str:
    """Return the line that shows how many of some files are done, after how long, and how long the rest takes."""
    filled = _BAR_WIDTH * done // total if total else _BAR_WIDTH
    line = f"[{'#' * filled}{'.' * (_BAR_WIDTH - filled)}] {done}/{total} files, {_clock(seconds)}"
    return f"{line}, {_clock(seconds / done * (total - done))} left" if 0 < done < total else line


@contextmanager
def open_bar(total: int, *, quiet: bool) -> Iterator[Bar]:
    """Provide a progress bar, which is visible if standard error is a terminal and there are several files."""
    if quiet or total == 1 or not sys.stderr.isatty():
        yield _NoBar()
        return
    bar = _TerminalBar(total)
    try:
        with unfinished(_clear_line):
            yield bar
    finally:
        bar.clear()


def _clear_line() -> None:
    os.write(2, _CLEAR_LINE.encode())


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
