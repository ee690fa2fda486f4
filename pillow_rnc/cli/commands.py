"""The commands of ``rnc`` for files, one function each: a file in, a record of what was done out.

`info`, `verify` and `truncate` load neither torch nor numpy.
Whatever is written goes to a temporary file first, so a failed run never harms an old file.
"""

from __future__ import annotations

import struct
import sys
import zlib
from collections import Counter
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from PIL import Image

from pillow_rnc.errors import RncError, RncOptionError
from pillow_rnc.models import weights
from pillow_rnc.plugin import files
from pillow_rnc.plugin.file_io import one_file, write_path, write_stream
from pillow_rnc.plugin.image_file import EXTENSION, FORMAT
from pillow_rnc.plugin.opening import open_image
from pillow_rnc.plugin.options import SaveOptions
from pillow_rnc.plugin.progressive import progressive
from pillow_rnc.plugin.validation import check_iterations

if TYPE_CHECKING:
    import argparse

    from pillow_rnc.plugin.image_file import RncImageFile

Record = dict[str, Any]

STANDARD_STREAM = Path("-")
"""Stands for standard input and standard output."""

_STRIPPED = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp", "comment": "comment"}
_DECODED_FORMAT = "PNG"

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
"""Whatever Pillow's plugins raise for a bad file or a bad option, beside our own."""


def error_record(error: BaseException) -> Record:
    """Return what is told of an error; some come without words."""
    name = type(error).__name__
    return {"error": str(error) or name, "error_type": name}


def info(path: Path, _arguments: argparse.Namespace) -> Record:
    """Return what the header says and how long each iteration is."""
    return dict(files.info(_source(path)))


def verify(path: Path, _arguments: argparse.Namespace) -> Record:
    """Compare every checksum."""
    files.check(_source(path))
    return {"verified": True}


def truncate(path: Path, arguments: argparse.Namespace) -> Record:
    """Cut a file without decoding it."""
    target = target_path(path, arguments)
    cut = BytesIO()
    kept = files.truncate(_source(path), cut, iterations=arguments.iterations, target_size=arguments.target_size)
    _write(target, cut.getvalue())
    return {"output": str(target), "iterations": kept, "file_bytes": len(cut.getvalue())}


def encode(path: Path, arguments: argparse.Namespace) -> Record:
    """Write a picture of any format as `.rnc`."""
    target = target_path(path, arguments)
    know_model(arguments.model)
    source = _source(path)
    data, record = encoded(source, arguments)
    _write(target, data)
    input_bytes = len(source.getbuffer()) if isinstance(source, BytesIO) else source.stat().st_size
    said = {
        "output": str(target),
        "iterations": record["iterations"],
        "file_bytes": len(data),
        "input_bytes": input_bytes,
        "bpp": record["bpp"],
    }
    if len(data) > input_bytes:
        said["warning"] = "larger than the input"
    return said


def encoded(source: Path | IO[bytes], arguments: argparse.Namespace) -> tuple[bytes, Record]:
    """Return an `.rnc` file made of a picture of any format, and its iterations, bits per pixel and model."""
    fp = BytesIO()
    with Image.open(source) as im:
        im.save(fp, FORMAT, **_save_params(arguments))
    return fp.getvalue(), said_of(fp)


def _save_params(arguments: argparse.Namespace) -> Record:
    params = {
        name: getattr(arguments, name)
        for name in ("iterations", "quality", "target_size", "target_bpp", "target_psnr", "alpha_quality", "device")
        if getattr(arguments, name) is not None
    }
    if arguments.model is not None:
        params["model"] = _model_name(arguments.model)
    kinds = _STRIPPED if "all" in arguments.strip else arguments.strip
    return params | {_STRIPPED[kind]: None for kind in kinds}


def decode(path: Path, arguments: argparse.Namespace) -> Record:
    """Write an `.rnc` file in another format, chosen by the name of the output or by ``--format``."""
    target = target_path(path, arguments)
    format_name = _format_of(target, arguments.format)
    know_model(arguments.model)
    if arguments.steps:
        return _decode_steps(path, target, format_name, arguments)
    with _opened(_source(path), arguments) as im:
        _load(im, arguments)
        _write(target, _as_format(im, format_name))
        return {"output": str(target), "iterations": im.iterations, "width": im.width, "height": im.height}


def decoded(source: IO[bytes], arguments: argparse.Namespace) -> tuple[bytes, Record]:
    """Return an `.rnc` file in another format, and its iterations, bits per pixel and model."""
    with _opened(source, arguments) as im:
        _load(im, arguments)
        return _as_format(im, arguments.format or _DECODED_FORMAT), said_of(source) | {"iterations": im.iterations}


def _opened(source: Path | IO[bytes], arguments: argparse.Namespace) -> RncImageFile:
    return open_image(
        source,
        iterations=arguments.iterations,
        region=arguments.region,
        device=arguments.device,
        allow_truncated=arguments.allow_truncated,
    )


def _load(im: Image.Image, arguments: argparse.Namespace) -> None:
    if arguments.size is not None:
        im.thumbnail(arguments.size)
    im.load()


def said_of(fp: IO[bytes]) -> Record:
    """Return what is worth telling of an `.rnc` file."""
    fp.seek(0)
    said = files.info(fp)
    return {"iterations": said["iterations"], "bpp": said["bpp"], "model": said["model"]}


