"""Pixels -> tiles, and tiles -> pixels, blended where they overlap.

Source: spec, section "Overlap and blending".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pillow_rnc.codec.kernel_samples import blend_samples, round_samples
from pillow_rnc.container.tile_grid import checked_region, reduced_region
from pillow_rnc.entropy.kernel import library
from pillow_rnc.errors import RncOptionError, WeightsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.container.records import Header
    from pillow_rnc.container.tile_grid import Region, TileGrid

_NOT_FINITE = "the model's samples are not finite numbers"
_COLOURS = 3
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def padded_tile(grid: TileGrid, pixels: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
    """Return one tile, padded by repeating its last column and row.

    Args:
        grid: The grid of the image.
        pixels: [height, width] or [height, width, channels], of any type.
        index: Index of the tile in the grid.

    Returns:
        [padded_height, padded_width] or [padded_height, padded_width, channels].

    Raises:
        RncOptionError: The grid is for an image of another size.
    """
    if pixels.shape[:2] != (grid.height, grid.width):
        raise RncOptionError(
            f"pixels of shape {pixels.shape}, the grid needs {grid.height} rows of {grid.width} pixels"
        )
    x, y, width, height, padded_width, padded_height = grid[index]
    padding = [(0, padded_height - height), (0, padded_width - width)] + [(0, 0)] * (pixels.ndim - 2)
    return np.pad(pixels[y : y + height, x : x + width], padding, mode="edge")


class Canvas:
    """An image, or a region of it, assembled from tiles.

    Args:
        header: Header of the file.
        region: Left, top, right, bottom in pixels of the whole image; all of it if None.
        reduction: 1, 2, 4 or 8: the image has one over this of the size.

    Attributes:
        pixels: uint8 [height, width, 3], or [height, width] for modes L and LA; complete when the last tile was added.
    """

    def __init__(self, header: Header, region: Region | None, reduction: int = 1) -> None:
        if region is not None:
            region = reduced_region(checked_region(header.grid, region), reduction)
        self._blender = Blender(header.grid.reduced(reduction), region)
        left, upper, right, lower = self._blender.region
        self._grey = header.mode in ("L", "LA")
        self.pixels: NDArray[np.uint8] = np.empty(
            (lower - upper, right - left, *(() if self._grey else (3,))), np.uint8
        )

    @property
    def pending(self) -> tuple[int, ...]:
        """Indices of the tiles still to be added, in the order in which `add` expects them."""
        return self._blender.pending

    @np.errstate(all="ignore")
    def add(self, tile: NDArray[np.float32]) -> None:
        """Add the next tile, float32 [h, w, 3].

        Raises:
            WeightsError: It contains numbers that are not finite.
        """
        instruction_set = library.chosen()
        if instruction_set is None and not np.isfinite(tile).all():
            raise WeightsError(_NOT_FINITE)
        for block in self._blender.add(tile):
            out = block.within(self.pixels)
            if instruction_set is None:
                out[...] = np.clip(np.rint(block.samples @ _LUMA if self._grey else block.samples), 0, 255)
            elif not round_samples(instruction_set, block.samples, out):
                raise WeightsError(_NOT_FINITE)


class Block(NamedTuple):
    """Samples that are final, float32 [h, w, channels], and where they are, in pixels of the region."""

    x: int
    y: int
    samples: NDArray[np.float32]

    def within(self, image: NDArray[Any]) -> NDArray[Any]:
        """Return the part of an array [height, width, ...] that these samples belong to."""
        return image[self.y : self.y + self.samples.shape[0], self.x : self.x + self.samples.shape[1]]


class _Axis:
    """A tile along one axis, as far as the region goes: from `begin` to `end`.

    Before `first`, it overlaps the tile before; from `last` on, the one after, which starts at `next_start`.
    """

    def __init__(self, start: int, length: int, extent: int, overlap: int, region: tuple[int, int]) -> None:
        self.start = start
        end = start + length
        first, last = start + overlap if start else start, end - overlap if end < extent else end
        self.next_start = last
        lower, upper = region
        self.begin, self.first, self.last, self.end = (min(max(cut, lower), upper) for cut in (start, first, last, end))
        self._weights = np.ones(length, np.float32)
        rise = (2 * np.arange(overlap, dtype=np.float32) + 1) / np.float32(max(2 * overlap, 1))
        if start:
            self._weights[:overlap] = rise
        if end < extent:
            self._weights[length - overlap :] = 1 - rise

    def weights(self, begin: int, end: int) -> NDArray[np.float32]:
        """Return the weights of the tile there, float32 [end - begin]."""
        return self._weights[begin - self.start : end - self.start]


class Blender:
    """Blends tiles one at a time, and returns the samples that no later tile can change.

    Keeps what overlaps in memory alone: a strip below a row of tiles, and one beside the last tile.
    Across an overlap of n pixels, the weight of the later tile at pixel i is (2 i + 1) / (2 n), and that of the earlier
    tile its complement; where four tiles meet, the weights are the products of both directions.
    """

    def __init__(self, grid: TileGrid, region: Region | None = None) -> None:
        """Begin with the first tile of `region`.

        Args:
            grid: The grid of the image.
            region: Left, top, right, bottom of the wanted pixels; the whole image by default.
                Only the tiles of `grid.tiles_touching(region)` are to be added.
        """
        self.grid = grid
        self.region = checked_region(grid, region or (0, 0, grid.width, grid.height))
        self.pending = grid.tiles_touching(self.region)
        # Sums of weighted samples that are not final: what the row of tiles above leaves, what this row will leave, and
        # what the tile before leaves between the two.
        self._above = self._below = self._beside = np.empty((0, 0, 0), np.float32)
        self._row: int | None = None

    def add(self, pixels: NDArray[np.float32]) -> list[Block]:
        """Add the next tile, the first of `pending`.

        Args:
            pixels: float32 [h, w, channels], padded or not.

        Returns:
            What has become final, valid until the next tile is added; each pixel of the region is in one block.

        Raises:
            RncOptionError: All tiles have been added already, or this one is too small.
        """
        if not self.pending:
            raise RncOptionError("all tiles of the region have been added already")
        index, self.pending = self.pending[0], self.pending[1:]
        tile = self.grid[index]
        if pixels.shape[0] < tile.height or pixels.shape[1] < tile.width:
            raise RncOptionError(f"tile {index} of shape {pixels.shape}, must be at least {tile.height} x {tile.width}")
        left, top, right, bottom = self.region
        across = _Axis(tile.x, tile.width, self.grid.width, self.grid.overlap, (left, right))
        down = _Axis(tile.y, tile.height, self.grid.height, self.grid.overlap, (top, bottom))
        if self._row != tile.y:
            self._row = tile.y
            self._above = self._below
            self._below = np.empty((self.grid.overlap, right - left, pixels.shape[2]), np.float32)
        whole = slice(across.begin - left, across.end - left)

        upper = self._above[down.begin - tile.y : down.first - tile.y, whole]
        _add_weighted(upper, pixels, (down, down.begin, down.first), (across, across.begin, across.end))
        before = self._beside
        _add_weighted(before, pixels, (down, down.first, down.last), (across, across.begin, across.first))
        inner = pixels[down.first - tile.y : down.last - tile.y, across.first - tile.x : across.last - tile.x]
        self._beside = np.zeros((down.last - down.first, across.end - across.last, pixels.shape[2]), np.float32)
        _add_weighted(self._beside, pixels, (down, down.first, down.last), (across, across.last, across.end))
        self._below[:, across.first - left : across.end - left] = 0
        lower = self._below[down.last - down.next_start : down.end - down.next_start, whole]
        _add_weighted(lower, pixels, (down, down.last, down.end), (across, across.begin, across.end))
        return [
            block
            for block in (
                Block(across.begin - left, down.begin - top, upper[:, : across.last - across.begin]),
                Block(across.begin - left, down.first - top, before),
                Block(across.first - left, down.first - top, inner),
            )
            if block.samples.size
        ]


def _add_weighted(
    sums: NDArray[np.float32],
    pixels: NDArray[np.float32],
    rows: tuple[_Axis, int, int],
    columns: tuple[_Axis, int, int],
) -> None:
    """Add a part of a tile to sums of its shape, times its weights; the part by axis, begin and end."""
    if not sums.size:
        return
    (down, top, bottom), (across, left, right) = rows, columns
    part = pixels[top - down.start : bottom - down.start, left - across.start : right - across.start]
    y_weights, x_weights = down.weights(top, bottom), across.weights(left, right)
    instruction_set = library.chosen()
    if instruction_set is not None and part.shape[2] == _COLOURS and part.dtype == np.float32:
        blend_samples(instruction_set, sums, part, x_weights, y_weights)
    else:
        sums += np.outer(y_weights, x_weights)[:, :, None] * part
