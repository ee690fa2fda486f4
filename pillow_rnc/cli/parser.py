"""The command line of ``rnc``: commands, options, and the syntax of their values."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pillow_rnc.cli import resizing
from pillow_rnc.container.records import MAX_ITERATIONS
from pillow_rnc.evaluation.arguments import iteration_counts

if TYPE_CHECKING:
    from collections.abc import Callable

_Value = TypeVar("_Value")

_SIZE_UNITS = {"k": 1000, "m": 1000**2, "ki": 1024, "mi": 1024**2}


def argument_parser(version: str = "") -> argparse.ArgumentParser:
    """Return the parser of the command line; also for the man page, and for shtab, which makes shell completions."""
    parser = argparse.ArgumentParser("rnc", description="Read and write .rnc images. FILE may be - for standard input.")
    parser.add_argument("-V", "--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    _add(commands, "info", "show the header and the length of each iteration")
    _add(commands, "verify", "check every length and checksum, without decoding")
    _add_truncate(commands)
    _add_encode(commands)
    _add_decode(commands)

    _add_view(commands)
    _add_compare(commands)

    doctor = commands.add_parser("doctor", help="show versions, models and registration, and report problems")
    doctor.add_argument("--run", action="store_true", help="also encode and decode a small image on each device")
    doctor.add_argument("--json", action="store_true", help="print JSON")

    autoload = commands.add_parser(
        "autoload", help="register the format in every program of this Python environment, or stop doing so"
    )
    autoload.add_argument("action", choices=["enable", "disable", "status"])
    autoload.add_argument("--json", action="store_true", help="print JSON")
    return parser


def _add_truncate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    truncate = _add(commands, "truncate", "truncate files to fewer iterations, without decoding")
    _add_output(truncate)
    rate = truncate.add_mutually_exclusive_group(required=True)
    rate.add_argument("-i", "--iterations", type=int, metavar="N", help="number of iterations to keep")
    rate.add_argument(
        "--target-size", type=_BYTES, metavar="BYTES", help="largest size of the file, such as 50000 or 50k"
    )


def _add_encode(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    encode = _add(commands, "encode", "write images of any format as .rnc", path_or_url)
    _add_output(encode)
    _add_work(encode)
    _add_folder(encode)
    rate = encode.add_mutually_exclusive_group()
    rate.add_argument(
        "-i",
        "--iterations",
        type=_COUNT_OR_KEEP,
        metavar="N",
        help="iterations to store, 1 to 32, or the word keep: as many as an .rnc input has",
    )
    rate.add_argument("-q", "--quality", type=float, help="0 to 100, mapped to iterations")
    rate.add_argument(
        "--target-size", type=_BYTES, metavar="BYTES", help="largest size of the file, such as 50000 or 50k"
    )
    rate.add_argument("--target-bpp", type=float, metavar="BPP", help="largest size of the file in bits per pixel")
    rate.add_argument("--target-psnr", type=float, metavar="DB", help="fewest iterations that reach this PSNR")
    rate.add_argument("--lossless", action=_Lossless, nargs=0, help=argparse.SUPPRESS)
    _add_resize(encode)
    encode.add_argument("--alpha-quality", type=float, metavar="Q", help="0 to 100; 100 is lossless (default)")
    encode.add_argument(
        "--strip",
        action="append",
        default=[],
        choices=["exif", "xmp", "icc", "comment", "all"],
        help="omit metadata of this kind; may be repeated",
    )


def _add_decode(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    decode = _add(commands, "decode", "write .rnc files in another format", path_or_url)
    _add_output(decode)
    _add_work(decode)
    _add_folder(decode)
    decode.add_argument(
        "-f", "--format", help="output format or extension, such as PNG or jpg; by default that of the output's name"
    )
    decode.add_argument("-i", "--iterations", type=int, metavar="N", help="decode at most this many")
    decode.add_argument(
        "--region", type=_REGION, metavar="L,U,R,B", help="decode only this box, in pixels; also as WxH+X+Y"
    )
    scaled = decode.add_mutually_exclusive_group()
    scaled.add_argument(
        "--size", type=_PAIR, metavar="WxH", help="scale down to fit; without alpha, small sizes need fewer iterations"
    )
    _add_resize(scaled)
    decode.add_argument(
        "--allow-truncated", action="store_true", help="decode the complete iterations of a truncated file"
    )
    decode.add_argument(
        "--steps", action="store_true", help="write the image after each iteration, with the number added to the name"
    )


def _add_resize(command: argparse._ActionsContainer) -> None:
    command.add_argument(
        "--resize",
        type=resizing.parsed,
        metavar="WxH",
        help="scale up or down to this size in pixels, where 0 for one side keeps the aspect ratio; also N%%",
    )


def _add_view(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    view = _add(commands, "view", "show files in the browser at every iteration, decoded by the page itself")
    view.add_argument("-o", "--page", type=Path, help="write the page there, and do not open it")
    view.add_argument("--model", help=".safetensors file of a model that is not installed")


def _add_compare(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    compare = commands.add_parser(
        "compare",
        help="write a page that compares images at every rate with JPEG, WebP and AVIF of the same size",
        description="Needs the extra 'eval'. The page is one file, works offline and decodes .rnc files. "
        "This takes some minutes per megapixel, most of them to find the AVIF file of the same size.",
    )
    compare.set_defaults(usage_error=compare.error)
    compare.add_argument("files", nargs="+", type=Path, metavar="FILE", help="images of any format")
    compare.add_argument("-o", "--page", type=Path, default=Path("compare.html"), help="default: %(default)s")
    compare.add_argument(
        "-i",
        "--iterations",
        type=iteration_counts,
        default=tuple(range(1, 17)),
        metavar="1,2,...",
        help="iteration counts to show, such as 1-8,12,16 (default: 1-16)",
    )
    compare.add_argument(
        "--peers",
        default="jpeg420,webp,avif",
        metavar="NAMES",
        help="codecs to compare with, or none (default: %(default)s)",
    )
    compare.add_argument(
        "--max-pixels",
        type=int,
        default=1_000_000,
        metavar="N",
        help="scale larger images down before anything is measured (default: %(default)s)",
    )
    compare.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="store the measurements of other codecs here for later runs",
    )
    compare.add_argument(
        "--model",
        action="append",
        help="name, id, or .safetensors file of a model; if repeated, further models are shown at no more bytes than "
        "the first",
    )
    compare.add_argument("--json", action="store_true", help="print JSON")
    compare.add_argument("--quiet", action="store_true", help="print errors only, and no progress")


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    text: str,
    type_of_file: Callable[[str], Path | str] = Path,
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text)
    command.set_defaults(usage_error=command.error)  # which prints the usage of this command
    files_help = (
        "- is standard input" if type_of_file is Path else "- is standard input; or one folder, or its fsspec URL"
    )
    command.add_argument("files", nargs="+", type=type_of_file, metavar="FILE", help=files_help)
    command.add_argument("--json", action="store_true", help="print one JSON object per file")
    command.add_argument("--quiet", action="store_true", help="print errors only, and no progress")
    return command


class _Lossless(argparse.Action):
    """Says what to use instead of an option that other encoders have."""

    def __call__(self, parser: argparse.ArgumentParser, *_arguments: object, **_named: object) -> None:
        parser.error("--lossless: the format is lossy; use --quality 100 for the most that it holds, or PNG or WebP")


class _Output(argparse.Action):
    """Keeps beside the path whether it ended with a slash, which a path forgets."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        _option: str | None = None,
    ) -> None:
        text = str(values)
        namespace.output = path_or_url(text)
        namespace.output_is_folder = text.endswith(("/", os.sep))


