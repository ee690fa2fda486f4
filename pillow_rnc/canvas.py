"""A picture that is put together of tiles, which come as floats and become 8-bit samples here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.errors import WeightsError
from pillow_rnc.tiling import Blender

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.records import Header
    from pillow_rnc.tiling import Region

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Canvas:
    """A picture, or a region of it, that is put together of tiles.

    Attributes:
        pixels: uint8 [height, width, 3], or [height, width] for modes L and LA; filled from the top.
    """

    def __init__(self, header: Header, region: Region | None) -> None:
        self._blender = Blender(header.grid, region)
        left, upper, right, lower = self._blender.region
        self._grey = header.mode in ("L", "LA")
        self.pixels: NDArray[np.uint8] = np.empty(
            (lower - upper, right - left, *(() if self._grey else (3,))), np.uint8
        )
        self._filled = 0

    @property
    def pending(self) -> tuple[int, ...]:
        """The tiles still to come, in the order in which to add them."""
        return self._blender.pending

    @np.errstate(all="ignore")
    def add(self, tile: NDArray[np.float32]) -> None:
        """Add the next tile, float32 [h, w, 3].

        Raises:
            WeightsError: It holds numbers that are not finite.
        """
        if not np.isfinite(tile).all():
            raise WeightsError("the model's samples are not finite numbers")
        rows = self._blender.add(tile)
        if self._grey:
            rows = rows @ _LUMA
        stop = self._filled + len(rows)
        self.pixels[self._filled : stop] = np.clip(np.rint(rows), 0, 255)
        self._filled = stop
