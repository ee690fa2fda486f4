"""Crops of an image to inspect: selected by their content, the same ones every time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pillow_rnc.models.basis import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pillow_rnc.container.tile_grid import TileGrid

    Pixels = NDArray[np.uint8]

Box = tuple[int, int, int, int]

_LUMA = np.array([0.299, 0.587, 0.114])
_BLACK, _WHITE = 8, 247  # beyond these levels a flat area shows nothing


class Crop(NamedTuple):
    """A crop: what it was chosen for, and left, top, right, bottom in pixels."""

    kind: str
    box: Box


def _flat(luma: NDArray[np.float64], steps: NDArray[np.float64], colour: NDArray[np.float64]) -> float:
    """Return more where there is less detail, as in a sky; less where it is black or white."""
    del colour
    return -float(steps.mean()) - 255 * float(np.mean((luma < _BLACK) | (luma > _WHITE)))


def _edges(luma: NDArray[np.float64], steps: NDArray[np.float64], colour: NDArray[np.float64]) -> float:
    """Return more where few steps are large and most are small, as in letters and roofs."""
    del luma, colour
    return float(np.quantile(steps, 0.95) - 2 * np.median(steps))


def _texture(luma: NDArray[np.float64], steps: NDArray[np.float64], colour: NDArray[np.float64]) -> float:
    """Return more where steps are large everywhere, as in grass."""
    del luma, colour
    return float(np.median(steps))


def _colour(luma: NDArray[np.float64], steps: NDArray[np.float64], colour: NDArray[np.float64]) -> float:
    """Return more where colours are far from grey."""
    del luma, steps
    return float(colour.mean())


_WORTH: dict[str, Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], float]] = {
    "flat": _flat,
    "edges": _edges,
    "texture": _texture,
    "colour": _colour,
}
SEAM = "seam"
KINDS = (*_WORTH, SEAM)


def choose_crops(pixels: Pixels, side: int, grid: TileGrid, kinds: Sequence[str] = KINDS) -> list[Crop]:
    """Return a crop for each kind; none for a seam where there is a single tile.

    Corners lie on borders of 8x8 blocks, as those of JPEG do. A crop may lie where another does already only where
    there is no other place.

    Args:
        pixels: uint8 [H, W, 3].
        side: Of a crop, a multiple of 8; less where the image is smaller.
        grid: The tiles of the file.
        kinds: Of `KINDS`.
    """
    height, width = (min(side, length - length % BLOCK) for length in pixels.shape[:2])
    luma = pixels @ _LUMA
    blue, red = pixels[..., 2] - luma, pixels[..., 0] - luma
    colour = np.hypot(0.564 * blue, 0.713 * red)
    steps = np.abs(np.diff(luma, axis=0))[:, :-1] + np.abs(np.diff(luma, axis=1))[:-1]
    stride = max(BLOCK, side // 4 // BLOCK * BLOCK)
    boxes = [
        (left, top, left + width, top + height)
        for top in range(0, luma.shape[0] - height + 1, stride)
        for left in range(0, luma.shape[1] - width + 1, stride)
    ]
    chosen: list[Crop] = []
    for kind in (kind for kind in _WORTH if kind in kinds):
        free = [box for box in boxes if not any(_meet(box, crop.box) for crop in chosen)] or boxes
        worth = [_WORTH[kind](*(_cut(plane, box) for plane in (luma, steps, colour))) for box in free]
        chosen.append(Crop(kind, free[int(np.argmax(worth))]))
    if SEAM in kinds and len(grid) > 1:
        chosen.append(Crop(SEAM, _seam(grid, width, height)))
    return chosen


def _seam(grid: TileGrid, width: int, height: int) -> Box:
    """Return a box in the middle of which the first tile ends, to the right or below or both."""
    tile = grid[0]
    corner = []
    for end, length, extent in ((tile.width, width, grid.width), (tile.height, height, grid.height)):
        middle = end - grid.overlap // 2 if end < extent else extent // 2
        place = min(max(0, middle - length // 2), extent - length)
        corner.append(place - place % BLOCK)
    return (corner[0], corner[1], corner[0] + width, corner[1] + height)


def _cut(plane: NDArray[np.float64], box: Box) -> NDArray[np.float64]:
    return plane[box[1] : box[3], box[0] : box[2]]


def _meet(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
