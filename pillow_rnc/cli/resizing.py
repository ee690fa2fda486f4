"""The option ``--resize`` of ``rnc``: the size of an image after encoding or decoding, as in ``cwebp -resize``."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from PIL import Image

from pillow_rnc.container.records import MAX_SIDE
from pillow_rnc.plugin.exif import EXIF_PREFIX, without_thumbnail

_ALLOWED = (
    f"give WxH in pixels, 1 to {MAX_SIDE} each, with 0 for one of them to keep the aspect ratio, or a percentage "
    "such as 50%"
)
_WITHOUT_SHADES = {"1": "L", "P": "RGB", "PA": "RGBA"}
"""Modes whose values cannot be interpolated, and what images of them become."""
_WITH_ALPHA = {"L": "LA", "RGB": "RGBA"}
"""What images become in which a value stands for "transparent", as that cannot be interpolated either."""


@dataclass(frozen=True, slots=True)
class Resize:
    """A size in pixels, or a share of the size of an image.

    Attributes:
        width: In pixels; 0 to keep the aspect ratio.
        height: In pixels; 0 to keep the aspect ratio.
        percent: In place of both, of the width and the height; None for a size in pixels.
    """

    width: int = 0
    height: int = 0
    percent: float | None = None

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height of an image of so many pixels afterwards, at least 1 each."""
        if self.percent is not None:
            wanted = width * self.percent / 100, height * self.percent / 100
        else:
            wanted = self.width or width * self.height / height, self.height or height * self.width / width
        across, down = (min(max(round(side), 1), MAX_SIDE) for side in wanted)
        return across, down


def parsed(text: str) -> Resize:
    """Return what ``--resize`` is given.

    Raises:
        argparse.ArgumentTypeError: It is neither a size nor a percentage.
    """
    try:
        if text.endswith("%"):
            percent = float(text[:-1])
            if 0 < percent <= 100 * MAX_SIDE:
                return Resize(percent=percent)
        else:
            width, height = (int(side) for side in text.split("x"))
            if min(width, height) >= 0 and 0 < max(width, height) <= MAX_SIDE:
                return Resize(width, height)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text} is not allowed, {_ALLOWED}")


def resize(im: Image.Image, wanted: Resize) -> None:
    """Scale an image in place by Lanczos' filter, as `Image.thumbnail` does; resolution and orientation are kept.

    The size is that of the pixels as they are stored, before an orientation of Exif is applied.
    """
    size = wanted.size(*im.size)
    if size == im.size:
        return
    im.load()  # alpha of a palette may be known only then
    mode = _WITHOUT_SHADES.get(im.mode, im.mode)
    if mode in _WITH_ALPHA and im.has_transparency_data:
        mode = _WITH_ALPHA[mode]
    scaled = (im if mode == im.mode else im.convert(mode)).resize(size, Image.Resampling.LANCZOS)
    if mode != im.mode:
        im.info.pop("transparency", None)
        im.palette = None
    im.im = scaled.im
    im._size = size  # noqa: SLF001
    im._mode = scaled.mode  # noqa: SLF001
    im.readonly = 0
    remove_thumbnail(im)


def remove_thumbnail(im: Image.Image) -> None:
    """Remove the thumbnail from the Exif of an image that it does not show any more."""
    if "exif" in im.info:
        im.info["exif"] = EXIF_PREFIX + without_thumbnail(im.info["exif"].removeprefix(EXIF_PREFIX))
