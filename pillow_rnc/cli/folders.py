"""One command over a folder: every image below it becomes a task, whoever executes the tasks.

A run can be repeated safely: an output that exists and is valid is skipped, a new one appears only when it is complete,
and the manifest can be made again from the outputs.
"""

from __future__ import annotations

import re
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

from pillow_rnc.cli.conversion import DecodeOptions
from pillow_rnc.cli.manifest import Line, Manifest, failure
from pillow_rnc.cli.progress_bar import open_bar
from pillow_rnc.cli.reporting import error_record
from pillow_rnc.cli.storage import Folder, UrlFolder, find_folder
from pillow_rnc.cli.tasks import ImageTask, Result, execute
from pillow_rnc.cli.workers import open_workers
from pillow_rnc.errors import RncOptionError
from pillow_rnc.plugin.file_io import name_key
from pillow_rnc.plugin.format_names import EXTENSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from pillow_rnc.cli.conversion import ConversionOptions
    from pillow_rnc.cli.reporting import Record
    from pillow_rnc.cli.workers import Workers

MANIFEST = "manifest.jsonl"
"""Name of the manifest in a local folder of outputs."""

_OUTPUT_KEYS = ("output", "bytes", "bpp", "model")
"""Those of a line that tell two outputs apart, and that are known of one that exists already."""


@dataclass(frozen=True, slots=True)
class FolderRun:
    """A command over a folder.

    Attributes:
        source: Folder or URL of the inputs.
        target: Folder or URL of the outputs.
        options: How to encode or decode, which also says which of the two.
        manifest: Path of the manifest, or None for `MANIFEST` in a local folder of outputs.
        no_overwrite: Fail for outputs that exist and are damaged.
        jobs: Processes of this machine; 0 for one on each core.
        dask: Address of a Dask scheduler, to use its cluster instead.
        quiet: Show no progress bar.
    """

    source: Path | str
    target: Path | str
    options: ConversionOptions
    manifest: Path | None = None
    no_overwrite: bool = False
    jobs: int = 1
    dask: str | None = None
    quiet: bool = False


class FolderPlan(NamedTuple):
    """What is to be done with a folder: outputs by input, inputs that are rejected, number of other files."""

    outputs: dict[str, str]
    rejected: list[Line]
    other_files: int


def run_folder(run: FolderRun, report: Callable[[Record], None]) -> bool:
    """Encode or decode all images below a folder, report each failure and then totals; return whether none failed.

    Raises:
        RncError: Folders or workers cannot be used with these options, which must have been checked; nothing was done.
        OSError: There are no images; the manifest cannot be written, or the cluster cannot be reached; what was done
            remains.
    """
    source, target = find_folder(run.source), find_folder(run.target)
    path = _manifest_path(run, target)
    for folder in (source, target):
        _check_reachable(folder, run)
    plan = plan_folder(source, run.options)
    if not plan.outputs and not plan.rejected:
        kind = f"{EXTENSION} files" if isinstance(run.options, DecodeOptions) else "images"
        others = f", but {plan.other_files} other files" if plan.other_files else ""
        raise FileNotFoundError(f"no {kind} below {source}{others}")
    tasks = (
        ImageTask(run.options, source, name, target, output, run.no_overwrite) for name, output in plan.outputs.items()
    )
    count: Counter[str] = Counter(written=0, skipped=0, failed=0, other_files=plan.other_files, input_bytes=0, bytes=0)
    started = time.monotonic()
    with (
        open_bar(len(plan.outputs) + len(plan.rejected), quiet=run.quiet) as bar,
        open_workers(run.jobs, run.dask) as workers,
        Manifest(path) as manifest,
    ):
        for result in _results(plan.rejected, tasks, workers):
            line = result.line
            _record(manifest, line, skipped=result.skipped)
            failed = line["error"] is not None
            count["failed" if failed else "skipped" if result.skipped else "written"] += 1
            count["input_bytes"] += line["input_bytes"] or 0
            count["bytes"] += line["bytes"] or 0
            if failed or result.warnings:
                bar.clear()
                report(_described(result))
            bar.update()
        manifest.compact()
    report({**count, "seconds": time.monotonic() - started, "manifest": str(path)})
    return not count["failed"]


