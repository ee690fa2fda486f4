"""A codec whose picture after k iterations is one flat colour, in PNG files of known size: easy to predict."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Sequence


class FlatCodec:
    """Stands in for ours in the evaluation."""

    label = "Flat"

    @staticmethod
    def colour(iterations: int) -> tuple[int, int, int]:
        return (10 * iterations, 255 - 10 * iterations, 200)

    @staticmethod
    def file_bytes(iterations: int) -> int:
        return 1000 * iterations - 400

    def encode(self, image: Image.Image, settings: Sequence[int]) -> dict[int, bytes]:
        files = {}
        for iterations in settings:
            file = io.BytesIO()
            Image.new("RGB", image.size, self.colour(iterations)).save(file, "PNG")
            files[iterations] = file.getvalue().ljust(self.file_bytes(iterations), b"\0")
        return files
