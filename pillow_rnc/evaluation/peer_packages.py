"""Codecs of packages other than Pillow, each optional: what they need, encode, decode and are called.

A package is imported on first use. None of them registers itself with Pillow, so that nothing else in the process
changes.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Mapping


class Package(Protocol):
    """A package that codes RGB images."""

    project: str  # as `pip install` names it
    module: str

    def encode(self, image: Image.Image, options: Mapping[str, Any], setting: int) -> bytes:
        """Return the file of an RGB image."""

    def decode(self, file: bytes) -> Image.Image:
        """Return the image in a file, RGB."""

    def library(self) -> str:
        """Return name and version of the library that does the work."""


def is_installed(package: Package) -> bool:
    """Return whether the package can be imported."""
    return importlib.util.find_spec(package.module) is not None


class JpegXl:
    """JPEG XL by imagecodecs; the setting is the quality of ``cjxl -q``, 1 to 99."""

    project = "imagecodecs"
    module = "imagecodecs"

    def encode(self, image: Image.Image, options: Mapping[str, Any], setting: int) -> bytes:
        """Return the file of an RGB image."""
        import imagecodecs

        file = imagecodecs.jpegxl_encode(np.asarray(image), distance=self.distance(setting), numthreads=1, **options)
        return bytes(file)

    def decode(self, file: bytes) -> Image.Image:
        """Return the image in a file, RGB."""
        import imagecodecs

        return Image.fromarray(imagecodecs.jpegxl_decode(file, numthreads=1))

    def library(self) -> str:
        """Return name and version of the library that does the work."""
        import imagecodecs

        return str(imagecodecs.jpegxl_version())

    @staticmethod
    def distance(quality: int) -> float:
        """Return the distance, in multiples of a just noticeable difference, that libjxl takes for a quality.

        Source: ``JxlEncoderDistanceFromQuality`` of libjxl.
        """
        if quality >= 30:
            return 0.1 + (100 - quality) * 0.09
        return 53 / 3000 * quality * quality - 23 / 20 * quality + 25


class Heic:
    """HEIC by pillow-heif, which codes with x265; the setting is its quality, 1 to 100."""

    project = "pillow-heif"
    module = "pillow_heif"

    def encode(self, image: Image.Image, options: Mapping[str, Any], setting: int) -> bytes:
        """Return the file of an RGB image."""
        import pillow_heif

        file = io.BytesIO()
        pillow_heif.from_pillow(image).save(file, quality=setting, **options)
        return file.getvalue()

    def decode(self, file: bytes) -> Image.Image:
        """Return the image in a file, RGB."""
        import pillow_heif

        image: Image.Image = pillow_heif.open_heif(file).to_pillow().convert("RGB")
        return image

    def library(self) -> str:
        """Return name and version of the library that does the work."""
        import pillow_heif

        found = pillow_heif.libheif_info()
        return f"libheif {found['libheif']}, {found['HEIF']}"


class Jpegli:
    """JPEG by jpegli, 4:2:0; the setting is its quality, 1 to 100. Any JPEG decoder reads the files."""

    project = "pyjpegli"
    module = "pyjpegli"

    def encode(self, image: Image.Image, options: Mapping[str, Any], setting: int) -> bytes:
        """Return the file of an RGB image."""
        import pyjpegli

        return bytes(pyjpegli.encode(image.tobytes(), image.width, image.height, quality=setting, **options))

    def decode(self, file: bytes) -> Image.Image:
        """Return the image in a file, RGB."""
        with Image.open(io.BytesIO(file)) as opened:
            return opened.convert("RGB")

    def library(self) -> str:
        """Return name and version of the library that does the work."""
        return f"pyjpegli {importlib.metadata.version(self.project)}"
