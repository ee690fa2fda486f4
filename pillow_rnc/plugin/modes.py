"""Conversion between Pillow's modes and the pixels of the codec, with alpha.

The four native modes are L, LA, RGB and RGBA.
Others are converted if no value is lost that 8 bits can represent; the rest is rejected by name.
numpy is imported inside the functions that need it, so that opening a file does not load it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillow_rnc.container.records import MAX_SIDE, MODES
from pillow_rnc.errors import RncOptionError
from pillow_rnc.fork_safety import importing

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray
    from PIL import Image

_OPAQUE = 255
_WITHOUT_ALPHA = {"LA": "L", "RGBA": "RGB"}
_WITH_ALPHA = {"L": "LA", "RGB": "RGBA"}
_CONVERTED_TO = {
    "1": "L",
    "P": "RGB",
    "PA": "RGBA",
    "La": "LA",
    "RGBa": "RGBA",
    "RGBX": "RGB",
    "CMYK": "RGB",
    "YCbCr": "RGB",
    "HSV": "RGB",
    "LAB": "RGB",
}
# A palette entry or a colour may stand for "transparent" in these.
_MAY_HAVE_TRANSPARENCY = ("1", "L", "P", "RGB")
# Their ICC profile describes another colour space than that of the stored colours.
_OTHER_COLOUR_SPACES = ("CMYK", "YCbCr", "HSV", "LAB")


def native_mode(im: Image.Image) -> str:
    """Return the native mode in which an image is stored.

    Raises:
        OSError: The mode has no 8-bit equivalent, such as I;16.
        ValueError: The image is empty.
        RncOptionError: A side exceeds the limit of the format.
    """
    mode = im.mode if im.mode in MODES else _CONVERTED_TO.get(im.mode)
    if mode is None:
        msg = f"cannot write mode {im.mode} as RNC"
        raise OSError(msg)
    if min(im.size) < 1:
        msg = "cannot write empty image as RNC"
        raise ValueError(msg)
    if max(im.size) > MAX_SIDE:
        msg = f"image size {im.width}x{im.height} is not allowed, RNC holds 1 to {MAX_SIDE} pixels a side"
        raise RncOptionError(msg)
    if im.mode in _MAY_HAVE_TRANSPARENCY and im.has_transparency_data:
        return _WITH_ALPHA[mode]
    return mode


def keeps_colour_space(im: Image.Image) -> bool:
    """Whether the ICC profile of an image still describes the stored colours."""
    return im.mode not in _OTHER_COLOUR_SPACES


def icc_colour_space(profile: bytes) -> str | None:
    """Return the colour space of an ICC profile as the first letter of a native mode; empty for a space of no mode.

    None if the bytes are not an ICC profile.  Source: ICC.1:2022, section 7.2.
    """
    if profile[36:40] != b"acsp":
        return None
    return {b"RGB ": "R", b"GRAY": "L"}.get(profile[16:20], "")


def to_pixels(im: Image.Image, mode: str) -> tuple[NDArray[uint8], NDArray[uint8] | None]:
    """Return the colours of an image for the codec, and its alpha plane.

    Args:
        im: A loaded image.
        mode: Its native mode, see `native_mode`.

    Returns:
        uint8 [height, width, 3], in mode L and LA with three equal channels; and
        uint8 [height, width], or None if every pixel is opaque.
    """
    with importing:
        import numpy as np

    native = im if im.mode == mode else im.convert(mode)
    alpha = np.asarray(native.getchannel("A")) if mode in _WITHOUT_ALPHA else None
    if alpha is not None and bool((alpha == _OPAQUE).all()):
        alpha = None
    # Channel by channel, so that the colours of transparent pixels are stored unchanged.
    colours = [np.asarray(native.getchannel(band)) for band in _WITHOUT_ALPHA.get(mode, mode)]
    return np.ascontiguousarray(np.stack(colours * (3 // len(colours)), axis=-1)), alpha


def from_pixels(pixels: NDArray[uint8], alpha: NDArray[uint8] | None, mode: str) -> NDArray[uint8]:
    """Return the samples of an image in the order of Pillow's raw decoder.

    Args:
        pixels: uint8 [height, width, 3], or [height, width] in mode L and LA.
        alpha: uint8 [height, width], or None for opaque.
        mode: Native mode of the image.

    Returns:
        uint8 [height, width, bands], or [height, width] in mode L.
    """
    with importing:
        import numpy as np

    if mode not in _WITHOUT_ALPHA:
        return pixels
    plane = np.full(pixels.shape[:2], _OPAQUE, np.uint8) if alpha is None else alpha
    return np.dstack((pixels, plane))
