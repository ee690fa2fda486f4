"""One command over many files: some at the same time, in order, with a bar on a terminal.

Threads, because torch and the weights are loaded once: in processes, six small pictures took 1.7 times the processor
time. What takes long, the network and its matrix products, runs beside Python's lock.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pillow_rnc.cli import commands
from pillow_rnc.cli.progress_bar import open_bar
from pillow_rnc.errors import RncOptionError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

    from pillow_rnc.cli.commands import Record


def run_batch(arguments: argparse.Namespace, report: Callable[[Record], None]) -> bool:
    """Run a command on its files, report each in their order, and return whether all went well.

    Without ``--keep-going``, commands that write start no further file after an error.
    """
    stops = not getattr(arguments, "keep_going", True)
    records = _records(arguments)
    bar = open_bar(len(arguments.files), quiet=arguments.quiet)
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
    shared = commands.shared_outputs(arguments)  # before anything is written
    jobs = min(getattr(arguments, "jobs", 1) or os.cpu_count() or 1, len(files))
    if jobs == 1:
        for path in files:
            yield _attempt(path, shared, arguments)
        return
    from concurrent.futures import ThreadPoolExecutor

    from pillow_rnc.cli.workers import share_cores

    share_cores(jobs)
    pool = ThreadPoolExecutor(jobs)
    try:
        futures = [pool.submit(_attempt, path, shared, arguments) for path in files]
        for future in futures:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _attempt(path: Path, shared: Mapping[Path, Path], arguments: argparse.Namespace) -> Record:
    if path in shared:
        error = RncOptionError(f"output {shared[path]} is that of another input too")
        return {"file": str(path)} | commands.error_record(error)
    command: Callable[[Path, argparse.Namespace], Record] = getattr(commands, arguments.command)
    try:
        record = command(path, arguments)
    except commands.FILE_ERRORS as error:
        record = commands.error_record(error)
    return {"file": str(path)} | record
