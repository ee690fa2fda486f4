"""Matrix profiles of known colour spaces, made here, and what LittleCMS makes of them."""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING

import numpy as np
from PIL import ImageCms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

_D50 = (0.9642, 1.0, 0.8249)
_D65 = (0.3127, 0.3290)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
SRGB_CURVE = b"para" + struct.pack(
    ">IHH5i", 0, 3, 0, *(round(65536 * v) for v in (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045))
)


def gamma(value: float) -> bytes:
    return b"curv" + struct.pack(">IIH", 0, 1, round(256 * value)) + b"\0\0"


def table(values: Sequence[float]) -> bytes:
    return b"curv" + struct.pack(f">II{len(values)}H", 0, len(values), *(round(65535 * v) for v in values))


def _s15(values: Sequence[float]) -> bytes:
    return struct.pack(f">{len(values)}i", *(round(65536 * v) for v in values))


def profile(
    curve: bytes, primaries: Sequence[tuple[float, float]], white: tuple[float, float] = _D65, space: bytes = b"RGB "
) -> bytes:
    """Return an ICC profile of version 4 with a matrix, or for grey with a curve alone."""
    tags = {b"wtpt": b"XYZ \0\0\0\0" + _s15(_D50)}
    if space == b"GRAY":
        tags[b"kTRC"] = curve
    else:
        columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in primaries]).T
        target = np.array([white[0] / white[1], 1, (1 - sum(white)) / white[1]])
        columns = columns * np.linalg.solve(columns, target)
        scale = (_BRADFORD @ _D50) / (_BRADFORD @ target)
        columns = np.linalg.inv(_BRADFORD) @ np.diag(scale) @ _BRADFORD @ columns
        for index, name in enumerate((b"r", b"g", b"b")):
            tags[name + b"XYZ"] = b"XYZ \0\0\0\0" + _s15(columns[:, index].tolist())
            tags[name + b"TRC"] = curve
    body, entries = b"", b""
    start = 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        entries += name + struct.pack(">II", start + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(
        ">I4sI4s4s4s12s4s", start + len(body), b"none", 0x04300000, b"mntr", space, b"XYZ ", bytes(12), b"acsp"
    )
    head = head.ljust(68, b"\0") + _s15(_D50)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + entries + body


DISPLAY_P3 = profile(SRGB_CURVE, [(0.68, 0.32), (0.265, 0.69), (0.15, 0.06)])
SRGB = profile(SRGB_CURVE, [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)])
ADOBE_RGB = profile(gamma(2.19921875), [(0.64, 0.33), (0.21, 0.71), (0.15, 0.06)])
PROPHOTO = profile(gamma(1.8), [(0.7347, 0.2653), (0.1596, 0.8404), (0.0366, 0.0001)], (0.3457, 0.3585))
"""Wider than both spaces of a canvas, so colours are clipped."""
LINEAR_SRGB = profile(table([0.0, 1.0]), [(0.64, 0.33), (0.30, 0.60), (0.15, 0.06)])
GREY = profile(gamma(1.8), [], space=b"GRAY")


def converted(image: Image.Image, source: bytes, target: bytes) -> Image.Image:
    """Return what LittleCMS makes of an image, colorimetrically."""
    found = ImageCms.profileToProfile(
        image,
        ImageCms.ImageCmsProfile(io.BytesIO(source)),
        ImageCms.ImageCmsProfile(io.BytesIO(target)),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
    )
    assert found is not None
    return found
