"""What commands report: records, errors as records, and their output on the terminal."""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any

from PIL import Image, UnidentifiedImageError

from pillow_rnc.cli.option_names import in_terms_of_command_line
from pillow_rnc.cli.stopping import wait_if_ending
from pillow_rnc.cli.streams import print_error, print_out
from pillow_rnc.errors import RncError

Record = dict[str, Any]
"""What was done with one file, by name; an error has "error" and "error_type", and "warnings" is a list of texts."""

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
    Warning,  # if the user turned them into errors
    struct.error,
    zlib.error,
)
"""What Pillow's plugins raise for a bad file or a bad option, and our own errors."""


def error_record(error: BaseException) -> Record:
    """Return the record of an error; an error without a message is described by its type."""
    name = type(error).__name__
    text = in_terms_of_command_line(str(error)) or name
    if isinstance(error, UnidentifiedImageError):
        text = "cannot identify image file"  # without the name, or the address of an object
    return {"error": text, "error_type": name}


class Reporter:
    """Prints records: each as a line of JSON, or as text.

    Args:
        as_json: Print JSON.
        quiet: Print errors only; has no effect on JSON.
        to_stderr: Print to standard error, because standard output receives an image.

    Attributes:
        failed: Whether standard output is closed or full; nothing more is printed there then.
    """

    def __init__(self, *, as_json: bool, quiet: bool, to_stderr: bool) -> None:
        self._as_json, self._quiet, self._to_stderr = as_json, quiet, to_stderr
        self.failed = False

    def __call__(self, record: Record) -> None:
        """Print a record.

        Raises:
            Stopped: Nobody reads standard output any more.
        """
        wait_if_ending()
        if self._as_json:
            self._print(json.dumps(record))
            return
        prefix = f"rnc: {record['file']}" if "file" in record else "rnc"
        if not self._quiet:
            for text in record.get("warnings", ()):
                print_error(f"{prefix}: warning: {text}")
        if "error" in record:
            print_error(f"{prefix}: {record['error']}")
        elif not self._quiet:
            lines = [record["file"]] if "file" in record else []
            lines += [
                f"  {name.replace('_', ' ')}: {_readable(value)}"
                for name, value in record.items()
                if name not in ("file", "warnings")
            ]
            if lines[1:] or "warnings" not in record:
                self._print("\n".join(lines))

    def _print(self, text: str) -> None:
        if self._to_stderr:
            print_error(text)
        elif not self.failed:
            try:
                print_out(text)
            except OSError as error:
                # The outputs are what the user wants most, so the work goes on; the exit status tells.
                self.failed = True
                print_error(f"rnc: standard output: {error.strerror or error}")


def _readable(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_readable(entry)}" for name, entry in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        separator = "; " if any(isinstance(entry, str) for entry in value) else " "
        return separator.join(map(str, value)) or "none"
    return str(value)
