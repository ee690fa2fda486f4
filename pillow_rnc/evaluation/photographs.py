"""Finds and opens the images to measure, as plain 8-bit RGB without metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING

from PIL import Image, ImageOps

if TYPE_CHECKING:
    from pathlib import Path

# Every mode whose pixels `convert("RGB")` keeps at 8 bits; transparency is dropped.
_EIGHT_BIT_MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"})


def find_photographs(path: Path) -> list[Path]:
    """Return the image files of a folder in the order of their names, or the file itself.

    An image file is one whose extension Pillow can open; subfolders are not entered.

    Raises:
        FileNotFoundError: There is nothing at ``path``, or no image in the folder.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        msg = f"no such file or folder: {path}"
        raise FileNotFoundError(msg)
    known = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
    found = sorted(
        entry
        for entry in path.iterdir()
        if entry.suffix.lower() in known and entry.is_file() and not entry.name.startswith(".")
    )
    if not found:
        msg = f"no image in {path}"
        raise FileNotFoundError(msg)
    return found


def load_photograph(path: Path) -> Image.Image:
    """Return the image upright, in mode RGB, without metadata.

    Raises:
        OSError: Pillow cannot read the file.
        ValueError: The image is not 8-bit, or beyond Pillow's pixel limit.
    """
    try:
        with Image.open(path) as opened:
            if opened.mode not in _EIGHT_BIT_MODES:
                msg = f"mode {opened.mode} is not 8-bit"
                raise ValueError(msg)
            upright = ImageOps.exif_transpose(opened)
            return plain(upright.convert("RGB"))
    except (SyntaxError, EOFError) as error:  # some readers report damage so
        raise OSError(str(error)) from error
    except Image.DecompressionBombError as error:
        raise ValueError(str(error)) from error


def plain(image: Image.Image) -> Image.Image:
    """Return a copy without ICC profile, EXIF and the like, which would cost bytes in files."""
    return Image.frombytes(image.mode, image.size, image.tobytes())
