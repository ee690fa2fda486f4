"""Standard input and outputs that are closed, full, or have lost their reader.

Must not load Pillow, torch or numpy.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from io import TextIOWrapper

from pillow_rnc.cli.stopping import BROKEN_PIPE_STATUS, Stopped
from pillow_rnc.plugin.file_io import write_stream


def open_missing() -> None:
    """Give Python the streams that were closed when it started, so that no file that is opened takes their place.

    Reading standard input and writing standard output then fail; what is written to standard error is dropped.
    """
    # Opened the wrong way round on purpose.
    if sys.stdin is None:
        sys.stdin = os.fdopen(os.open(os.devnull, os.O_WRONLY), encoding="utf-8")
    if sys.stdout is None:
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")


def print_unencodable_as_escapes() -> None:
    """Let file names that standard output cannot encode be printed."""
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def print_out(text: str) -> None:
    """Print a line to standard output and flush it, so that a reader sees it at once.

    Raises:
        Stopped: Nobody reads it any more.
        OSError: It cannot be written.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        discard_output()
        raise Stopped(BROKEN_PIPE_STATUS) from None
    except OSError:
        discard_output()
        raise


def print_error(text: str) -> None:
    """Print a line to standard error, or drop it if that is impossible: the exit status tells of errors as well."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def write_out(data: bytes) -> None:
    """Write bytes to standard output.

    Raises:
        Stopped: Nobody reads it any more.
        OSError: It cannot be written.
    """
    try:
        write_stream(sys.stdout.buffer, data)
    except BrokenPipeError:
        discard_output()
        raise Stopped(BROKEN_PIPE_STATUS) from None
    except OSError as error:
        discard_output()
        raise OSError(error.errno, f"standard output: {error.strerror or error}") from error


def discard_output() -> None:
    """Drop what is left in the buffer of standard output, which has nowhere to go, and all that follows."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        sys.stdout.flush()
