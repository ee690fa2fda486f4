"""Image size -> tile boxes, in integers.

This module knows neither bytes nor pixels, codes or networks.  Source: spec, section "Tile grid".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from pillow_rnc.errors import RncOptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

TILE_ALIGNMENT = 16
"""Tiles are padded to a multiple of this many pixels; tile size and overlap are multiples of it."""


Region = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; right and bottom are exclusive, as in Pillow."""


class Tile(NamedTuple):
    """One tile: its box in the image and its padded size for coding, in pixels."""

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
        tile_size: Side of a full tile in pixels, a multiple of 16.
        overlap: Pixels that neighbouring tiles share, a multiple of 16, at most half a tile.

    Raises:
        RncOptionError: A value violates one of these rules.
    """

    width: int
    height: int
    tile_size: int
    overlap: int

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise RncOptionError(f"image of {self.width} x {self.height} pixels, must be at least 1 x 1")
        if self.tile_size < TILE_ALIGNMENT or self.tile_size % TILE_ALIGNMENT:
            raise RncOptionError(f"tile size {self.tile_size}, must be a positive multiple of {TILE_ALIGNMENT}")
        if self.overlap < 0 or self.overlap % TILE_ALIGNMENT or 2 * self.overlap > self.tile_size:
            raise RncOptionError(
                f"overlap {self.overlap}, must be a multiple of {TILE_ALIGNMENT} from 0 to {self.tile_size // 2}"
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
        """Return the number of tiles, in constant time."""
        return self.columns * self.rows

    def __getitem__(self, index: int) -> Tile:
        """Return tile `index` in row-major order; negative indices are not accepted."""
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
        """All tiles in row-major order, as a tuple in memory."""
        return tuple(self)

    def tiles_touching(self, region: Region) -> tuple[int, ...]:
        """Return the indices of the tiles that share a pixel with `region`, in row-major order.

        Args:
            region: Left, top, right, bottom in pixels; right and bottom are exclusive, as in Pillow.

        Raises:
            RncOptionError: The region is empty or extends beyond the image.
        """
        left, top, right, bottom = checked_region(self, region)
        columns = self._touching(self.width, left, right)
        return tuple(
            row * self.columns + column for row in self._touching(self.height, top, bottom) for column in columns
        )

    def padded_pixels(self, region: Region | None = None) -> int:
        """Return the total number of pixels of the tiles, padding and overlap included.

        Args:
            region: Count only tiles that share a pixel with this box; all tiles by default.

        Raises:
            RncOptionError: As `tiles_touching` does.
        """
        left, top, right, bottom = checked_region(self, region or (0, 0, self.width, self.height))
        columns, rows = self._touching(self.width, left, right), self._touching(self.height, top, bottom)
        padded_width = sum(_aligned(self._span(self.width, column).length) for column in columns)
        return padded_width * sum(_aligned(self._span(self.height, row).length) for row in rows)

    def reduced(self, reduction: int) -> TileGrid:
        """Return where the tiles are in the image at one over `reduction` of its size: 1, 2, 4 or 8."""
        if reduction == 1:
            return self
        sides = (-(-self.width // reduction), -(-self.height // reduction))
        return ReducedGrid(*sides, self.tile_size // reduction, self.overlap // reduction)

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


class ReducedGrid(TileGrid):
    """Tiles of a reduced image, whose sizes keep no rules of the format; see `TileGrid.reduced`."""

    __slots__ = ()

    def __post_init__(self) -> None:
        """Check nothing: they come from a grid that was checked."""


def reduced_region(region: Region, reduction: int) -> Region:
    """Return the box of an image at one over `reduction` of its size that covers a box of the whole image."""
    left, top, right, bottom = region
    return left // reduction, top // reduction, -(-right // reduction), -(-bottom // reduction)


def checked_region(grid: TileGrid, region: Region) -> Region:
    """Return `region`, or raise `RncOptionError` unless it is a box of pixels inside the image."""
    left, top, right, bottom = region
    if not (0 <= left < right <= grid.width and 0 <= top < bottom <= grid.height):
        raise RncOptionError(f"region {region}, the image has {grid.width} x {grid.height} pixels")
    return region


def _aligned(length: int) -> int:
    return -(-length // TILE_ALIGNMENT) * TILE_ALIGNMENT
