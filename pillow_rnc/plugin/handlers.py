"""Handlers in Pillow's registry, which import the plugin when first called.

A program that imports `pillow_rnc` loads the codec only when it opens or saves its first file.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from PIL import Image

from pillow_rnc.container.signature import SIGNATURE
from pillow_rnc.fork_safety import importing
from pillow_rnc.plugin.format_names import EXTENSION, FORMAT, MIME_TYPE

if TYPE_CHECKING:
    from pillow_rnc.plugin.image_file import RncImageFile


def register() -> None:
    """Register the format with Pillow; calling it again changes nothing."""
    Image.register_open(FORMAT, open_file, _accept)
    Image.register_save(FORMAT, _save)
    Image.register_save_all(FORMAT, _save_all)
    Image.register_extension(FORMAT, EXTENSION)
    Image.register_mime(FORMAT, MIME_TYPE)


def open_file(fp: IO[bytes], filename: str | bytes) -> RncImageFile:
    """Return the image of a file, as Pillow asks for it."""
    with importing:
        from pillow_rnc.plugin.image_file import RncImageFile

    return RncImageFile(fp, filename)


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(SIGNATURE)


def _save(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    with importing:
        from pillow_rnc.plugin import saving

    saving.save(im, fp, filename)


def _save_all(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    with importing:
        from pillow_rnc.plugin import saving

    saving.save_all(im, fp, filename)
