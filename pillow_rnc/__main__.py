"""Command line: ``rnc`` or ``python -m pillow_rnc``.

Exit status: 0 when every file went well, 1 when one did not, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

import pillow_rnc
from pillow_rnc import _commands
from pillow_rnc.errors import RncError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pillow_rnc._commands import Record

# Whatever Pillow's plugins raise for a bad file or a bad option, beside our own.
_FILE_ERRORS = (RncError, OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError)
_SIZE_UNITS = {"k": 1000, "m": 1000**2, "ki": 1024, "mi": 1024**2}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.command == "doctor":
        _report(_commands.doctor(), as_json=arguments.json)
        return 0
    output: Path | None = getattr(arguments, "output", None)
    if output is not None and len(arguments.files) > 1 and not output.is_dir():
        parser.error("--output must be an existing folder when there are several files")
    command: Callable[[Path, argparse.Namespace], Record] = getattr(_commands, arguments.command)
    status = 0
    for path in arguments.files:
        try:
            record = command(path, arguments)
        except _FILE_ERRORS as error:
            status = 1
            record = {"error": str(error), "error_type": type(error).__name__}
        _report({"file": str(path)} | record, as_json=arguments.json)
    return status


def _report(record: Record, *, as_json: bool) -> None:
    """Print what was done with one file: one line of JSON, or lines to read."""
    if as_json:
        print(json.dumps(record))
    elif "error" in record:
        print(f"rnc: {record['file']}: {record['error']}", file=sys.stderr)
    else:
        if "file" in record:
            print(record.pop("file"))
        for name, value in record.items():
            print(f"  {name.replace('_', ' ')}: {_readable(value)}")


def _readable(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict):
        return ", ".join(f"{name} {number}" for name, number in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return str(value)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("rnc", description="Read and write .rnc pictures.")
    parser.add_argument("-V", "--version", action="version", version=f"pillow-rnc {pillow_rnc.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    _add(commands, "info", "show the header and the bytes of each iteration")
    _add(commands, "verify", "compare every checksum, without decoding")

    truncate = _add(commands, "truncate", "cut files to fewer iterations, without decoding")
    _add_output(truncate)
    rate = truncate.add_mutually_exclusive_group(required=True)
    rate.add_argument("-i", "--iterations", type=int, metavar="N", help="iterations to keep")
    rate.add_argument("--target-size", type=_size, metavar="BYTES", help="largest file, such as 50000 or 50k")

    encode = _add(commands, "encode", "write pictures of any format as .rnc")
    _add_output(encode)
    rate = encode.add_mutually_exclusive_group()
    rate.add_argument("-i", "--iterations", type=_count_or_keep, metavar="N", help="1 to 16, or keep")
    rate.add_argument("-q", "--quality", type=float, help="0 to 100")
    rate.add_argument("--target-size", type=_size, metavar="BYTES", help="largest file, such as 50000 or 50k")
    rate.add_argument("--target-bpp", type=float, metavar="BPP", help="largest file in bits per pixel")
    rate.add_argument("--target-psnr", type=float, metavar="DB", help="fewest iterations that reach this PSNR")
    encode.add_argument("--model", help="name or id of a model")
    encode.add_argument("--device", help="torch device, such as cpu or cuda")
    encode.add_argument(
        "--strip",
        action="append",
        default=[],
        choices=["exif", "xmp", "icc", "comment", "all"],
        help="leave out metadata",
    )

    decode = _add(commands, "decode", "write .rnc files in another format")
    _add_output(decode)
    decode.add_argument("-i", "--iterations", type=int, metavar="N", help="decode at most this many")
    decode.add_argument("--region", type=_region, metavar="L,U,R,B", help="decode this box only, in pixels")
    decode.add_argument("--device", help="torch device, such as cpu or cuda")
    decode.add_argument("--allow-truncated", action="store_true", help="show what is whole of a cut file")

    doctor = commands.add_parser("doctor", help="show versions and whether the format is registered")
    doctor.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text)
    command.add_argument("files", nargs="+", type=Path, metavar="FILE")
    command.add_argument("--json", action="store_true", help="print one JSON object per file")
    return command


def _add_output(command: argparse.ArgumentParser) -> None:
    command.add_argument("-o", "--output", type=Path, help="file, or folder; beside the input by default")
    command.add_argument("--no-overwrite", action="store_true", help="refuse to replace files")


def _size(text: str) -> int:
    number = text.rstrip("kKmMiI")
    unit = text[len(number) :].lower()
    return int(float(number) * _SIZE_UNITS[unit]) if unit in _SIZE_UNITS else int(text)


def _count_or_keep(text: str) -> int | str:
    return text if text == "keep" else int(text)


def _region(text: str) -> tuple[int, ...]:
    return tuple(int(side) for side in text.split(","))


if __name__ == "__main__":
    sys.exit(main())
