"""One command over several files: concurrently, reported in order, with a progress bar on a terminal.

Threads rather than processes, because they share torch and the weights: with processes, six small images took 1.7
times the CPU time. Most time is spent in the network and its matrix products, which release Python's lock.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pillow_rnc.cli.file_warnings import collected_warnings
from pillow_rnc.cli.progress_bar import open_bar
from pillow_rnc.cli.reporting import FILE_ERRORS, error_record
from pillow_rnc.cli.stopping import Stopped
from pillow_rnc.errors import RncOptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from pathlib import Path

    from pillow_rnc.cli.reporting import Record


@dataclass(frozen=True, slots=True)
class FilesRun:
    """A command over several files.

    Attributes:
        files: The inputs.
        command: What to do with each.
        shared_outputs: The outputs that several inputs would have, by input; these inputs fail.
        jobs: How many files to work on concurrently; 0 for one on each core.
        keep_going: Begin further files after an error.
        quiet: Show no progress bar.
    """

    files: Sequence[Path]
    command: Callable[[Path], Record]
    shared_outputs: Mapping[Path, Path]
    jobs: int = 1
    keep_going: bool = True
    quiet: bool = False


def share_among(jobs: int, files: int) -> int:
    """Return how many of some files to work on concurrently; if several, each is limited to its share of the cores.

    Call this before numpy or torch is loaded, as their libraries read the limit then.

    Args:
        jobs: As of `FilesRun`.
        files: How many files there are.
    """
    jobs = min(jobs or os.cpu_count() or 1, files)
    if jobs != 1:
        from pillow_rnc.cli.workers import share_cores

        share_cores(jobs)
    return jobs


def run_files(run: FilesRun, report: Callable[[Record], None]) -> bool:
    """Run a command on its files, report each in their order, and return whether all succeeded."""
    records = _records(run)
    succeeded = True
    try:
        with open_bar(len(run.files), quiet=run.quiet) as bar:
            for record in records:
                bar.clear()
                report(record)
                bar.update()
                if "error" in record:
                    succeeded = False
                    if not run.keep_going:
                        break
    except BaseException as stop:
        records.throw(stop)  # which does not wait for the files that are being worked on
        raise
    records.close()
    return succeeded


def _records(run: FilesRun) -> Generator[Record, None, None]:
    jobs = share_among(run.jobs, len(run.files))
    if jobs == 1:
        for path in run.files:
            yield _attempt(path, run)
        return
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(jobs)
    wait = True
    try:
        futures = [pool.submit(_attempt, path, run) for path in run.files]
        for future in futures:
            yield future.result()
    except (KeyboardInterrupt, Stopped):
        wait = False
        raise
    finally:
        pool.shutdown(wait=wait, cancel_futures=True)


def _attempt(path: Path, run: FilesRun) -> Record:
    """Return the record of a file, whether the command succeeds or fails."""
    warnings: list[str] = []
    try:
        if path in run.shared_outputs:
            raise RncOptionError(f"output {run.shared_outputs[path]} is also that of another input")
        with collected_warnings() as warnings:
            record = run.command(path)
    except FILE_ERRORS as error:
        record = error_record(error)
    return {"file": str(path)} | record | ({"warnings": warnings} if warnings else {})
