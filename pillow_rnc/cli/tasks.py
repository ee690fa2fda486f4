"""What a worker does for one image of a folder: make the output, unless it is there already.

Tasks and their results are small frozen values that can be sent to another process or machine.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, UnidentifiedImageError

from pillow_rnc.cli import conversion
from pillow_rnc.cli.conversion import EncodeOptions
from pillow_rnc.cli.file_warnings import collected_warnings
from pillow_rnc.cli.manifest import Line, failure
from pillow_rnc.cli.reporting import FILE_ERRORS, error_record
from pillow_rnc.cli.stopping import wait_if_ending
from pillow_rnc.errors import RncFileError, RncOptionError, SignatureError
from pillow_rnc.plugin import files

if TYPE_CHECKING:
    from typing import IO

    from pillow_rnc.cli.conversion import ConversionOptions
    from pillow_rnc.cli.reporting import Record
    from pillow_rnc.cli.storage import Folder

_register_model = cache(conversion.register_model)  # a worker reads a weights file once


@dataclass(frozen=True, slots=True)
class ImageTask:
    """One image to encode or decode.

    Attributes:
        options: How, which also says which of the two.
        source: Folder of the input.
        name: Its name there.
        target: Folder of the output.
        output: Its name there.
        no_overwrite: Fail if the output exists and is damaged.
    """

    options: ConversionOptions
    source: Folder
    name: str
    target: Folder
    output: str
    no_overwrite: bool = False


class Result(NamedTuple):
    """The result of a task: its line in the manifest, whether it was skipped because the output was there, warnings."""

    line: Line
    skipped: bool = False
    warnings: tuple[str, ...] = ()


def execute(task: ImageTask) -> Result:
    """Execute a task in this process; whatever can be wrong with a file is returned, not raised."""
    with collected_warnings() as warnings:
        result = _execute(task)
    wait_if_ending()
    return result._replace(warnings=tuple(warnings))


def _execute(task: ImageTask) -> Result:
    started = time.monotonic()
    try:
        _register_model(task.options.model)
        found = _find_output(task)
        record = _make_output(task) if found is None else found
    except FILE_ERRORS as error:  # returned as text, because not every exception can be sent to another process
        described = error_record(error)
        if isinstance(error, UnidentifiedImageError):
            described["error"] = "not an image that this Pillow can read"
        return Result(failure(task.name, task.output, **described))
    line = Line(
        input=task.name,
        output=task.output,
        input_bytes=record["input_bytes"],
        bytes=record["bytes"],
        bpp=record["bpp"],
        iterations=record["iterations"],
        model=record["model"],
        seconds=time.monotonic() - started if found is None else None,
        error=None,
        error_type=None,
    )
    return Result(line, skipped=found is not None)


def _make_output(task: ImageTask) -> Record:
    """Write the output and return what the manifest says of it."""
    with task.source.open(task.name) as fp:
        input_bytes = fp.seek(0, os.SEEK_END)
        fp.seek(0)
        if not input_bytes:
            raise RncFileError("file is empty")
        data, record = _convert(fp, task.options)
    task.target.write(task.output, data)
    return record | {"input_bytes": input_bytes, "bytes": len(data)}


def _convert(fp: IO[bytes], options: ConversionOptions) -> tuple[bytes, Record]:
    if isinstance(options, EncodeOptions):
        return conversion.encode(fp, options)
    data, record = conversion.decode(fp, options.pillow_format, options)
    return data, conversion.summary(fp) | {"iterations": record["iterations"]}


def _find_output(task: ImageTask) -> Record | None:
    """Return what the manifest says of the output if it is there already and valid.

    Raises:
        RncOptionError: It is there and must not be replaced: it is damaged, or a file of another format.
        OSError: It cannot be read.
    """
    options = task.options
    try:
        fp = task.target.open(task.output)
    except FileNotFoundError:
        return None
    with fp:
        length = fp.seek(0, os.SEEK_END)
        fp.seek(0)
        try:
            if isinstance(options, EncodeOptions):
                files.verify(fp)
            else:
                with Image.open(fp) as im:
                    im.load()
        except FILE_ERRORS as error:
            if task.no_overwrite:
                raise RncOptionError(f"output {task.output} exists and is damaged: {error}") from error
            if length and isinstance(error, SignatureError):  # such as a RELAX NG schema
                raise RncOptionError(f"output {task.output} exists and is not a .rnc image") from error
            return None
        if isinstance(options, EncodeOptions):
            record = conversion.summary(fp)
    if not isinstance(options, EncodeOptions):
        with task.source.open(task.name) as fp:
            record = conversion.summary(fp)
        record["iterations"] = None  # what it was decoded from is not in it
    return record | {"input_bytes": task.source.size(task.name), "bytes": length}
