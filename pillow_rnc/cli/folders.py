"""One command over a folder: every picture below it, by one kind of task, whoever does the work.

What makes a run safe to repeat: an output that is there and whole is left alone, a new one appears when all of it is
there, and the manifest can be made again from the outputs.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, UnidentifiedImageError

from pillow_rnc.cli import commands
from pillow_rnc.cli.manifest import Line, Manifest
from pillow_rnc.cli.progress_bar import open_bar
from pillow_rnc.cli.storage import Folder, UrlFolder, find_folder
from pillow_rnc.cli.workers import open_workers
from pillow_rnc.errors import RncFileError, RncOptionError
from pillow_rnc.plugin import files
from pillow_rnc.plugin.file_io import one_file
from pillow_rnc.plugin.image_file import EXTENSION

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from pillow_rnc.cli.commands import Record
    from pillow_rnc.cli.workers import Workers

MANIFEST = "manifest.jsonl"
"""Name of the manifest in a local folder of outputs."""

_OF_THE_OUTPUT = ("output", "bytes", "bpp", "iterations", "model")
_know_model = cache(commands.know_model)  # a worker reads the file of a model once


@dataclass(frozen=True, slots=True)
class Task:
    """One picture to encode or decode; small, so that it can be sent anywhere.

    Attributes:
        arguments: Those of the command line.
        source: Where the input is.
        name: Its name there.
        target: Where the output goes.
        output: Its name there.
    """

    arguments: argparse.Namespace
    source: Folder
    name: str
    target: Folder
    output: str


class Done(NamedTuple):
    """What came of a task: its line in the manifest, and whether the output was there before."""

    line: Line
    was_there: bool = False


class Plan(NamedTuple):
    """What a folder holds: inputs with their outputs, inputs that are none, and how many files are no pictures."""

    outputs: dict[str, str]
    hopeless: list[Line]
    other_files: int


def run_folder(arguments: argparse.Namespace, report: Callable[[Record], None]) -> bool:
    """Encode or decode all pictures below a folder, report each that failed, then the whole; return whether none did.

    Raises:
        RncError: The places, the model or the workers cannot be what the arguments say; nothing was done.
        OSError: The manifest cannot be written, or the cluster is out of reach; what was done remains.
    """
    source, target = find_folder(arguments.files[0]), find_folder(arguments.output)
    path = _manifest_path(arguments, target)
    _check_places(arguments, source, target)
    commands.check_options(arguments)
    plan = plan_run(source, arguments)
    if not plan.outputs and not plan.hopeless:
        raise RncOptionError(f"no pictures below {source}, but {plan.other_files} other files")
    tasks = (Task(arguments, source, name, target, output) for name, output in plan.outputs.items())
    count: Counter[str] = Counter(written=0, skipped=0, failed=0, other_files=plan.other_files, input_bytes=0, bytes=0)
    started = time.monotonic()
    bar = open_bar(len(plan.outputs), quiet=arguments.quiet)
    try:
        with Manifest(path) as manifest, open_workers(arguments.jobs, arguments.dask) as workers:
            for line, was_there in _all_done(plan.hopeless, tasks, workers):
                _note(manifest, line, was_there=was_there)
                failed = line["error"] is not None
                count["failed" if failed else "skipped" if was_there else "written"] += 1
                count["input_bytes"] += line["input_bytes"] or 0
                count["bytes"] += line["bytes"] or 0
                if failed:
                    bar.clear()
                    report({"file": line["input"], "error": line["error"], "error_type": line["error_type"]})
                bar.update()
            manifest.tidy()
    finally:
        bar.close()
    report({**count, "seconds": time.monotonic() - started, "manifest": str(path)})
    return not count["failed"]


def plan_run(source: Folder, arguments: argparse.Namespace) -> Plan:
    """Return what is to be done with the files below a folder, chosen by their names.

    Raises:
        RncOptionError: The wanted format cannot be written.
    """
    if arguments.command == "decode":
        wanted, suffix = {EXTENSION}, commands.decoded_suffix(arguments.format)
    else:
        wanted, suffix = _readable_extensions() - {EXTENSION}, EXTENSION
    outputs: dict[str, str] = {}
    hopeless = []
    other_files = 0
    for name, is_folder, error in source.entries():
        path = PurePosixPath(name)
        if error is not None:
            hopeless.append(_failure(name, None, error, "OSError"))
        elif path.suffix.lower() not in wanted:
            other_files += not is_folder
        elif is_folder:
            hopeless.append(_failure(name, None, "is a folder, named like a picture", "IsADirectoryError"))
        else:
            outputs[name] = str(path.with_suffix(suffix))
    count = Counter(map(one_file, outputs.values()))
    for name, output in list(outputs.items()):
        if count[one_file(output)] > 1:
            text = f"output {output} is that of another input too"
            hopeless.append(_failure(name, None, text, "RncOptionError"))
            del outputs[name]
    return Plan(outputs, hopeless, other_files)


def _readable_extensions() -> set[str]:
    """Return how the names of pictures end; Pillow only writes PDF, and opens MPO as JPEG."""
    known = Image.registered_extensions()
    return {suffix for suffix, name in known.items() if name in Image.OPEN or name == "MPO"}


def run_tasks(tasks: Iterable[Task], workers: Workers) -> Iterator[Done]:
    """Yield what came of each task, in the order in which they are done; holds a bounded number of them.

    Raises:
        ConnectionError: The cluster was lost.
    """
    done: SimpleQueue[tuple[Task, Future[Done]]] = SimpleQueue()
    begun = 0
    for task in tasks:
        if begun == workers.tasks:
            yield _outcome(*done.get())
            begun -= 1
        future = workers.executor.submit(work, task)
        future.add_done_callback(lambda future, task=task: done.put((task, future)))  # type: ignore[misc]
        begun += 1
    for _ in range(begun):
        yield _outcome(*done.get())


def work(task: Task) -> Done:
    """Do one task, wherever this is called; what can be wrong with a file is returned, not raised."""
    started = time.monotonic()
    try:
        _know_model(task.arguments.model)
        found = _found(task)
        said = _made(task) if found is None else found
    except commands.FILE_ERRORS as error:  # a worker must send what leaves it, and not all exceptions can be sent
        said = commands.error_record(error)
        if isinstance(error, UnidentifiedImageError):
            said["error"] = "is no picture that this Pillow can read"
        return Done(_failure(task.name, task.output, **said))
    seconds = time.monotonic() - started if found is None else None
    return Done(
        Line(
            input=task.name,
            output=task.output,
            input_bytes=said["input_bytes"],
            bytes=said["bytes"],
            bpp=said["bpp"],
            iterations=said["iterations"],
            model=said["model"],
            seconds=seconds,
            error=None,
            error_type=None,
        ),
        was_there=found is not None,
    )


def _made(task: Task) -> Record:
    """Make the output and return what is to be told of it."""
    make = commands.decoded if task.arguments.command == "decode" else commands.encoded
    with task.source.open(task.name) as fp:
        input_bytes = fp.seek(0, os.SEEK_END)
        fp.seek(0)
        if not input_bytes:
            raise RncFileError("file is empty")
        data, said = make(fp, task.arguments)
    task.target.write(task.output, data)
    return said | {"input_bytes": input_bytes, "bytes": len(data)}


def _found(task: Task) -> Record | None:
    """Return what is to be told of the output if it is there already and whole."""
    arguments = task.arguments
    try:
        fp = task.target.open(task.output)
    except FileNotFoundError:
        return None
    with fp:
        try:
            if arguments.command == "decode":
                with Image.open(fp) as im:
                    im.load()
            else:
                files.check(fp)
        except commands.FILE_ERRORS as error:
            if arguments.no_overwrite:
                raise RncOptionError(f"output {task.output} exists, and is damaged: {error}") from error
            return None
        length = fp.seek(0, os.SEEK_END)
        fp.seek(0)
        if arguments.command == "encode":
            said = commands.said_of(fp)
    if arguments.command == "decode":
        with task.source.open(task.name) as fp:
            said = commands.said_of(fp)
        said["iterations"] = min(said["iterations"], arguments.iterations or said["iterations"])
    return said | {"input_bytes": task.source.size(task.name), "bytes": length}


def _outcome(task: Task, future: Future[Done]) -> Done:
    if future.cancelled():
        raise ConnectionError("the cluster was lost; what is done is done, run the command again for the rest")
    error = future.exception()
    if error is not None:
        # Not the file's fault, as far as is known: a worker died over it, or lacks a package.
        return Done(_failure(task.name, task.output, **commands.error_record(error)))
    return future.result()


def _all_done(hopeless: Iterable[Line], tasks: Iterable[Task], workers: Workers) -> Iterator[Done]:
    yield from map(Done, hopeless)
    yield from run_tasks(tasks, workers)


def _note(manifest: Manifest, line: Line, *, was_there: bool) -> None:
    """Add a line, unless one tells of the same output that was there already."""
    old = manifest.line(line["input"]) if was_there else None
    if old is None or any(old.get(key) != line.get(key) for key in _OF_THE_OUTPUT):
        manifest.add(line)


def _failure(name: str, output: str | None, error: str, error_type: str) -> Line:
    return Line(
        input=name,
        output=output,
        input_bytes=None,
        bytes=None,
        bpp=None,
        iterations=None,
        model=None,
        seconds=None,
        error=error,
        error_type=error_type,
    )


def _manifest_path(arguments: argparse.Namespace, target: Folder) -> Path:
    if arguments.manifest is not None:
        path: Path = arguments.manifest
        return path
    if isinstance(target, UrlFolder):
        raise RncOptionError(f"the manifest is a local file, which {target} cannot hold: name one with --manifest")
    return Path(str(target), MANIFEST)


def _check_places(arguments: argparse.Namespace, *folders: Folder) -> None:
    for folder in folders:
        if isinstance(folder, UrlFolder) and folder.protocol == "memory" and (arguments.dask or arguments.jobs != 1):
            raise RncOptionError(f"{folder} exists in one process only, not with --jobs or --dask")
