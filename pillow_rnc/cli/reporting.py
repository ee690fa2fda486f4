"""What commands report: records, errors as records, their output on the terminal, and the progress bar."""

from __future__ import annotations

import json
import struct
import sys
import zlib
from typing import Any, Protocol

from PIL import Image

from pillow_rnc.errors import RncError

Record = dict[str, Any]
"""What was done with one file, by name; an error has "error" and "error_type"."""

FILE_ERRORS = (
    # On purpose:
    RncError,
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    Image.DecompressionBombError,
    # By accident:
    ArithmeticError,
    AssertionError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    struct.error,
    zlib.error,
)
"""What Pillow's plugins raise for a bad file or a bad option, and our own errors."""


def error_record(error: BaseException) -> Record:
    """Return the record of an error; an error without a message is described by its type."""
    name = type(error).__name__
    return {"error": str(error) or name, "error_type": name}


class Reporter:
    """Prints records: each as a line of JSON, or as text.

    Args:
        as_json: Print JSON.
        quiet: Print errors only; has no effect on JSON.
        to_stderr: Print to standard error, because standard output receives an image.
    """

    def __init__(self, *, as_json: bool, quiet: bool, to_stderr: bool) -> None:
        self._as_json, self._quiet, self._to_stderr = as_json, quiet, to_stderr

    def __call__(self, record: Record) -> None:
        """Print a record."""
        stream = sys.stderr if self._to_stderr else sys.stdout
        if self._as_json:
            print(json.dumps(record), file=stream)
        elif "error" in record:
            print(": ".join(["rnc", *([record["file"]] if "file" in record else []), record["error"]]), file=sys.stderr)
        elif not self._quiet:
            if "file" in record:
                print(record["file"], file=stream)
            for name, value in record.items():
                if name != "file":
                    print(f"  {name.replace('_', ' ')}: {_readable(value)}", file=stream)


class Bar(Protocol):
    """A progress bar over files."""

    def clear(self) -> object:
        """Remove the bar from the terminal, so that something can be printed."""

    def update(self) -> object:
        """Count one file and show the bar."""

    def close(self) -> object:
        """Remove the bar for good."""


class _NoBar:
    """A bar that is never shown."""

    def clear(self) -> None:
        """Do nothing."""

    update = close = clear


def open_bar(total: int, *, quiet: bool) -> Bar:
    """Return a progress bar, which is visible if standard error is a terminal and there are several files."""
    if quiet or total == 1 or not sys.stderr.isatty():
        return _NoBar()
    from tqdm import tqdm

    bar: Bar = tqdm(total=total, unit="file", leave=False, file=sys.stderr)
    return bar


def _readable(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_readable(entry)}" for name, entry in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "none"
    return str(value)
