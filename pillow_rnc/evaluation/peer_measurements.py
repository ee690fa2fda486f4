"""The measurements of one peer on one image.

They are kept in a folder of small JSON files: a peer's file does not change when our weights do. What can change it is
part of the key: pixels, options, library versions.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import PIL

from pillow_rnc.evaluation.curves import Point
from pillow_rnc.evaluation.metrics import Pixels, Scores, score

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

    from pillow_rnc.evaluation.peers import Peer


class PeerMeasurements:
    """The measurements of one peer on one image; every file is encoded at most once.

    Args:
        image: The original, RGB, without metadata.
        cache_folder: Where measurements are kept; None keeps none.
    """

    def __init__(self, image: Image.Image, peer: Peer, cache_folder: Path | None = None) -> None:
        self._image = image
        self._pixels: Pixels = np.asarray(image)
        self._peer = peer
        self._identity = _identity(self._pixels, peer)
        self._sizes: dict[int, int] = {}
        self._scores: dict[int, Scores] = {}
        self._changed = False
        self._path: Path | None = None
        if cache_folder is not None:
            digest = hashlib.sha256(json.dumps(self._identity, sort_keys=True).encode())
            self._path = cache_folder / f"{peer.name}-{digest.hexdigest()[:32]}.json"
            self._read(self._path)

    def point(self, setting: int) -> Point:
        """Return size and scores of the file of a setting."""
        if setting not in self._scores:
            file = self._peer.encode(self._image, setting)
            picture = np.asarray(self._peer.decode(file))
            self._sizes[setting] = len(file)
            self._scores[setting] = score(self._pixels, picture)
            self._changed = True
        size = self._sizes[setting]
        bpp = 8 * size / (self._image.width * self._image.height)
        return Point(setting, size, bpp, *self._scores[setting])

    def curve(self, count: int | None = None) -> list[Point]:
        """Return the points of the peer's curve settings, or of at most ``count`` of them."""
        return [self.point(setting) for setting in self._peer.settings(count)]

    def best_within(self, file_bytes: int) -> Point | None:
        """Return the point of the highest setting whose file has at most ``file_bytes``.

        Every setting is tried, as file sizes need not rise with each step. None when even
        the smallest file is larger.
        """
        fitting = [setting for setting in self._peer.search_settings if self._size(setting) <= file_bytes]
        return self.point(max(fitting)) if fitting else None

    def smallest_bytes(self) -> int:
        """Return the size of the smallest file that the peer makes of the image."""
        return min(self._size(setting) for setting in self._peer.search_settings)

    def encode(self, setting: int) -> bytes:
        """Return the file of a setting, encoded again."""
        return self._peer.encode(self._image, setting)

    def write(self) -> None:
        """Keep what was measured; an interrupted write leaves the earlier state.

        Raises:
            OSError: The cache folder cannot be written.
        """
        if self._path is None or not self._changed:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        record = {
            "identity": self._identity,
            "sizes": self._sizes,
            "scores": {setting: list(scores) for setting, scores in self._scores.items()},
        }
        scratch = self._path.with_name(f"{self._path.name}.{os.getpid()}")
        scratch.write_text(json.dumps(record), encoding="utf-8")
        scratch.replace(self._path)
        self._changed = False

    def _size(self, setting: int) -> int:
        if setting not in self._sizes:
            self._sizes[setting] = len(self._peer.encode(self._image, setting))
            self._changed = True
        return self._sizes[setting]

    def _read(self, path: Path) -> None:
        """Take over an earlier record; one that is missing or damaged counts as empty."""
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            if record["identity"] != self._identity:
                return
            sizes = {int(setting): int(size) for setting, size in record["sizes"].items()}
            scores = {int(setting): Scores(*map(float, v)) for setting, v in record["scores"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return
        if scores.keys() <= sizes.keys():
            self._sizes, self._scores = sizes, scores


def _identity(pixels: Pixels, peer: Peer) -> dict[str, object]:
    """Return all that a measurement depends on, as JSON would read it back."""
    return {
        "peer": peer.name,
        "options": {name: repr(value) for name, value in peer.options},
        "size": [pixels.shape[1], pixels.shape[0]],
        "pixels": hashlib.sha256(pixels.tobytes()).hexdigest(),
        "library": peer.library(),
        "pillow": PIL.__version__,
        "metrics": dict(_metric_versions()),
    }


@cache
def _metric_versions() -> tuple[tuple[str, str], ...]:
    packages = ("psnr-hvsm", "pytorch-msssim", "ssimulacra2")
    return tuple((package, importlib.metadata.version(package)) for package in packages)
