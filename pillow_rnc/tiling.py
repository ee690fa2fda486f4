"""Image size to tile boxes, and pixels to tiles and back.

The grid is arithmetic on integers and needs no array library; `split` and `blend` import numpy when called.
This module knows nothing of bytes, codes or networks.  Source: spec, sections "Tile grid" and "Overlap and blending".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pillow_rnc.errors import RncOptionError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

TILE_ALIGNMENT = 16
"""Tiles are padded to a multiple of this many pixels; tile size and overlap are multiples of it."""


Region = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are outside, as in Pillow."""


class Tile(NamedTuple):
    """One tile: its box in the image, and the size it is padded to for coding (pixels)."""

    x: int
    y: int
    width: int
    height: int
    padded_width: int
    padded_height: int


class Span(NamedTuple):
    """Start and length of a tile along one axis, in pixels."""

    start: int
    length: int


@dataclass(frozen=True, slots=True)
class TileGrid:
    """The tiles of an image, in row-major order.

    Attributes:
        width: Image width in pixels, at least 1.
        height: Image height in pixels, at least 1.
        tile_size: Side of a whole tile in pixels, a multiple of 16.
        overlap: Pixels that neighbouring tiles share, a multiple of 16, at most half a tile.

    Raises:
        RncOptionError: One of these rules is broken.
    """

    width: int
    height: int
    tile_size: int
    overlap: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise RncOptionError(f"image of {self.width} x {self.height} pixels, at least 1 x 1 is needed")
        if self.tile_size < TILE_ALIGNMENT or self.tile_size % TILE_ALIGNMENT:
            raise RncOptionError(f"tile size {self.tile_size}, a positive multiple of {TILE_ALIGNMENT} is needed")
        if self.overlap < 0 or self.overlap % TILE_ALIGNMENT or 2 * self.overlap > self.tile_size:
            raise RncOptionError(
                f"overlap {self.overlap}, allowed are multiples of {TILE_ALIGNMENT} up to {self.tile_size // 2}"
            )

    @property
    def columns(self) -> int:
        """Number of tiles from left to right."""
        return self._count(self.width)

    @property
    def rows(self) -> int:
        """Number of tiles from top to bottom."""
        return self._count(self.height)

    def __len__(self) -> int:
        """Return the number of tiles without listing them."""
        return self.columns * self.rows

    def __getitem__(self, index: int) -> Tile:
        """Return tile `index` of the row-major order; negative indices are not accepted."""
        if not 0 <= index < len(self):
            raise IndexError(f"tile {index}, the grid has {len(self)} tiles")
        row, column = divmod(index, self.columns)
        x, width = self._span(self.width, column)
        y, height = self._span(self.height, row)
        return Tile(x, y, width, height, _aligned(width), _aligned(height))

    def __iter__(self) -> Iterator[Tile]:
        """Yield the tiles in row-major order."""
        return (self[index] for index in range(len(self)))

    @property
    def tiles(self) -> tuple[Tile, ...]:
        """All tiles in row-major order.  Memory grows with the grid: `len(grid)` does not."""
        return tuple(self)

    def tiles_touching(self, region: Region) -> tuple[int, ...]:
        """Return the indices of the tiles that share a pixel with `region`, in row-major order.

        Args:
            region: Left, top, right, bottom in pixels; right and bottom are outside, as in Pillow.

        Raises:
            RncOptionError: The region is empty or reaches outside the image.
        """
        left, top, right, bottom = checked_region(self, region)
        columns = self._touching(self.width, left, right)
        return tuple(
            row * self.columns + column for row in self._touching(self.height, top, bottom) for column in columns
        )

    def padded_pixels(self, region: Region | None = None) -> int:
        """Return how many pixels the tiles have in all, padding and overlap counted.

        Args:
            region: Count only the tiles that share a pixel with this box; all by default.

        Raises:
            RncOptionError: As `tiles_touching` does.
        """
        left, top, right, bottom = checked_region(self, region or (0, 0, self.width, self.height))
        columns, rows = self._touching(self.width, left, right), self._touching(self.height, top, bottom)
        padded_width = sum(_aligned(self._span(self.width, column).length) for column in columns)
        return padded_width * sum(_aligned(self._span(self.height, row).length) for row in rows)

    def split(self, pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        """Return every tile, padded by repeating its last column and row.

        Args:
            pixels: uint8 [height, width, channels].

        Returns:
            One uint8 array [padded_height, padded_width, channels] per tile, in order.

        Raises:
            RncOptionError: As `cut` does.
        """
        return [self.cut(pixels, index) for index in range(len(self))]

    def cut(self, pixels: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        """Return one tile, padded as `split` does.

        Args:
            pixels: [height, width] or [height, width, channels], of any type.
            index: Which tile, from 0.

        Returns:
            [padded_height, padded_width] or [padded_height, padded_width, channels].

        Raises:
            RncOptionError: The pixels are not those of an image of the grid's size.
        """
        import numpy as np

        if pixels.shape[:2] != (self.height, self.width):
            raise RncOptionError(
                f"pixels of shape {pixels.shape}, the grid is for {self.height} rows of {self.width} pixels"
            )
        x, y, width, height, padded_width, padded_height = self[index]
        padding = [(0, padded_height - height), (0, padded_width - width)] + [(0, 0)] * (pixels.ndim - 2)
        return np.pad(pixels[y : y + height, x : x + width], padding, mode="edge")

    def blend(self, tiles: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the image of which `tiles` are the tiles.

        Args:
            tiles: float32 [h, w, channels] each, padded or not, in order.

        Returns:
            float32 [height, width, channels].

        Raises:
            RncOptionError: There are more or fewer tiles than in the grid, or one is too small.
        """
        import numpy as np

        if len(tiles) != len(self):
            raise RncOptionError(f"{len(tiles)} tiles, the grid has {len(self)}")
        blender = Blender(self)
        return np.concatenate([blender.add(tile) for tile in tiles])

    def _count(self, extent: int) -> int:
        if extent <= self.tile_size:
            return 1
        return -(-(extent - self.overlap) // (self.tile_size - self.overlap))

    def _span(self, extent: int, position: int) -> Span:
        start = position * (self.tile_size - self.overlap)
        return Span(start, min(self.tile_size, extent - start))

    def _touching(self, extent: int, start: int, stop: int) -> range:
        step = self.tile_size - self.overlap
        first = max(0, (start - self.tile_size) // step + 1)
        return range(first, min(self._count(extent), (stop - 1) // step + 1))


class Blender:
    """Joins tiles one at a time and hands out the rows that no later tile can change.

    Holds one row of tiles, whatever the height of the image.
    Across an overlap of n pixels the weight of the later tile is (2 i + 1) / (2 n) at pixel i, that of the earlier
    tile the rest to 1; a corner takes the products.
    """

    def __init__(self, grid: TileGrid, region: Region | None = None) -> None:
        """Start with the first tile of `region`.

        Args:
            grid: The grid of the image.
            region: Left, top, right, bottom of the pixels wanted; the whole image by default.
                Only the tiles of `grid.tiles_touching(region)` are then added.
        """
        self.grid = grid
        self.region = checked_region(grid, region or (0, 0, grid.width, grid.height))
        self.pending = grid.tiles_touching(self.region)
        self._top = self.region[1]
        self._rows: NDArray[np.float32] | None = None

    def add(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Add the next tile, the first of `pending`.

        Args:
            pixels: float32 [h, w, channels], padded or not.

        Returns:
            float32 [rows, region width, channels]: the rows that became final, from top to bottom, often none.

        Raises:
            RncOptionError: All tiles were added before, or this one is too small.
        """
        import numpy as np

        if not self.pending:
            raise RncOptionError("all tiles of the region have been added")
        index, self.pending = self.pending[0], self.pending[1:]
        tile = self.grid[index]
        if pixels.shape[0] < tile.height or pixels.shape[1] < tile.width:
            raise RncOptionError(f"tile {index} of shape {pixels.shape}, at least {tile.height} x {tile.width} needed")
        left, _, right, bottom = self.region
        x, x_end = max(tile.x, left), min(tile.x + tile.width, right)
        y, y_end = max(tile.y, self._top), min(tile.y + tile.height, bottom)
        if self._rows is None:
            self._rows = np.zeros((0, right - left, pixels.shape[2]), np.float32)
        missing = y_end - self._top - self._rows.shape[0]
        if missing > 0:
            self._rows = np.pad(self._rows, ((0, missing), (0, 0), (0, 0)))
        weight = np.outer(
            self._ramp(tile.y, tile.height, self.grid.height)[y - tile.y : y_end - tile.y],
            self._ramp(tile.x, tile.width, self.grid.width)[x - tile.x : x_end - tile.x],
        )
        part = pixels[y - tile.y : y_end - tile.y, x - tile.x : x_end - tile.x]
        self._rows[y - self._top : y_end - self._top, x - left : x_end - left] += weight[:, :, None] * part
        return self._take_final()

    def _take_final(self) -> NDArray[np.float32]:
        """Remove and return the rows above the next tile to come."""
        assert self._rows is not None
        next_top = max(self.grid[self.pending[0]].y, self._top) if self.pending else self.region[3]
        final, self._rows = self._rows[: next_top - self._top], self._rows[next_top - self._top :]
        self._top = next_top
        return final

    def _ramp(self, start: int, length: int, extent: int) -> NDArray[np.float32]:
        """Weights of a tile along one axis: float32 [length]."""
        import numpy as np

        weights = np.ones(length, np.float32)
        overlap = self.grid.overlap
        rise = (2 * np.arange(overlap, dtype=np.float32) + 1) / np.float32(max(2 * overlap, 1))
        if start:
            weights[:overlap] = rise
        if start + length < extent:
            weights[length - overlap :] = 1 - rise
        return weights


def checked_region(grid: TileGrid, region: Region) -> Region:
    """Return `region`, or raise `RncOptionError` unless it is a box of pixels inside the image."""
    left, top, right, bottom = region
    if not (0 <= left < right <= grid.width and 0 <= top < bottom <= grid.height):
        raise RncOptionError(f"region {region}, the image has {grid.width} x {grid.height} pixels")
    return region


def _aligned(length: int) -> int:
    return -(-length // TILE_ALIGNMENT) * TILE_ALIGNMENT
