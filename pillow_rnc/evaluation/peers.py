"""The codecs to compare with: those of Pillow, and those of other packages, which are optional."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image, features

from pillow_rnc.evaluation.peer_packages import Heic, Jpegli, JpegXl, is_installed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pillow_rnc.evaluation.peer_packages import Package

_QUALITIES = tuple(range(1, 101))
_LIBRARIES = {"jpg": "libjpeg", "webp": "libwebp", "avif": "libavif", "jpg_2000": "OpenJPEG"}


@dataclass(frozen=True, slots=True)
class Peer:
    """A codec with the options that the comparison uses.

    The setting is what the codec calls quality, except for JPEG 2000: thousandths of a bit per pixel.
    """

    name: str
    label: str
    image_format: str
    feature: str  # what `PIL.features` calls the library of a codec of Pillow; empty for those of other packages
    options: tuple[tuple[str, object], ...]
    curve_settings: tuple[int, ...]
    search_settings: tuple[int, ...] = _QUALITIES
    package: Package | None = None  # None: Pillow

    def save_options(self, setting: int) -> dict[str, Any]:
        """Return the keywords of ``Image.save`` for a setting."""
        if self.image_format == "JPEG2000":
            return {**dict(self.options), "quality_layers": [24_000 / setting]}
        return {**dict(self.options), "quality": setting}

    def encode(self, image: Image.Image, setting: int) -> bytes:
        """Return the file of an RGB image."""
        if self.package is not None:
            return self.package.encode(image, dict(self.options), setting)
        file = io.BytesIO()
        image.save(file, self.image_format, **self.save_options(setting))
        return file.getvalue()

    def decode(self, file: bytes) -> Image.Image:
        """Return the image in a file, RGB."""
        if self.package is not None:
            return self.package.decode(file)
        with Image.open(io.BytesIO(file)) as opened:
            return opened.convert("RGB")

    def library(self) -> str:
        """Return name and version of the library that codes."""
        if self.package is not None:
            return self.package.library()
        if self.feature == "jpg" and features.check_feature("libjpeg_turbo"):
            return f"libjpeg-turbo {features.version_feature('libjpeg_turbo')}"
        return f"{_LIBRARIES[self.feature]} {features.version(self.feature)}"

    def settings(self, count: int | None = None) -> tuple[int, ...]:
        """Return at most ``count`` of the settings of the curve, spread evenly, the first and the last among them."""
        last = len(self.curve_settings) - 1
        if count is None or count > last:
            return self.curve_settings
        if count == 1:
            return self.curve_settings[last // 2 : last // 2 + 1]
        return tuple(self.curve_settings[round(index * last / (count - 1))] for index in range(count))


_JPEG_CURVE = (3, 4, 6, 8, 10, 13, 16, 20, 24, 28, 34, 40, 50, 60, 66, 72, 77, 82, 86, 90, 95)

PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer(
            "jpeg420",
            "JPEG 4:2:0",
            "JPEG",
            "jpg",
            (("subsampling", "4:2:0"), ("optimize", True)),
            _JPEG_CURVE,
        ),
        Peer(
            "jpeg444",
            "JPEG 4:4:4",
            "JPEG",
            "jpg",
            (("subsampling", "4:4:4"), ("optimize", True)),
            (1, *_JPEG_CURVE, 97, 98, 99),  # up to where no loss shows
        ),
        Peer(
            "webp",
            "WebP",
            "WEBP",
            "webp",
            (("method", 6),),
            (0, 1, 3, 5, 10, 16, 23, 30, 40, 50, 60, 70, 77, 82, 86, 90, 93),
            (0, *_QUALITIES),
        ),
        Peer(
            "avif",
            "AVIF",
            "AVIF",
            "avif",
            (("speed", 6), ("max_threads", 1)),
            (5, 10, 16, 23, 30, 38, 46, 54, 60, 66, 72, 77, 82, 86, 90),
            (0, *_QUALITIES),
        ),
        Peer(
            "jpeg2000",
            "JPEG 2000",
            "JPEG2000",
            "jpg_2000",
            # Without mct, which Pillow leaves off, the three channels are coded apart.
            (("quality_mode", "rates"), ("irreversible", True), ("mct", 1), ("num_resolutions", 6)),
            (100, 125, 188, 250, 375, 500, 625, 750, 1000, 1250, 1500, 1750, 2000, 2500),
            tuple(range(25, 3001, 25)),
        ),
        Peer(
            "jxl",
            "JPEG XL",
            "JXL",
            "",
            (("effort", 7),),
            (2, 6, 12, 20, 30, 40, 50, 60, 68, 75, 80, 84, 88, 91, 93, 95, 96),
            tuple(range(1, 100)),  # 100 is lossless
            package=JpegXl(),
        ),
        Peer(
            "heic",
            "HEIC",
            "HEIC",
            "",
            (("chroma", "420"),),
            (5, 10, 16, 22, 28, 34, 40, 46, 52, 58, 64, 70, 76),
            package=Heic(),
        ),
        Peer("jpegli", "JPEG by jpegli", "JPEG", "", (), _JPEG_CURVE, package=Jpegli()),
    )
}


def is_available(peer: Peer) -> bool:
    """Return whether this Pillow was built with the peer's library, or its package is installed."""
    return is_installed(peer.package) if peer.package is not None else bool(features.check(peer.feature))
