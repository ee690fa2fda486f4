from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import grids

from pillow_rnc.codec.blending import Blender, padded_tile
from pillow_rnc.container.tile_grid import TileGrid
from pillow_rnc.errors import RncOptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def image(grid: TileGrid, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(7).integers(0, 256, (grid.height, grid.width, channels), np.uint8)


def split(grid: TileGrid, pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    return [padded_tile(grid, pixels, index) for index in range(len(grid))]


def blend(grid: TileGrid, tiles: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    blender = Blender(grid)
    blended = np.empty((grid.height, grid.width, tiles[0].shape[2]), np.float32)
    for tile in tiles:
        for block in blender.add(tile):
            block.within(blended)[...] = block.samples
    return blended


@given(grids())
@example(TileGrid(1, 1, 64, 32))
@example(TileGrid(65, 64, 64, 32))
def test_tiles_cover_the_image_and_neighbours_share_the_overlap(grid: TileGrid) -> None:
    tiles = grid.tiles

    assert len(tiles) == len(grid) == grid.columns * grid.rows
    top_row = tiles[: grid.columns]
    assert top_row[0].x == 0
    assert top_row[-1].x + top_row[-1].width == grid.width
    assert all(left.x + left.width - right.x == grid.overlap for left, right in pairwise(top_row))
    left_column = tiles[:: grid.columns]
    assert left_column[0].y == 0
    assert left_column[-1].y + left_column[-1].height == grid.height
    assert all(upper.y + upper.height - lower.y == grid.overlap for upper, lower in pairwise(left_column))


@given(grids())
def test_each_tile_but_the_first_of_an_axis_is_wider_than_the_overlap(grid: TileGrid) -> None:
    assert all(tile.width > grid.overlap for tile in grid if tile.x)
    assert all(tile.height > grid.overlap for tile in grid if tile.y)


@given(grids(), st.sampled_from((1, 2, 4, 8)))
def test_tiles_of_a_reduced_image_lie_where_the_full_ones_do(grid: TileGrid, reduction: int) -> None:
    reduced = grid.reduced(reduction)

    assert (reduced.width, reduced.height) == (-(-grid.width // reduction), -(-grid.height // reduction))
    assert len(reduced) == len(grid)
    for small, full in zip(reduced, grid, strict=True):
        assert (small.x * reduction, small.y * reduction) == (full.x, full.y)
        assert (small.width, small.height) == (-(-full.width // reduction), -(-full.height // reduction))


@given(grids())
def test_padding_reaches_the_next_multiple_of_16_and_no_further(grid: TileGrid) -> None:
    for tile in grid:
        assert tile.padded_width % 16 == tile.padded_height % 16 == 0
        assert 0 <= tile.padded_width - tile.width < 16
        assert 0 <= tile.padded_height - tile.height < 16
        assert max(tile.padded_width, tile.padded_height) <= grid.tile_size


@given(grids())
def test_blending_the_tiles_of_a_split_gives_the_picture(grid: TileGrid) -> None:
    pixels = image(grid)

    blended = blend(grid, [tile.astype(np.float32) for tile in split(grid, pixels)])

    assert blended.dtype == np.float32
    np.testing.assert_allclose(blended, pixels, atol=1e-3)


@given(grids(largest_side=150))
def test_padding_repeats_the_last_column_and_row(grid: TileGrid) -> None:
    pixels = image(grid)

    for tile, part in zip(grid, split(grid, pixels), strict=True):
        assert part.shape == (tile.padded_height, tile.padded_width, 3)
        rows = np.minimum(np.arange(tile.padded_height), tile.height - 1) + tile.y
        columns = np.minimum(np.arange(tile.padded_width), tile.width - 1) + tile.x
        np.testing.assert_array_equal(part, pixels[rows][:, columns])


@given(grids(), st.data())
def test_a_region_needs_only_its_tiles_and_equals_the_complete_there(grid: TileGrid, data: st.DataObject) -> None:
    left = data.draw(st.integers(0, grid.width - 1))
    right = data.draw(st.integers(left + 1, grid.width))
    top = data.draw(st.integers(0, grid.height - 1))
    bottom = data.draw(st.integers(top + 1, grid.height))
    region = (left, top, right, bottom)
    rng = np.random.default_rng(1)
    tiles = [rng.random((tile.padded_height, tile.padded_width, 1), np.float32) for tile in grid]

    touching = grid.tiles_touching(region)
    blender = Blender(grid, region)
    part, filled = np.zeros((bottom - top, right - left, 1), np.float32), np.zeros((bottom - top, right - left), int)
    for index in touching:
        for block in blender.add(tiles[index]):
            block.within(part)[...] = block.samples
            block.within(filled)[...] += 1

    assert touching == tuple(
        index
        for index, tile in enumerate(grid)
        if tile.x < right and tile.x + tile.width > left and tile.y < bottom and tile.y + tile.height > top
    )
    assert blender.pending == ()
    assert (filled == 1).all()
    np.testing.assert_array_equal(part, blend(grid, tiles)[top:bottom, left:right])


@given(grids(), st.data())
def test_padded_pixels_are_those_of_the_tiles_that_a_region_touches(grid: TileGrid, data: st.DataObject) -> None:
    left, top = data.draw(st.integers(0, grid.width - 1)), data.draw(st.integers(0, grid.height - 1))
    region = (left, top, data.draw(st.integers(left + 1, grid.width)), data.draw(st.integers(top + 1, grid.height)))
    areas = [tile.padded_width * tile.padded_height for tile in grid]

    assert grid.padded_pixels() == sum(areas)
    assert grid.padded_pixels(region) == sum(areas[index] for index in grid.tiles_touching(region))


def test_the_weight_of_a_tile_falls_linearly_across_the_overlap() -> None:
    grid = TileGrid(112, 64, 64, 16)
    white, black = np.ones((64, 64, 1), np.float32), np.zeros((64, 64, 1), np.float32)

    row = blend(grid, [white, black])[0, :, 0]

    expected = np.concatenate([np.ones(48), 1 - (2 * np.arange(16) + 1) / 32, np.zeros(48)])
    np.testing.assert_array_equal(row, expected.astype(np.float32))


@given(grids())
def test_the_image_is_the_sum_of_its_weighted_tiles(grid: TileGrid) -> None:
    rng = np.random.default_rng(1)
    tiles = [rng.random((tile.padded_height, tile.padded_width, 2), np.float32) for tile in grid]
    total, weight = np.zeros((grid.height, grid.width, 2)), np.zeros((grid.height, grid.width))
    for tile, samples in zip(grid, tiles, strict=True):
        y, x = (
            np.minimum(
                np.minimum(1, (np.arange(length) + 0.5) / max(grid.overlap, 0.5)) if start else 1,
                np.minimum(1, (length - np.arange(length) - 0.5) / max(grid.overlap, 0.5))
                if start + length < extent
                else 1,
            )
            * np.ones(length)
            for start, length, extent in ((tile.y, tile.height, grid.height), (tile.x, tile.width, grid.width))
        )
        place = slice(tile.y, tile.y + tile.height), slice(tile.x, tile.x + tile.width)
        weight[place] += np.outer(y, x)
        total[place] += np.outer(y, x)[:, :, None] * samples[: tile.height, : tile.width]

    np.testing.assert_allclose(weight, 1)
    np.testing.assert_allclose(blend(grid, tiles), total, atol=1e-6)


def test_samples_are_handed_out_as_soon_as_they_are_final() -> None:
    grid = TileGrid(100, 112, 64, 16)
    blender = Blender(grid)

    areas = [
        sum(block.samples[..., 0].size for block in blender.add(np.zeros((tile.height, tile.width, 3), np.float32)))
        for tile in grid
    ]

    assert areas == [48 * 48, 48 * 52, 48 * 64, 52 * 64]


def test_the_largest_grid_costs_nothing_until_it_is_listed() -> None:
    grid = TileGrid(65_535, 65_535, 64, 32)

    assert len(grid) == grid.columns * grid.rows == 2047 * 2047
    assert grid[len(grid) - 1] == (65_472, 65_472, 63, 63, 64, 64)


@pytest.mark.parametrize(
    ("width", "height", "tile_size", "overlap"),
    [(0, 1, 64, 0), (1, 0, 64, 0), (1, 1, 0, 0), (1, 1, 72, 0), (1, 1, 64, 48), (1, 1, 64, 8), (1, 1, 64, -16)],
)
def test_a_grid_that_breaks_a_rule_is_rejected(width: int, height: int, tile_size: int, overlap: int) -> None:
    with pytest.raises(RncOptionError):
        TileGrid(width, height, tile_size, overlap)


@pytest.mark.parametrize("region", [(0, 0, 0, 1), (-1, 0, 1, 1), (0, 0, 11, 1), (5, 5, 5, 6), (0, 3, 1, 2)])
def test_a_region_outside_the_image_is_rejected(region: tuple[int, int, int, int]) -> None:
    with pytest.raises(RncOptionError):
        TileGrid(10, 10, 64, 0).tiles_touching(region)


def test_arrays_that_do_not_fit_the_grid_are_rejected() -> None:
    grid = TileGrid(10, 10, 64, 0)
    tile = np.zeros((10, 10, 3), np.float32)
    blender = Blender(grid)

    with pytest.raises(RncOptionError):
        padded_tile(grid, np.zeros((10, 11, 3), np.uint8), 0)
    with pytest.raises(RncOptionError):
        blender.add(tile[:9])
    with pytest.raises(IndexError):
        grid[1]


def test_no_tile_is_added_after_the_last() -> None:
    grid = TileGrid(10, 10, 64, 0)
    blender = Blender(grid)
    blender.add(np.zeros((10, 10, 3), np.float32))

    with pytest.raises(RncOptionError):
        blender.add(np.zeros((10, 10, 3), np.float32))


def test_grid_arithmetic_loads_no_array_library() -> None:
    script = (
        "import sys; from pillow_rnc.container.tile_grid import TileGrid; TileGrid(99, 99, 64, 16).tiles; "
        "print('numpy' in sys.modules)"
    )

    printed = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout

    assert printed.strip() == "False"
