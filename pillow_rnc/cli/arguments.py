"""Parsed arguments of ``rnc`` -> options of its commands; and the combinations that are wrong usage."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pillow_rnc.cli import commands
from pillow_rnc.cli.conversion import DecodeOptions, EncodeOptions, check_device, check_model
from pillow_rnc.cli.destinations import STANDARD_STREAM, Destination
from pillow_rnc.plugin.format_names import EXTENSION

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

    from pillow_rnc.cli.conversion import ConversionOptions
    from pillow_rnc.cli.reporting import Record

_SAVE_PARAMS = ("iterations", "quality", "target_size", "target_bpp", "target_psnr", "alpha_quality", "device")


def conversion_options(arguments: argparse.Namespace) -> ConversionOptions:
    """Return the options of ``encode`` or ``decode`` for every image."""
    if arguments.command == "encode":
        params = {name: getattr(arguments, name) for name in _SAVE_PARAMS if getattr(arguments, name) is not None}
        return EncodeOptions(arguments.model, tuple(arguments.strip), params, arguments.resize)
    return DecodeOptions(
        arguments.model,
        arguments.format,
        arguments.iterations,
        arguments.region,
        arguments.size,
        arguments.device,
        arguments.allow_truncated,
        arguments.resize,
    )


def check_options(arguments: argparse.Namespace) -> None:
    """Make a model that is given as a file available, and check what does not depend on the files of a command.

    Raises:
        RncOptionError: A value is not allowed.
        WeightsError: The file of the model cannot be read.
    """
    if arguments.command == "truncate":
        _truncate_options(arguments).check()
    elif arguments.command in ("encode", "decode"):
        options = conversion_options(arguments)
        options.check()
        if isinstance(options, EncodeOptions) and not _may_copy(arguments):
            options.check_iterations()
        if _uses_device(arguments):
            check_device(arguments.device)
    elif arguments.command == "view":
        check_model(arguments.model)
    elif arguments.command == "compare":
        for model in arguments.model or ():
            check_model(model)


def file_command(arguments: argparse.Namespace) -> Callable[[Path], Record]:
    """Return the command for a single file."""
    if arguments.command in ("info", "verify"):
        plain: Callable[[Path], Record] = getattr(commands, arguments.command)
        return plain
    destination = _destination(arguments)
    if arguments.command == "truncate":
        return partial(commands.truncate, destination=destination, options=_truncate_options(arguments))
    options = conversion_options(arguments)
    if isinstance(options, EncodeOptions):
        return partial(commands.encode, destination=destination, options=options)
    command = commands.decode_steps if arguments.steps else commands.decode
    return partial(command, destination=destination, options=options)


def shared_outputs(arguments: argparse.Namespace) -> Mapping[Path, Path]:
    """Return the outputs that several of the files would have, by file."""
    if not hasattr(arguments, "output"):
        return {}
    suffix = EXTENSION if arguments.command == "truncate" else conversion_options(arguments).suffix
    return _destination(arguments).shared(arguments.files, suffix)


def is_for_folder(arguments: argparse.Namespace) -> bool:
    """Return whether the command is to work on a folder or a URL."""
    return arguments.command in ("encode", "decode") and any(
        isinstance(file, str) or file.is_dir() for file in arguments.files
    )


def usage_error(arguments: argparse.Namespace) -> str | None:
    """Return what is wrong with the combination of arguments, if anything."""
    if getattr(arguments, "files", []).count(STANDARD_STREAM) > 1:
        return "- is standard input, which can be read once"
    if not hasattr(arguments, "output"):
        return None
    return _folder_error(arguments) if is_for_folder(arguments) else _files_error(arguments)


def writes_to_stdout(arguments: argparse.Namespace) -> bool:
    """Return whether standard output receives an image."""
    if not hasattr(arguments, "output"):
        return False
    target: Path | str = arguments.files[0] if arguments.output is None else arguments.output
    return target == STANDARD_STREAM


def _may_copy(arguments: argparse.Namespace) -> bool:
    """Return whether ``encode`` may get an `.rnc` file, whose iterations it then copies without model or device."""
    return arguments.model is None and any(
        file == STANDARD_STREAM or Path(file).suffix.lower() == EXTENSION for file in arguments.files
    )


def _uses_device(arguments: argparse.Namespace) -> bool:
    """Return whether all inputs need the device that is given."""
    if arguments.device is None or arguments.dask is not None:  # the machines of a cluster have their own devices
        return False
    return not _may_copy(arguments) if arguments.command == "encode" else arguments.size is None


def _truncate_options(arguments: argparse.Namespace) -> commands.TruncateOptions:
    return commands.TruncateOptions(arguments.iterations, arguments.target_size)


def _destination(arguments: argparse.Namespace) -> Destination:
    return Destination(arguments.output, arguments.no_overwrite, only_if_named=arguments.command == "decode")


def _files_error(arguments: argparse.Namespace) -> str | None:
    output: Path | str | None = arguments.output
    if isinstance(output, str) or getattr(arguments, "dask", None) or getattr(arguments, "manifest", None):
        return "--output with a URL, --dask and --manifest are for one folder, or its URL"
    if arguments.output_is_folder and output is not None and not output.is_dir():
        return f"--output {output} is not an existing folder"
    if len(arguments.files) > 1:
        if output is not None and not output.is_dir():
            return "--output must be an existing folder if there are several files"
        if output is None and STANDARD_STREAM in arguments.files:
            return "- is written to standard output, which takes one file"
    return None


def _folder_error(arguments: argparse.Namespace) -> str | None:
    output: Path | str | None = arguments.output
    if len(arguments.files) > 1:
        return "a folder, or a URL, must be the only FILE"
    if output is None or output == STANDARD_STREAM or (not isinstance(output, str) and output.is_file()):
        return "a folder, or a URL, needs a folder or URL as --output"
    if getattr(arguments, "steps", False):
        return "--steps is for single files"
    return None
