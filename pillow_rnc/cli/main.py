"""Command line: ``rnc`` or ``python -m pillow_rnc``.

Exit status: 0 if every file succeeded, 1 if one failed or standard output cannot be written, 2 for wrong usage or an
option that no file could be processed with, 128 + number if ended by a signal: 130 by Ctrl-C, 143 by SIGTERM, 129 by
SIGHUP, and 141 if the reader of standard output has closed it.
"""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING

import pillow_rnc
from pillow_rnc.cli.arguments import (
    check_options,
    conversion_options,
    file_command,
    is_for_folder,
    shared_outputs,
    usage_error,
    writes_to_stdout,
)
from pillow_rnc.cli.parser import argument_parser
from pillow_rnc.cli.reporting import FILE_ERRORS, Reporter, error_record
from pillow_rnc.cli.stopping import Stopped, end_on_signals, end_process
from pillow_rnc.cli.streams import open_missing, print_error, print_out, print_unencodable_as_escapes
from pillow_rnc.errors import RncError, RncOptionError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_WRONG_USAGE = 2
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    Args:
        argv: The arguments; None for those of this process, which then belongs to the command: signals end it.
    """
    if argv is not None:
        try:
            return _status(argv)
        except Stopped as stopped:
            return stopped.status
    open_missing()
    end_on_signals()
    try:
        return _status(None)
    except Stopped as stopped:
        end_process(stopped.status)
        raise


def _status(argv: Sequence[str] | None) -> int:
    """Run one command and return the exit status.

    Raises:
        Stopped: The command is to end now, whatever else is being done.
    """
    arguments = _parse(argument_parser(f"pillow-rnc {pillow_rnc.__version__}"), argv)
    wrong = usage_error(arguments)
    if wrong is not None:
        arguments.usage_error(wrong)
    print_unencodable_as_escapes()
    quiet = getattr(arguments, "quiet", False)
    report = Reporter(as_json=arguments.json, quiet=quiet, to_stderr=writes_to_stdout(arguments))
    if getattr(arguments, "jobs", 1) != 1 and not is_for_folder(arguments):
        from pillow_rnc.cli.files import share_among

        share_among(arguments.jobs, len(arguments.files))  # before options are checked, which may load numpy and torch
    try:
        check_options(arguments)
        status = 0 if _run(arguments, report) else 1
    except RncError as error:  # of an option that no file could be processed with; nothing was done
        report(error_record(error))
        status = _WRONG_USAGE if isinstance(error, RncOptionError) else 1
    except KeyboardInterrupt:  # in a program of somebody else, which handles signals as it likes
        return _INTERRUPTED
    return status or (1 if report.failed else 0)


def _parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse arguments; the help and the version are printed here, because argparse ignores that it cannot print."""
    printed = StringIO()
    try:
        with redirect_stdout(printed):
            return parser.parse_args(argv)
    except SystemExit as wanted:
        try:
            if text := printed.getvalue():
                print_out(text.rstrip())
        except OSError as error:
            print_error(f"rnc: standard output: {error.strerror or error}")
            raise SystemExit(1) from wanted
        raise


def _run(arguments: argparse.Namespace, report: Reporter) -> bool:
    """Run a command, report what it did, and return whether everything succeeded.

    Raises:
        RncError: It cannot be run with these options.
    """
    if arguments.command == "doctor":
        return _run_doctor(arguments, report)
    if arguments.command == "autoload":
        return _run_autoload(arguments, report)
    if arguments.command == "compare":
        return _run_compare(arguments, report)
    if arguments.command == "view":
        return _run_view(arguments, report)
    if is_for_folder(arguments):
        return _run_folder(arguments, report)
    from pillow_rnc.cli.files import FilesRun, run_files

    run = FilesRun(
        arguments.files,
        file_command(arguments),
        shared_outputs(arguments),
        jobs=getattr(arguments, "jobs", 1),
        keep_going=getattr(arguments, "keep_going", True),
        quiet=getattr(arguments, "quiet", False),
    )
    return run_files(run, report)


def _run_folder(arguments: argparse.Namespace, report: Reporter) -> bool:
    from pillow_rnc.cli.folders import FolderRun, run_folder

    run = FolderRun(
        arguments.files[0],
        arguments.output,
        conversion_options(arguments),
        manifest=arguments.manifest,
        no_overwrite=arguments.no_overwrite,
        jobs=arguments.jobs,
        dask=arguments.dask,
        quiet=arguments.quiet,
    )
    try:
        return run_folder(run, report)
    except OSError as error:
        report(error_record(error))
        return False


def _run_doctor(arguments: argparse.Namespace, report: Reporter) -> bool:
    from pillow_rnc.cli import doctor

    record = doctor.examine(run=arguments.run)
    report(record)
    return not record["problems"]


def _run_autoload(arguments: argparse.Namespace, report: Reporter) -> bool:
    from pillow_rnc.cli import autoload

    try:
        status = getattr(autoload, arguments.action)()
    except OSError as error:
        report(error_record(error))
        return False
    report(dict(status))
    return arguments.action != "enable" or bool(status["works"])


def _run_compare(arguments: argparse.Namespace, report: Reporter) -> bool:
    try:
        from pillow_rnc.evaluation import compare

        record = compare.run(arguments)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("pillow_rnc"):
            raise
        text = f"{error.name} is missing, rnc compare needs it: pip install 'pillow-rnc[eval]'"
        record = {"error": text, "error_type": type(error).__name__}
    except RncOptionError:
        raise
    except FILE_ERRORS as error:
        record = error_record(error)
    report(record)
    return "error" not in record


def _run_view(arguments: argparse.Namespace, report: Reporter) -> bool:
    from pillow_rnc.cli import viewing

    try:
        record = viewing.run(arguments)
    except FILE_ERRORS as error:
        record = error_record(error)
    report(record)
    return "error" not in record
