"""One command over many files: some at the same time, in order, with a bar on a terminal.

Threads, because torch and the weights are loaded once: in processes, six small pictures took 1.7 times the processor
time. What takes long, the network and its matrix products, runs beside Python's lock.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Protocol

from PIL import Image

from pillow_rnc import _commands
from pillow_rnc.errors import RncError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from pillow_rnc._commands import Record

# Whatever Pillow's plugins raise for a bad file or a bad option, beside our own.
FILE_ERRORS = (RncError, OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Bar(Protocol):
    """What is asked of a progress bar."""

    def clear(self) -> object:
        """Take the bar off the terminal, so that something can be printed."""

    def update(self) -> object:
        """Count one file and show the bar."""

    def close(self) -> object:
        """Take the bar off for good."""


def run_batch(arguments: argparse.Namespace, report: Callable[[Record], None]) -> bool:
    """Run a command on its files, report each in their order, and return whether all went well.

    Without ``--keep-going``, commands that write start no further file after an error.
    """
    stops = not getattr(arguments, "keep_going", True)
    records = _records(arguments)
    bar = _bar(arguments)
    succeeded = True
    try:
        for record in records:
            bar.clear()
            report(record)
            bar.update()
            if "error" in record:
                succeeded = False
                if stops:
                    break
    finally:
        records.close()
        bar.close()
    return succeeded


def _records(arguments: argparse.Namespace) -> Generator[Record, None, None]:
    files: Sequence[Path] = arguments.files
    jobs = min(getattr(arguments, "jobs", 1) or os.cpu_count() or 1, len(files))
    if jobs == 1:
        for path in files:
            yield _attempt(path, arguments)
        return
    from concurrent.futures import ThreadPoolExecutor

    for variable in _THREAD_VARIABLES:
        # Read when torch and numpy are loaded, which is later; more threads than cores only wait for each other.
        os.environ.setdefault(variable, str(max(1, (os.cpu_count() or 1) // jobs)))
    pool = ThreadPoolExecutor(jobs)
    try:
        futures = [pool.submit(_attempt, path, arguments) for path in files]
        for future in futures:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _attempt(path: Path, arguments: argparse.Namespace) -> Record:
    command: Callable[[Path, argparse.Namespace], Record] = getattr(_commands, arguments.command)
    try:
        record = command(path, arguments)
    except FILE_ERRORS as error:
        record = {"error": str(error), "error_type": type(error).__name__}
    return {"file": str(path)} | record


class _NoBar:
    """Shows nothing."""

    def clear(self) -> None:
        """Do nothing."""

    update = close = clear


def _bar(arguments: argparse.Namespace) -> Bar:
    """Return a bar if someone looks and there is something to wait for."""
    if arguments.quiet or len(arguments.files) == 1 or not sys.stderr.isatty():
        return _NoBar()
    from tqdm import tqdm

    bar: Bar = tqdm(total=len(arguments.files), unit="file", leave=False, file=sys.stderr)
    return bar
