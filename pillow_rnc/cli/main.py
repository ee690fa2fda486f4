"""Command line: ``rnc`` or ``python -m pillow_rnc``.

Exit status: 0 when every file went well, 1 when one did not, 2 for wrong usage, 130 when interrupted.
"""

from __future__ import annotations

import json
import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

import pillow_rnc
from pillow_rnc.cli.commands import FILE_ERRORS, STANDARD_STREAM, error_record
from pillow_rnc.cli.parser import argument_parser
from pillow_rnc.errors import RncError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pillow_rnc.cli.commands import Record

_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    parser = argument_parser(f"pillow-rnc {pillow_rnc.__version__}")
    arguments = parser.parse_args(argv)
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may hold what it cannot encode
    if arguments.command in ("encode", "decode") and any(isinstance(f, str) or f.is_dir() for f in arguments.files):
        _check_folder(parser, arguments)
        work = _run_folder
    else:
        _check_files(parser, arguments)
        work = _run
    try:
        succeeded = work(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Who read our output has seen enough; what is left in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        succeeded = False
    except KeyboardInterrupt:
        return _INTERRUPTED
    return 0 if succeeded else 1


def _run(arguments: argparse.Namespace) -> bool:
    """Run a command, print what it did, and return whether all went well."""
    if arguments.command == "doctor":
        from pillow_rnc.cli import doctor

        record = doctor.examine(run=arguments.run)
        _report(record, arguments)
        return not record["problems"]
    if arguments.command == "autoload":
        return _run_autoload(arguments)
    if arguments.command == "compare":
        return _run_compare(arguments)
    from pillow_rnc.cli.files import run_batch

    return run_batch(arguments, lambda record: _report(record, arguments))


def _run_folder(arguments: argparse.Namespace) -> bool:
    from pillow_rnc.cli.folders import run_folder

    try:
        return run_folder(arguments, lambda record: _report(record, arguments))
    except (RncError, OSError) as error:
        _report(error_record(error), arguments)
        return False


def _run_autoload(arguments: argparse.Namespace) -> bool:
    from pillow_rnc.cli import autoload

    try:
        status = getattr(autoload, arguments.action)()
    except OSError as error:
        _report(error_record(error), arguments)
        return False
    _report(dict(status), arguments)
    return arguments.action != "enable" or bool(status["works"])


def _run_compare(arguments: argparse.Namespace) -> bool:
    try:
        from pillow_rnc.evaluation import compare

        record = compare.run(arguments)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("pillow_rnc"):
            raise
        text = f"{error.name} is missing, rnc compare needs it: pip install 'pillow-rnc[eval]'"
        record = {"error": text, "error_type": type(error).__name__}
    except FILE_ERRORS as error:
        record = error_record(error)
    _report(record, arguments)
    return "error" not in record


def _check_files(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse several files for one place, standard input or output for several, and what is for folders."""
    if not hasattr(arguments, "output"):
        return
    output: Path | str | None = arguments.output
    if isinstance(output, str) or getattr(arguments, "dask", None) or getattr(arguments, "manifest", None):
        parser.error("--output with a URL, --dask and --manifest are for one folder, or its URL")
    if len(arguments.files) > 1:
        if output is not None and not output.is_dir():
            parser.error("--output must be an existing folder when there are several files")
        if output is None and STANDARD_STREAM in arguments.files:
            parser.error("- goes to standard output, which holds one file")


def _check_folder(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse what cannot be done with a folder."""
    output: Path | str | None = arguments.output
    if len(arguments.files) > 1:
        parser.error("a folder, or a URL, must be the only FILE")
    if output is None or output == STANDARD_STREAM or (isinstance(output, Path) and output.is_file()):
        parser.error("a folder, or a URL, needs another folder or URL as --output")
    if getattr(arguments, "steps", False):
        parser.error("--steps is for single files")


def _report(record: Record, arguments: argparse.Namespace) -> None:
    """Print what was done with one file: one line of JSON, or lines to read."""
    stream = sys.stderr if _writes_to_standard_output(arguments) else sys.stdout
    if arguments.json:
        print(json.dumps(record), file=stream)
    elif "error" in record:
        print(": ".join(["rnc", *([record["file"]] if "file" in record else []), record["error"]]), file=sys.stderr)
    elif not getattr(arguments, "quiet", False):
        if "file" in record:
            print(record["file"], file=stream)
        for name, value in record.items():
            if name != "file":
                print(f"  {name.replace('_', ' ')}: {_readable(value)}", file=stream)


def _writes_to_standard_output(arguments: argparse.Namespace) -> bool:
    """Whether standard output belongs to a picture."""
    if not hasattr(arguments, "output"):
        return False
    target: Path | str = arguments.files[0] if arguments.output is None else arguments.output
    return target == STANDARD_STREAM


def _readable(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {_readable(entry)}" for name, entry in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value)) or "none"
    return str(value)
