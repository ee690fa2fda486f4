"""Willow, which Wagtail uses: it identifies files by a list of its own.

Only opening is extensible: Willow's `Image.save` has a fixed list of formats, so files are written by
`image.save_as_rnc(f)`. Wagtail has further lists, see `contrib.wagtail`.
"""

from __future__ import annotations

from typing import IO, Any

import filetype
from PIL import Image as PillowFormats
from willow.image import INITIAL_IMAGE_CLASSES, ImageFile
from willow.plugins.pillow import PillowImage
from willow.registry import registry

from pillow_rnc.container.signature import SIGNATURE
from pillow_rnc.plugin.format_names import EXTENSION, FORMAT, MIME_TYPE
from pillow_rnc.plugin.handlers import register

_NAME = EXTENSION.removeprefix(".")


class RncWillowFile(ImageFile):  # type: ignore[misc]  # Willow has no types
    """An `.rnc` file in Willow."""

    format_name = _NAME
    mime_type = MIME_TYPE


class _Signature(filetype.Type):  # type: ignore[misc]  # nor has filetype
    """How `filetype`, the library that Willow uses, identifies the format."""

    MIME = MIME_TYPE
    EXTENSION = _NAME

    def __init__(self) -> None:
        super().__init__(mime=self.MIME, extension=self.EXTENSION)

    def match(self, buf: bytearray) -> bool:
        """Return whether a file begins with the signature."""
        return bytes(buf[: len(SIGNATURE)]) == SIGNATURE


def register_format() -> None:
    """Make Willow open `.rnc` files; calling it again changes nothing."""
    register()
    if _NAME in INITIAL_IMAGE_CLASSES:
        return
    filetype.add_type(_Signature())
    INITIAL_IMAGE_CLASSES[_NAME] = RncWillowFile
    registry.register_image_class(RncWillowFile)
    registry.register_converter(RncWillowFile, PillowImage, _opened)
    registry.register_operation(PillowImage, f"save_as_{_NAME}", _save)


def _opened(file: RncWillowFile) -> PillowImage:
    file.f.seek(0)
    image = PillowFormats.open(file.f, formats=[FORMAT])
    image.load()
    return PillowImage(image)


def _save(image: PillowImage, f: IO[bytes], *, apply_optimizers: bool = True, **options: Any) -> RncWillowFile:  # noqa: ANN401, ARG001 -- as Willow calls it
    image.image.save(f, FORMAT, **options)
    return RncWillowFile(f)
