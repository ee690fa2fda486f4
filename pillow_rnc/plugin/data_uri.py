"""Images embedded in HTML: lossless data URIs, of images that are not too large for a page."""

from __future__ import annotations

import base64
from io import BytesIO

from PIL import Image, features

_WEBP_MAX_SIDE_PX = 16383


def data_uri(data: bytes, mime_type: str) -> str:
    """Return a URI with the contents of a file."""
    return f"data:{mime_type};base64,{base64.b64encode(data).decode('ascii')}"


def lossless_data_uri(image: Image.Image) -> str:
    """Return a lossless URI of an image of mode L, LA, RGB or RGBA: WebP where Pillow supports it, else PNG."""
    file = BytesIO()
    if features.check("webp") and max(image.size) <= _WEBP_MAX_SIDE_PX:
        image.save(file, "WEBP", lossless=True, quality=50, method=4)
        return data_uri(file.getvalue(), "image/webp")
    image.save(file, "PNG")
    return data_uri(file.getvalue(), "image/png")


def within_pixels(image: Image.Image, max_pixels: int) -> Image.Image:
    """Return the image, scaled down to at most `max_pixels` pixels if it has more; the aspect ratio is kept."""
    if image.width * image.height <= max_pixels:
        return image
    factor = (max_pixels / (image.width * image.height)) ** 0.5
    width, height = max(1, int(image.width * factor)), max(1, int(image.height * factor))
    if width == 1 or height == 1:  # one side cannot shrink further, so the factor was too mild
        width, height = min(width, max_pixels), min(height, max_pixels)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3)
