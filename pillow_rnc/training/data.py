"""Training photographs: read once from a folder or a pack, some of them held out for validation.

A pack is a zip file of the photographs as they are: one file to carry to another machine. It is written by
``python -m pillow_rnc.training.pack``.
"""

from __future__ import annotations

import hashlib
import logging
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

_log = logging.getLogger(__name__)
HELD_OUT_SHARE = 0.05
"""Part of the photographs that is kept for validation, and for measuring released models."""
_DEEP_MODES = ("I", "F")  # more than 8 bits a channel: converting would clip them


@dataclass(frozen=True, slots=True)
class Photographs:
    """Pixels uint8 [H, W, 3] to train on and held out, and the files that could not be read."""

    training: list[NDArray[np.uint8]]
    held_out: list[NDArray[np.uint8]]
    skipped: list[str]


class SourceFile(NamedTuple):
    """A file of a folder or pack: its name without folders, its label in messages, and how to open it."""

    name: str
    label: str
    open: Callable[[], IO[bytes]]


def is_held_out(name: str, share: float = HELD_OUT_SHARE) -> bool:
    """Return whether a file of this name is kept for validation, on every machine.

    Fixed by the name without its suffix: the same photograph in another file format stays on its side.
    """
    digest = int.from_bytes(hashlib.sha256(PurePosixPath(name).stem.encode()).digest()[:4], "big")
    return digest < share * 2**32


def source_files(source: Path) -> Iterator[SourceFile]:
    """Yield every file of a folder, searched recursively, or of a pack, in the order of their paths.

    Raises:
        FileNotFoundError: There is no such folder or file.
        zipfile.BadZipFile: The file is not a pack.
    """
    if not source.is_dir():
        with zipfile.ZipFile(source) as pack:
            for member in sorted(pack.namelist()):
                if not member.endswith("/"):
                    yield SourceFile(PurePosixPath(member).name, f"{source}/{member}", lambda m=member: pack.open(m))  # type: ignore[misc]
        return
    for path in sorted(p for p in source.rglob("*") if p.is_file()):
        yield SourceFile(path.name, str(path), lambda p=path: p.open("rb"))  # type: ignore[misc]


def read_pixels(file: SourceFile) -> NDArray[np.uint8] | None:
    """Return the pixels uint8 [H, W, 3] of a file; None, and a warning that names it, if it is not a valid image."""
    try:
        with file.open() as data, Image.open(data) as image:
            if image.mode.startswith(_DEEP_MODES):
                _log.warning("skipped %s: mode %s has more than 8 bits", file.label, image.mode)
                return None
            return np.asarray(image.convert("RGB"))
    except (OSError, EOFError, SyntaxError, ValueError, zipfile.BadZipFile, Image.DecompressionBombError) as error:
        _log.warning("skipped %s: %s", file.label, error)
        return None


def load_photographs(source: Path, *, smallest_px: int, held_out_share: float = HELD_OUT_SHARE) -> Photographs:
    """Read every image of a folder or pack.

    Args:
        source: A folder, searched recursively, or a pack. Files that are not images are named in a warning and
            counted.
        smallest_px: Images with a shorter side are skipped.
        held_out_share: Part of the files kept for validation, by name.

    Raises:
        FileNotFoundError: The folder holds no usable image.
    """
    photographs = Photographs([], [], [])
    for file in source_files(source):
        pixels = read_pixels(file)
        if pixels is not None and min(pixels.shape[:2]) < smallest_px:
            height, width = pixels.shape[:2]
            _log.warning("skipped %s: %dx%d, smaller than %d", file.label, width, height, smallest_px)
            pixels = None
        if pixels is None:
            photographs.skipped.append(file.label)
        else:
            held_out = is_held_out(file.name, held_out_share)
            (photographs.held_out if held_out else photographs.training).append(pixels)
    if not photographs.training:
        msg = f"{source}: no usable image of at least {smallest_px} pixels a side, {len(photographs.skipped)} skipped"
        raise FileNotFoundError(msg)
    return photographs