def _decode_steps(path: Path, target: Path, format_name: str, arguments: argparse.Namespace) -> Record:
    """Write the picture after each iteration: ``a-01.png``, ``a-02.png``, ..."""
    if target == STANDARD_STREAM:
        raise RncOptionError("--steps writes several pictures, standard output holds one")
    written = []
    for done, im in enumerate(
        progressive(
            _source(path),
            iterations=arguments.iterations,
            region=arguments.region,
            device=arguments.device,
            allow_truncated=arguments.allow_truncated,
        ),
        1,
    ):
        step = target.with_stem(f"{target.stem}-{done:02}")
        _check_target(path, step, arguments)
        _load(im, arguments)
        _write(step, _as_format(im, format_name))
        written.append(str(step))
    return {"outputs": written, "iterations": len(written)}


def _format_of(target: Path, wanted: str | None) -> str:
    """Return the format of a decoded file: the wanted one, or what the name of the output says."""
    if wanted is not None or target == STANDARD_STREAM:
        return wanted or _DECODED_FORMAT
    found = Image.registered_extensions().get(target.suffix.lower())
    if found is None or found not in Image.SAVE:
        raise RncOptionError(
            f"output {target} is named like no format that this Pillow can write, give one by --format"
        )
    return found


def _as_format(im: Image.Image, format_name: str) -> bytes:
    fp = BytesIO()
    im.save(fp, format_name, **_kept_metadata(im))
    return fp.getvalue()


def _kept_metadata(im: Image.Image) -> Record:
    """Return what to save with a picture; most formats store only what they are given, and EXIF says what is up."""
    return {name: im.info[name] for name in ("exif", "icc_profile", "xmp", "dpi") if name in im.info}


def shared_outputs(arguments: argparse.Namespace) -> dict[Path, Path]:
    """Return the outputs that several of the files would have, by file."""
    if not hasattr(arguments, "output"):
        return {}
    targets: list[tuple[Path, Path, str]] = []
    for path in arguments.files:
        with suppress(*FILE_ERRORS):  # the command itself says what is wrong
            target = _named_target(path, arguments)
            targets.append((path, target, one_file(str(target.resolve()))))
    count = Counter(place for _, _, place in targets)
    return {path: target for path, target, place in targets if count[place] > 1}


def target_path(path: Path, arguments: argparse.Namespace) -> Path:
    """Return where the output for one input goes: the given file, a folder, or beside the input.

    Raises:
        RncOptionError: The output exists and must not be replaced, or is the input itself without being asked for.
    """
    target = _named_target(path, arguments)
    if not getattr(arguments, "steps", False):  # else the names of what is written are others
        _check_target(path, target, arguments)
    return target


def _named_target(path: Path, arguments: argparse.Namespace) -> Path:
    output: Path | None = arguments.output
    suffix = decoded_suffix(arguments.format) if arguments.command == "decode" else EXTENSION
    if output is None:
        return path if path == STANDARD_STREAM else path.with_suffix(suffix)
    if output.is_dir():
        name = "stdin" if path == STANDARD_STREAM else path.name
        return output / Path(name).with_suffix(suffix)
    return output


def _check_target(path: Path, target: Path, arguments: argparse.Namespace) -> None:
    if target == STANDARD_STREAM or not target.exists():
        return
    if arguments.no_overwrite:
        raise RncOptionError(f"output {target} exists")
    # A folder names no file.
    if path != STANDARD_STREAM and target != arguments.output and target.samefile(path):
        raise RncOptionError(f"output for {path} is the input itself, name it with --output")
    if arguments.command == "decode" and arguments.output is None:
        # Most likely the picture that was encoded, and what is decoded has lost something.
        raise RncOptionError(f"output {target} exists, name it with --output to replace it")


def _source(path: Path) -> Path | BytesIO:
    """Return what to read: the path, or all of standard input."""
    return BytesIO(sys.stdin.buffer.read()) if path == STANDARD_STREAM else path


def _write(target: Path, data: bytes) -> None:
    if target == STANDARD_STREAM:
        write_stream(sys.stdout.buffer, data)
    else:
        write_path(target, data)


def decoded_suffix(format_name: str | None) -> str:
    """Return how the name of a decoded file ends.

    Raises:
        RncOptionError: Pillow cannot write the format.
    """
    wanted = format_name or _DECODED_FORMAT
    for suffix, name in Image.registered_extensions().items():
        if name == wanted and name in Image.SAVE:
            return f".{wanted.lower()}" if f".{wanted.lower()}" in Image.EXTENSION else suffix
    raise RncOptionError(f"format {wanted} cannot be written by this Pillow")


def know_model(model: str | None) -> None:
    """Make the model known, if it is named by its file."""
    if model and model.endswith(".safetensors"):
        weights.register(model)


def check_options(arguments: argparse.Namespace) -> None:
    """Raise an RncError if encoding or decoding would fail with any file, as far as can be told without one."""
    know_model(arguments.model)
    if arguments.model is not None:
        weights.find(_model_name(arguments.model))
    if arguments.command == "encode":
        SaveOptions.from_encoderinfo(_save_params(arguments))
    elif arguments.iterations is not None:
        check_iterations(arguments.iterations)


def _model_name(model: str) -> str:
    return Path(model).stem if model.endswith(".safetensors") else model
