"""The commands of ``rnc`` for single files: a path in, a record of what was done out.

`info`, `verify` and `truncate` load neither torch nor numpy.
Outputs are written completely or not at all, so a failed command never damages an old file.
"""

from __future__ import annotations

import stat
import sys
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

from pillow_rnc.cli import conversion
from pillow_rnc.cli.destinations import STANDARD_STREAM, Destination, write_output
from pillow_rnc.cli.storage import kind_of_special_file
from pillow_rnc.errors import RncFileError, RncOptionError
from pillow_rnc.plugin import files
from pillow_rnc.plugin.format_names import EXTENSION, FORMAT
from pillow_rnc.plugin.notices import warn
from pillow_rnc.plugin.validation import validated

if TYPE_CHECKING:
    from pathlib import Path

    from pillow_rnc.cli.conversion import DecodeOptions, EncodeOptions
    from pillow_rnc.cli.reporting import Record

_ALIKE = {"JPEG", "MPO"}
"""The second begins as the first, and is named so by cameras."""


@dataclass(frozen=True, slots=True)
class TruncateOptions:
    """Options of ``rnc truncate``; one of the two is given."""

    iterations: int | None
    target_size: int | None

    def check(self) -> None:
        """Raise `RncOptionError` if truncating would fail with any file."""
        validated(iterations=self.iterations, target_size=self.target_size)


def info(path: Path) -> Record:
    """Return the contents of the header and the length of each iteration."""
    return dict(files.info(_source(path)))


def verify(path: Path) -> Record:
    """Compare every checksum."""
    files.verify(_source(path))
    return {"verified": True}


def truncate(path: Path, destination: Destination, options: TruncateOptions) -> Record:
    """Truncate a file without decoding it."""
    target = destination.path_for(path, EXTENSION)
    destination.check(path, target)
    _warn_of_suffix(target)
    out = BytesIO()
    kept = files.truncate(_source(path), out, iterations=options.iterations, target_size=options.target_size)
    write_output(target, out.getvalue())
    return {"output": str(target), "iterations": kept, "file_bytes": len(out.getvalue())}


def encode(path: Path, destination: Destination, options: EncodeOptions) -> Record:
    """Write an image of any format as `.rnc`."""
    target = destination.path_for(path, options.suffix)
    destination.check(path, target)
    _warn_of_suffix(target)
    source = _source(path)
    input_bytes = len(source.getbuffer()) if isinstance(source, BytesIO) else source.stat().st_size
    data, summary = conversion.encode(source, options)
    write_output(target, data)
    record = {
        "output": str(target),
        "iterations": summary["iterations"],
        "file_bytes": len(data),
        "input_bytes": input_bytes,
        "bpp": summary["bpp"],
    }
    if len(data) > input_bytes:
        record["warning"] = "larger than the input"
    return record


def decode(path: Path, destination: Destination, options: DecodeOptions) -> Record:
    """Write an `.rnc` file in another format, chosen by ``--format`` or by the name of the output."""
    target = destination.path_for(path, options.suffix)
    destination.check(path, target)
    format_name = _format_of(target, options)
    data, record = conversion.decode(_source(path), format_name, options)
    write_output(target, data)
    return {"output": str(target)} | record


def decode_steps(path: Path, destination: Destination, options: DecodeOptions) -> Record:
    """Write the image after each iteration: ``a-01.png``, ``a-02.png``, ..."""
    target = destination.path_for(path, options.suffix)
    format_name = _format_of(target, options)
    if target == STANDARD_STREAM:
        raise RncOptionError("--steps writes several images, standard output takes one")
    written = []
    for done, data in enumerate(conversion.decode_progressively(_source(path), format_name, options), 1):
        step = target.with_stem(f"{target.stem}-{done:02}")
        destination.check(path, step)
        write_output(step, data)
        written.append(str(step))
    return {"outputs": written, "iterations": len(written)}


def _source(path: Path) -> Path | BytesIO:
    """Return what to read: the path; or the contents of standard input, a pipe or a device, which may have one reader.

    Raises:
        OSError: It cannot be read.
        RncFileError: It is empty.
    """
    if path == STANDARD_STREAM:
        source = BytesIO(sys.stdin.buffer.read())
    else:
        about = path.stat()
        if kind_of_special_file(about.st_mode) is None:
            if stat.S_ISREG(about.st_mode) and not about.st_size and not path.read_bytes():  # in /proc there is no size
                raise RncFileError("file is empty")
            return path
        source = BytesIO(path.read_bytes())
    if not source.getbuffer():
        raise RncFileError("file is empty")
    return source


def _warn_of_suffix(target: Path, format_name: str = FORMAT) -> None:
    """Warn if the name of an output is that of another format than it has; any other suffix is nobody's."""
    suffix = target.suffix.lower()
    if not suffix or (format_name, suffix) == (FORMAT, EXTENSION):
        return  # so that most commands need not load all of Pillow's formats
    found = Image.registered_extensions().get(suffix)
    if found not in (None, format_name) and {found, format_name} != _ALIKE:
        kind = EXTENSION if format_name == FORMAT else format_name
        warn(f"output {target} is a {kind} image, but its suffix is that of {found}")


def _format_of(target: Path, options: DecodeOptions) -> str:
    """Return the format of a decoded file: the wanted one, or the one that the name of the output implies.

    Warns if the name implies another one than is wanted.
    """
    if options.format_name is not None or target == STANDARD_STREAM:
        _warn_of_suffix(target, options.pillow_format)
        return options.pillow_format
    found = Image.registered_extensions().get(target.suffix.lower())
    if found is None or found not in Image.SAVE:
        raise RncOptionError(f"output {target} has no suffix of a format that this Pillow can write, use --format")
    return found