def _add_output(command: argparse.ArgumentParser) -> None:
    command.set_defaults(output_is_folder=False)
    command.add_argument(
        "-o", "--output", action=_Output, help="file, folder, or - for standard output; by default beside the input"
    )
    command.add_argument("--no-overwrite", action="store_true", help="never replace a file")
    command.add_argument("-k", "--keep-going", action="store_true", help="continue with the next file after an error")


def _add_work(command: argparse.ArgumentParser) -> None:
    workers = command.add_mutually_exclusive_group()
    workers.add_argument(
        "-j", "--jobs", type=_JOBS, default=1, metavar="N", help="work on N files concurrently; 0 is one for each core"
    )
    workers.add_argument(
        "--dask", metavar="ADDRESS", help="use the Dask cluster of this scheduler, such as tcp://host:8786"
    )
    command.add_argument("--model", help="name, id, or .safetensors file of a model")
    command.add_argument("--device", help="cpu (default), or a device of torch such as cuda")


def _add_folder(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--manifest",
        type=Path,
        metavar="FILE",
        help="for a folder: JSON lines, one per input; by default manifest.jsonl in a local folder of outputs",
    )


def path_or_url(text: str) -> Path | str:
    """Return a local path, or a URL unchanged, because a path would merge its slashes."""
    return text if "://" in text else Path(text)


def _checked(parse: Callable[[str], _Value], allowed: str) -> Callable[[str], _Value]:
    """Return a type of arguments whose error states what is allowed; that of argparse names the function."""

    def checked(text: str) -> _Value:
        try:
            return parse(text)
        except (ValueError, OverflowError) as error:
            raise argparse.ArgumentTypeError(f"{text} is not allowed, give {allowed}") from error

    return checked


def _size(text: str) -> int:
    number = text.rstrip("kKmMiI")
    unit = text[len(number) :].lower()
    return int(float(number) * _SIZE_UNITS[unit]) if unit in _SIZE_UNITS else int(text)


def _count_or_keep(text: str) -> int | str:
    return text if text == "keep" else int(text)


def _jobs(text: str) -> int:
    jobs = int(text)
    if jobs < 0:
        raise ValueError
    return jobs


def _region(text: str) -> tuple[int, ...]:
    if "x" not in text:
        return tuple(int(side) for side in text.split(","))
    size, left, upper = text.split("+")
    width, height = _pair(size)
    return int(left), int(upper), int(left) + width, int(upper) + height


def _pair(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    if min(width, height) < 1:
        raise ValueError
    return width, height


_BYTES = _checked(_size, "bytes, such as 50000, 50k or 50Ki")
_COUNT_OR_KEEP = _checked(_count_or_keep, f"1 to {MAX_ITERATIONS}, or keep")
_JOBS = _checked(_jobs, "an integer of at least 0")
_REGION = _checked(_region, "L,U,R,B or WxH+X+Y in pixels")
_PAIR = _checked(_pair, "WxH in pixels, such as 800x600")
