"""Photographs for training: bad files are named, splits are stable, crops depend on the step alone."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import photograph, write_photographs

from pillow_rnc.training import pack, published_sets
from pillow_rnc.training.crops import CropSampler, validation_crops
from pillow_rnc.training.data import is_held_out, load_photographs


def test_bad_files_are_named_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_photographs(tmp_path / "photos", 3)
    whole = (folder / "sample-0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "notes.txt").write_text("no picture")
    (folder / "empty.jpg").write_bytes(b"")
    Image.fromarray(photograph(9, 20, 20)).save(folder / "tiny.png")
    Image.fromarray(np.zeros((64, 64), np.uint16)).save(folder / "deep.png")
    with caplog.at_level(logging.WARNING):
        found = load_photographs(folder, smallest_px=32, held_out_share=0)

    assert len(found.training) == 3
    assert sorted(Path(name).name for name in found.skipped) == [
        "cut.png", "deep.png", "empty.jpg", "notes.txt", "tiny.png",
    ]  # fmt: skip
    assert all(name in caplog.text for name in found.skipped)


def test_a_folder_without_pictures_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no usable image of at least 32"):
        load_photographs(tmp_path, smallest_px=32)
    with pytest.raises(FileNotFoundError):
        load_photographs(tmp_path / "missing.zip", smallest_px=32)


def test_validation_needs_a_photograph_that_is_held_out() -> None:
    with pytest.raises(FileNotFoundError, match="no photograph is held out to validate on, as 5% are"):
        validation_crops([])


def test_names_alone_decide_what_is_held_out() -> None:
    names = [f"photo-{i}.png" for i in range(2000)]
    held = [name for name in names if is_held_out(name, 0.05)]

    assert 60 < len(held) < 140
    assert held[:3] == ["photo-22.png", "photo-25.png", "photo-34.png"], "the split must never change"
    assert held == [name for name in names if is_held_out(name.replace(".png", ".webp"), 0.05)]
    assert set(held) < {name for name in names if is_held_out(name, 0.1)}


def test_a_pack_gives_what_its_folder_gives(tmp_path: Path) -> None:
    folder = write_photographs(tmp_path / "photos", 6)
    (folder / "notes.txt").write_text("no picture")
    kept, skipped = pack.write_pack(folder, tmp_path / "photos.zip")
    original = load_photographs(folder, smallest_px=32, held_out_share=0.5)
    packed = load_photographs(tmp_path / "photos.zip", smallest_px=32, held_out_share=0.5)
    files = sum(path.stat().st_size for path in folder.glob("*.png"))

    assert (kept, skipped) == (6, 1)
    assert len(packed.held_out) == len(original.held_out) > 0
    for ours, theirs in zip(packed.training, original.training, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert (tmp_path / "photos.zip").stat().st_size < files + 6 * 200 + 100
    assert not (tmp_path / "photos.zip.part").exists()


def test_packing_nothing_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(FileNotFoundError, match="no image"):
        pack.write_pack(tmp_path / "photos", tmp_path / "photos.zip")

    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def sampler(**changes: object) -> CropSampler:
    pictures = [photograph(i, 96 + 16 * i, 80) for i in range(3)]
    return CropSampler(pictures, **({"crop_px": 32, "seed": 1} | changes))  # type: ignore[arg-type]


def test_crops_depend_on_seed_and_step_alone() -> None:
    first, again = sampler(), sampler()
    first.batch(0, 4)

    assert torch.equal(first.batch(5, 4), again.batch(5, 4))
    assert not torch.equal(first.batch(5, 4), first.batch(6, 4))
    assert not torch.equal(first.batch(5, 4), sampler(seed=2).batch(5, 4))


def test_parts_of_a_step_are_its_crops() -> None:
    whole = sampler().batch(3, 6)

    assert torch.equal(sampler().batch(3, 6, slice(2, 4)), whole[2:4])


def test_crops_are_windows_of_the_pictures_turned_or_flipped() -> None:
    picture = photograph(4, 40, 36)
    seen: set[int] = set()
    windows: dict[bytes, int] = {}
    for y in range(5):
        for x in range(9):
            window = picture[y : y + 32, x : x + 32]
            for turned in (window, window.transpose(1, 0, 2)):
                for flipped in (turned, turned[::-1], turned[:, ::-1], turned[::-1, ::-1]):
                    windows[flipped.tobytes()] = len(windows)
    for step in range(16):
        for crop in CropSampler([picture], crop_px=32, seed=0).batch(step, 4):
            pixels = crop.permute(1, 2, 0).to(torch.uint8).numpy()
            assert pixels.tobytes() in windows
            seen.add(windows[pixels.tobytes()] % 8)

    assert seen == set(range(8)), "all eight orientations occur"


def test_a_share_of_the_crops_is_scaled_down() -> None:
    flat = [np.full((80, 80, 3), 40, np.uint8)]
    flat[0][::2] = 200  # lines that vanish at half the size
    crops = CropSampler(flat, crop_px=32, seed=0, downscaled_share=0.5).batch(0, 64)
    scaled = [float(crop.std()) < 1 for crop in crops]

    assert 20 < sum(scaled) < 44


def test_large_pictures_are_drawn_more_often() -> None:
    pictures = [np.full((64, 64, 3), 10, np.uint8), np.full((128, 96, 3), 250, np.uint8)]
    bright = CropSampler(pictures, crop_px=32, seed=0).batch(0, 200)[:, 0, 0, 0] > 100

    assert 0.65 < float(bright.float().mean()) < 0.85


def test_small_set_is_every_picture_at_32_pixels(tmp_path: Path) -> None:
    folder = write_photographs(tmp_path / "photos", 3)
    (folder / "notes.txt").write_text("no picture")
    written, skipped = published_sets.write_set("small", folder, tmp_path / "out")
    found = load_photographs(tmp_path / "out", smallest_px=32, held_out_share=0)

    assert (written, skipped) == (3, 1)
    assert [pixels.shape for pixels in found.training] == [(32, 32, 3)] * 3


def test_high_entropy_tiles_are_those_that_png_compresses_worst() -> None:
    rng = np.random.default_rng(0)
    pixels = np.full((100, 140, 3), 128, np.uint8)  # 3 x 4 whole tiles
    noise = rng.integers(0, 256, (32, 32, 3), np.uint8)
    pixels[32:64, 64:96] = noise
    pixels[0:32, 96:128] = noise // 64 * 64
    tiles = published_sets.high_entropy(pixels, count=5)
    sizes = [published_sets.png_bytes(tile) for tile in published_sets.high_entropy(pixels)]

    assert len(tiles) == 5
    np.testing.assert_array_equal(tiles[0], noise)
    np.testing.assert_array_equal(tiles[1], noise // 64 * 64)
    assert len(sizes) == 12
    assert sizes == sorted(sizes, reverse=True)


def test_high_entropy_set_holds_a_hundred_tiles_of_each_picture(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    Image.fromarray(photograph(0, 32 * 12, 32 * 10)).save(folder / "large.png")
    Image.fromarray(photograph(1, 64, 64)).save(folder / "small.png")
    published_sets.main(["high-entropy", str(folder), str(tmp_path / "out")])
    names = [path.name.split("-")[0] for path in (tmp_path / "out").glob("*.png")]

    assert (names.count("large"), names.count("small")) == (100, 4)