def plan_folder(source: Folder, options: ConversionOptions) -> FolderPlan:
    """Return what is to be done with the files below a folder, chosen by their names.

    Raises:
        RncOptionError: The output format cannot be written.
    """
    suffix = options.suffix
    wanted = {EXTENSION} if isinstance(options, DecodeOptions) else _readable_suffixes() - {EXTENSION}
    outputs: dict[str, str] = {}
    rejected = []
    other_files = 0
    for name, is_folder, error in source.entries():
        path = PurePosixPath(name)
        if is_companion(path):
            other_files += not is_folder
        elif error is not None:
            rejected.append(failure(name, None, error, "OSError"))
        elif path.suffix.lower() not in wanted:
            other_files += not is_folder
        elif is_folder:
            rejected.append(failure(name, None, "is a folder with the name of an image", "IsADirectoryError"))
        else:
            outputs[name] = str(path.with_suffix(suffix))
    count = Counter(map(name_key, outputs.values()))
    for name, output in list(outputs.items()):
        if count[name_key(output)] > 1:
            text = f"output {output} is also that of another input"
            rejected.append(failure(name, None, text, "RncOptionError"))
            del outputs[name]
    return FolderPlan(outputs, rejected, other_files)


_COMPANION_FOLDERS = frozenset(
    {"@eaDir", "__MACOSX", ".AppleDouble", ".Trashes", ".Spotlight-V100", ".thumbnails", "$RECYCLE.BIN"}
    | {"System Volume Information", "#recycle", "lost+found"}
)
_TEMPORARY_FILE = re.compile(r"\.rnc-[0-9a-f]{16}\.\w+")


def is_companion(path: PurePosixPath) -> bool:
    """Return whether a file is named like an image but is not one of the user's.

    These are the AppleDouble files of macOS, ``._a.jpg`` beside ``a.jpg``; previews and recycled files in folders of
    file managers and network drives; and temporary files of a run that was killed.
    """
    return (
        path.name.startswith("._")
        or _TEMPORARY_FILE.fullmatch(path.name) is not None
        or not _COMPANION_FOLDERS.isdisjoint(path.parts)
    )


def _readable_suffixes() -> set[str]:
    """Return the suffixes of images; Pillow can only write PDF, and opens MPO as JPEG."""
    known = Image.registered_extensions()
    return {suffix for suffix, name in known.items() if name in Image.OPEN or name == "MPO"}


def run_tasks(tasks: Iterable[ImageTask], workers: Workers) -> Iterator[Result]:
    """Yield the result of each task as soon as it is done; a bounded number of tasks is in flight.

    Raises:
        ConnectionError: The connection to the cluster was lost.
    """
    done: SimpleQueue[tuple[ImageTask, Future[Result]]] = SimpleQueue()
    in_flight = 0
    for task in tasks:
        if in_flight == workers.tasks:
            yield _result_of(*done.get())
            in_flight -= 1
        future = workers.executor.submit(execute, task)
        future.add_done_callback(lambda future, task=task: done.put((task, future)))  # type: ignore[misc]
        in_flight += 1
    for _ in range(in_flight):
        yield _result_of(*done.get())


def _result_of(task: ImageTask, future: Future[Result]) -> Result:
    if future.cancelled():
        raise ConnectionError("the connection to the cluster was lost; run the command again for the remaining images")
    error = future.exception()
    if error is not None:
        # Not a fault of the file as far as is known: the worker died, or lacks a package.
        return Result(failure(task.name, task.output, **error_record(error)))
    return future.result()


def _results(rejected: Iterable[Line], tasks: Iterable[ImageTask], workers: Workers) -> Iterator[Result]:
    yield from map(Result, rejected)
    yield from run_tasks(tasks, workers)


def _described(result: Result) -> Record:
    """Return what is reported of an image before the totals: its error and its warnings."""
    line = result.line
    record: Record = {"file": line["input"]}
    if line["error"] is not None:
        record |= {"error": line["error"], "error_type": line["error_type"]}
    return record | ({"warnings": list(result.warnings)} if result.warnings else {})


def _record(manifest: Manifest, line: Line, *, skipped: bool) -> None:
    """Add a line, unless the manifest describes the same output, which was there already."""
    old = manifest.line(line["input"]) if skipped else None
    if old is None or any(old.get(key) != line.get(key) for key in _OUTPUT_KEYS):
        manifest.add(line)


def _manifest_path(run: FolderRun, target: Folder) -> Path:
    if run.manifest is not None:
        return run.manifest
    if isinstance(target, UrlFolder):
        raise RncOptionError(f"the manifest is a local file, which cannot be in {target}: name one with --manifest")
    return Path(str(target), MANIFEST)


def _check_reachable(folder: Folder, run: FolderRun) -> None:
    if isinstance(folder, UrlFolder) and folder.protocol == "memory" and (run.dask or run.jobs != 1):
        raise RncOptionError(f"{folder} exists in one process only, not with --jobs or --dask")
