"""Crops are where their kind says, their numbers rise with what they measure, and regressions are reported."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from tiny_codec import register_random_codec
from tiny_training import photograph

pytest.importorskip("pytorch_msssim", reason="needs the extra [eval]")
pytest.importorskip("psnr_hvsm", reason="needs the extra [eval]")

from pillow_rnc.container.tile_grid import TileGrid
from research.crop_choice import KINDS, SEAM, choose_crops
from research.crop_scores import TOLERANCES, blockiness, compare, crop_scores, means
from research.crop_sheet import main

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

SIDE = 64


def quarters() -> NDArray[np.uint8]:
    """Return a picture of four quarters of 128x128: a slope, bars, grain, and saturated colour."""
    rng = np.random.default_rng(0)
    pixels = np.full((256, 256, 3), 128.0)
    pixels[:128, :128] = (100 + np.arange(128) / 8)[:, None]
    pixels[:128, 128:] = np.where(np.arange(128) // 8 % 4, 220, 30)[None, :, None]
    pixels[128:, :128] += rng.normal(0, 25, (128, 128, 1))
    pixels[128:, 128:] = (200, 40, 60)
    pixels[128:, 128:] += rng.normal(0, 3, (128, 128, 1))
    return pixels.clip(0, 255).astype(np.uint8)


def test_each_crop_is_where_its_kind_is() -> None:
    crops = choose_crops(quarters(), SIDE, TileGrid(256, 256, 768, 32))
    at = {crop.kind: (crop.box[0] >= 128, crop.box[1] >= 128) for crop in crops}

    assert at == {"flat": (False, False), "edges": (True, False), "texture": (False, True), "colour": (True, True)}
    assert all(crop.box[0] % 8 == crop.box[1] % 8 == 0 for crop in crops)
    assert choose_crops(quarters(), SIDE, TileGrid(256, 256, 768, 32)) == crops


def test_a_seam_lies_in_the_middle_of_its_crop() -> None:
    grid = TileGrid(256, 256, 160, 32)
    (crop,) = choose_crops(quarters(), SIDE, grid, (SEAM,))
    assert grid.columns == grid.rows == 2
    first, overlap_ends = grid[1].x, grid[0].width

    assert crop.box[0] < first < overlap_ends < crop.box[2]
    assert crop.box[1] < first < overlap_ends < crop.box[3]


def test_black_is_not_what_flat_means() -> None:
    pixels = quarters()
    pixels[:128, :128] = 0
    (crop,) = choose_crops(pixels, SIDE, TileGrid(256, 256, 768, 32), ("flat",))

    assert crop.box[0] >= 64 or crop.box[1] >= 64


def test_a_picture_smaller_than_a_crop_is_shown_as_far_as_whole_blocks_go() -> None:
    crops = choose_crops(photograph(0, 50, 100), SIDE, TileGrid(50, 100, 768, 32))

    assert {crop.kind for crop in crops} == set(KINDS) - {SEAM}
    assert {(crop.box[2] - crop.box[0], crop.box[3] - crop.box[1]) for crop in crops} == {(48, 64)}


def test_numbers_tell_block_edges_from_a_shift_of_colour() -> None:
    original = photograph(1, 64, 64)
    means = original.reshape(8, 8, 8, 8, 3).mean((1, 3)).repeat(8, 0).repeat(8, 1).astype(np.uint8)
    shifted = (original.astype(np.float64) + np.array([12.0, 0, -12])).clip(0, 255).astype(np.uint8)
    same, blocks, colour = (crop_scores(original, one) for one in (original, means, shifted))

    assert tuple(same) == (100.0, 1.0, 0.0, 0.0)
    assert blocks.blockiness > 5
    assert blocks.colour < 1
    assert abs(colour.blockiness) < 0.2
    assert colour.colour > 5
    assert blocks.ssim < colour.ssim < 1
    assert blocks.psnr_hvs < same.psnr_hvs


def test_blockiness_is_a_difference_in_levels() -> None:
    steps = np.repeat(np.arange(0, 80, 10, dtype=np.uint8), 8)
    pixels = np.broadcast_to(steps[None, :, None], (64, 64, 3)).copy()

    assert blockiness(pixels) == pytest.approx((10 + 0) / 2)


def record(file_bytes: int, **changes: float) -> dict[str, Any]:
    scores = {"psnr_hvs": 30.0, "ssim": 0.9, "colour": 1.0, "blockiness": 0.5}
    about = {"picture": "a", "kind": "flat", "box": [0, 0, 8, 8], "codec": "rnc", "iterations": 2, "bytes": file_bytes}
    return {**about, **scores, **changes}


def test_regressions_are_found_at_equal_bytes() -> None:
    old = [record(1000, psnr_hvs=28.0), record(4000, psnr_hvs=32.0)]

    assert compare(old, [record(2000)], "rnc") == (4, [])
    worse = compare(old, [record(2000, psnr_hvs=29.5, colour=1.2)], "rnc").regressions
    assert [one.measure for one in worse] == ["psnr_hvs"]
    assert worse[0].was == pytest.approx(30)
    assert compare(old, [record(2000, blockiness=0.5 + 2 * TOLERANCES["blockiness"])], "rnc").regressions[0].is_ == 0.7
    assert compare(old, [record(5000, psnr_hvs=0.0)], "rnc") == (0, [])
    assert compare(old, [record(2000, psnr_hvs=0.0) | {"box": [8, 0, 16, 8]}], "rnc") == (0, [])


def test_means_are_those_of_each_codec_at_each_count() -> None:
    peer = record(900, ssim=0.4) | {"codec": "webp"}
    lines = means([record(1000), record(2000, ssim=0.8), peer]).splitlines()[2:]

    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines] == [
        ["2", "rnc", "2", "1500", "30.00", "0.850", "1.00", "0.50"],
        ["2", "webp", "1", "900", "30.00", "0.400", "1.00", "0.50"],
    ]


def test_the_command_makes_a_sheet_that_it_can_compare_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = register_random_codec(tmp_path)
    (tmp_path / "in").mkdir()
    Image.fromarray(photograph(0, 192, 176)).save(tmp_path / "in" / "a.png")
    sheet, numbers = tmp_path / "sheet.png", tmp_path / "sheet.json"
    options = [str(tmp_path / "in"), "--weights", str(path), "--iterations", "1,4", "--side", "64"]
    options += ["--tile-size", "128", "-o"]

    assert main([*options, str(sheet)]) == 0
    said = json.loads(numbers.read_text())
    assert [crop["kind"] for crop in said["crops"] if crop["codec"] == "rnc" and crop["iterations"] == 4] == list(KINDS)
    with Image.open(sheet) as opened:
        assert opened.size == (7 * 70 + 6, 5 * (64 + 54) + 6)

    assert main([*options, str(tmp_path / "again.webp"), "--against", str(numbers)]) == 0
    assert "0 of 40 numbers regressed" in capsys.readouterr().out
    for crop in said["crops"]:
        crop["ssim"] += 0.5
    numbers.write_text(json.dumps(said))
    assert main([*options, str(tmp_path / "again.webp"), "--against", str(numbers)]) == 1
    assert "ssim" in capsys.readouterr().out


def test_what_cannot_be_made_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = register_random_codec(tmp_path)
    Image.fromarray(photograph(0, 64, 48)).save(tmp_path / "a.png")
    options = [str(tmp_path), "--weights", str(path), "--iterations", "1", "-o", str(tmp_path / "s.png")]

    assert main([*options, "--kinds", "seam"]) == 2
    assert "no crop of seam" in capsys.readouterr().err
    assert main([*options, "--against", str(tmp_path / "absent.json")]) == 2
    assert "absent.json" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*options, "--kinds", "faces"])
    assert "unknown: faces; known: flat" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*options, "--side", "100"])
