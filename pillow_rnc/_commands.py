"""The commands of ``rnc``, one function each: a file in, a record of what was done out.

`info`, `verify` and `truncate` load neither torch nor numpy.
Whatever is written goes to a temporary file first, so a failed run never harms an old file.
"""

from __future__ import annotations

import importlib.metadata
import platform
from typing import TYPE_CHECKING, Any

from PIL import Image

from pillow_rnc import _files, weights
from pillow_rnc._open import open_image
from pillow_rnc._output import replacing
from pillow_rnc.errors import RncOptionError
from pillow_rnc.RncImagePlugin import EXTENSION, FORMAT

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

Record = dict[str, Any]

_STRIPPED = {"icc": "icc_profile", "exif": "exif", "xmp": "xmp", "comment": "comment"}
_LIBRARIES = ("pillow-rnc", "pillow", "torch", "numpy", "constriction", "construct", "safetensors")


def info(path: Path, _arguments: argparse.Namespace) -> Record:
    """Return what the header says and how long each iteration is."""
    return dict(_files.info(path))


def verify(path: Path, _arguments: argparse.Namespace) -> Record:
    """Compare every checksum."""
    _files.check(path)
    return {"verified": True}


def truncate(path: Path, arguments: argparse.Namespace) -> Record:
    """Cut a file without decoding it."""
    target = target_path(path, EXTENSION, arguments)
    kept = _files.truncate(path, target, iterations=arguments.iterations, target_size=arguments.target_size)
    return {"output": str(target), "iterations": kept, "file_bytes": target.stat().st_size}


def encode(path: Path, arguments: argparse.Namespace) -> Record:
    """Write a picture of any format as `.rnc`."""
    target = target_path(path, EXTENSION, arguments)
    params = {
        name: getattr(arguments, name)
        for name in ("iterations", "quality", "target_size", "target_bpp", "target_psnr", "model", "device")
        if getattr(arguments, name) is not None
    }
    kinds = _STRIPPED if "all" in arguments.strip else arguments.strip
    params |= {_STRIPPED[kind]: None for kind in kinds}
    with Image.open(path) as im, replacing(target) as temporary:
        im.save(temporary, FORMAT, **params)
    said = _files.info(target)
    return {
        "output": str(target),
        "iterations": said["iterations"],
        "file_bytes": said["file_bytes"],
        "input_bytes": path.stat().st_size,
        "bpp": said["bpp"],
    }


def decode(path: Path, arguments: argparse.Namespace) -> Record:
    """Write an `.rnc` file in another format, chosen by the name of the output."""
    target = target_path(path, ".png", arguments)
    with open_image(
        path,
        iterations=arguments.iterations,
        region=arguments.region,
        device=arguments.device or "cpu",
        allow_truncated=arguments.allow_truncated,
    ) as im:
        im.load()
        # Most formats of Pillow store only what they are given, and without EXIF a picture may lie on its side.
        metadata = {name: im.info[name] for name in ("exif", "icc_profile", "xmp", "dpi") if name in im.info}
        with replacing(target) as temporary:
            im.save(temporary, **metadata)
        return {"output": str(target), "iterations": im.iterations, "width": im.width, "height": im.height}


def doctor() -> Record:
    """Return what is installed, and whether the format is registered."""
    record: Record = {"python": platform.python_version(), "platform": platform.platform()}
    for library in _LIBRARIES:
        try:
            record[library] = importlib.metadata.version(library)
        except importlib.metadata.PackageNotFoundError:
            record[library] = None
    record["registered"] = FORMAT in Image.SAVE and FORMAT in Image.OPEN
    record["models"] = {release.name: release.model_id.hex() for release in weights.releases()}
    return record


def target_path(path: Path, suffix: str, arguments: argparse.Namespace) -> Path:
    """Return where the output for one input goes: the given file, a folder, or beside the input.

    Raises:
        RncOptionError: The output exists and must not be replaced, or is the input itself without being asked for.
    """
    output: Path | None = arguments.output
    if output is None:
        target = path.with_suffix(suffix)
        if target == path:
            raise RncOptionError(f"output for {path} is the input itself, name it with --output")
    else:
        target = output / path.with_suffix(suffix).name if output.is_dir() else output
    if arguments.no_overwrite and target.exists():
        raise RncOptionError(f"output {target} exists")
    return target
