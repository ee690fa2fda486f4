"""Pixels -> tiles, and tiles -> pixels, blended where they overlap.

Source: spec, section "Overlap and blending".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.codec.kernel_samples import blend_samples, round_samples
from pillow_rnc.container.tile_grid import checked_region, reduced_region
from pillow_rnc.entropy.kernel import library
from pillow_rnc.errors import RncOptionError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pillow_rnc.container.records import Header
    from pillow_rnc.container.tile_grid import Region, TileGrid

_NOT_FINITE = "the model's samples are not finite numbers"
_COLOURS = 3
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def split(grid: TileGrid, pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return every tile, uint8 [padded_height, padded_width, channels] each; see `padded_tile`."""
    return [padded_tile(grid, pixels, index) for index in range(len(grid))]


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


def blend(grid: TileGrid, tiles: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the image that the tiles make up.

    Args:
        grid: The grid of the image.
        tiles: float32 [h, w, channels] each, padded or not, in row-major order.

    Returns:
        float32 [height, width, channels].

    Raises:
        RncOptionError: The number of tiles is not that of the grid, or a tile is too small.
    """
    if len(tiles) != len(grid):
        raise RncOptionError(f"{len(tiles)} tiles, the grid has {len(grid)}")
    blender = Blender(grid)
    return np.concatenate([blender.add(tile).copy() for tile in tiles])


class Canvas:
    """An image, or a region of it, assembled from tiles.

    Args:
        header: Header of the file.
        region: Left, top, right, bottom in pixels of the whole image; all of it if None.
        reduction: 1, 2, 4 or 8: the image has one over this of the size.

    Attributes:
        pixels: uint8 [height, width, 3], or [height, width] for modes L and LA; filled from the top down.
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
        self._filled = 0

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
        rows = self._blender.add(tile)
        stop = self._filled + len(rows)
        out = self.pixels[self._filled : stop]
        if instruction_set is None:
            out[...] = np.clip(np.rint(rows @ _LUMA if self._grey else rows), 0, 255)
        elif not round_samples(instruction_set, rows, out):
            raise WeightsError(_NOT_FINITE)
        self._filled = stop


class Blender:
    """Blends tiles one at a time, and returns the rows that no later tile can change.

    Keeps one row of tiles in memory, whatever the height of the image.
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
        self._top = self.region[1]
        # Rows that are not final, as a part of memory that stays: fresh memory costs a page fault for each page.
        self._memory = np.empty((0, 0, 0), np.float32)
        self._start = self._stop = 0

    def add(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add the next tile, the first of `pending`.

        Args:
            pixels: float32 [h, w, channels], padded or not.

        Returns:
            float32 [rows, region width, channels]: the rows that have become final, from top to bottom, often none;
                valid until the next tile is added.

        Raises:
            RncOptionError: All tiles have been added already, or this one is too small.
        """
        if not self.pending:
            raise RncOptionError("all tiles of the region have been added already")
        index, self.pending = self.pending[0], self.pending[1:]
        tile = self.grid[index]
        if pixels.shape[0] < tile.height or pixels.shape[1] < tile.width:
            raise RncOptionError(f"tile {index} of shape {pixels.shape}, must be at least {tile.height} x {tile.width}")
        left, _, right, bottom = self.region
        x, x_end = max(tile.x, left), min(tile.x + tile.width, right)
        y, y_end = max(tile.y, self._top), min(tile.y + tile.height, bottom)
        part = pixels[y - tile.y : y_end - tile.y, x - tile.x : x_end - tile.x]
        if len(self.grid) == 1:
            return part
        self._make_room(y_end - self._top, (right - left, pixels.shape[2]))
        down = self._ramp(tile.y, tile.height, self.grid.height)[y - tile.y : y_end - tile.y]
        across = self._ramp(tile.x, tile.width, self.grid.width)[x - tile.x : x_end - tile.x]
        first = self._start - self._top
        rows = self._memory[first + y : first + y_end, x - left : x_end - left]
        instruction_set = library.chosen()
        if instruction_set is not None and pixels.shape[2] == _COLOURS and pixels.dtype == np.float32:
            blend_samples(instruction_set, rows, part, across, down)
        else:
            rows += np.outer(down, across)[:, :, None] * part
        return self._take_final()

    def _make_room(self, count: int, shape: tuple[int, ...]) -> None:
        """Have so many rows at least that are not final; new ones are zeros."""
        missing = count - (self._stop - self._start)
        if missing <= 0:
            return
        if self._stop + missing > len(self._memory):
            before = self._memory[self._start : self._stop]
            if count > len(self._memory):
                self._memory = np.empty((count, *shape), np.float32)
            if len(before):
                self._memory[: len(before)] = before
            self._start, self._stop = 0, len(before)
        self._memory[self._stop : self._stop + missing] = 0
        self._stop += missing

    def _take_final(self) -> NDArray[np.float32]:
        """Remove and return the rows above the next tile."""
        next_top = max(self.grid[self.pending[0]].y, self._top) if self.pending else self.region[3]
        final = self._memory[self._start : self._start + next_top - self._top]
        self._start += next_top - self._top
        self._top = next_top
        return final

    def _ramp(self, start: int, length: int, extent: int) -> NDArray[np.float32]:
        """Return the weights of a tile along one axis, float32 [length]."""
        weights = np.ones(length, np.float32)
        overlap = self.grid.overlap
        rise = (2 * np.arange(overlap, dtype=np.float32) + 1) / np.float32(max(2 * overlap, 1))
        if start:
            weights[:overlap] = rise
        if start + length < extent:
            weights[length - overlap :] = 1 - rise
        return weights
