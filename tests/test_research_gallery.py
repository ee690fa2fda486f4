"""The page of pictures: what the command writes, and that the page of the repository is of that form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from tiny_codec import register_tiny_codec

pytest.importorskip("pytorch_msssim", reason="needs the extra [eval]")
pytest.importorskip("psnr_hvsm", reason="needs the extra [eval]")
pytest.importorskip("imagecodecs", reason="needs the extra [peers]")

from pillow_rnc.evaluation.curves import Point
from pillow_rnc.evaluation.peers import PEERS, Peer
from research import gallery

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MAX_BYTES = 1_500_000
"""What all sheets may have together."""


def form(page: str) -> str:
    """Return a page without its numbers and the widths of its columns."""
    return re.sub(r"-?\d+(\.\d+)?|-+:?", "#", re.sub(" +", " ", page))


def entries(count: int = 5) -> list[gallery.Entry]:
    labels = ["RNC", *(PEERS[name].label for name in gallery.SHOWN_PEERS)]
    return [gallery.Entry(label, Point(8, 900, 0.25, 30, 0.9, 30, 50), None) for label in labels[:count]]


def test_the_page_of_the_repository_has_the_form_that_the_command_writes() -> None:
    expected = gallery.page(
        [(picture, bpp, entries()) for picture in gallery.PICTURES for bpp in gallery.RATES_BPP],
    )

    assert form(gallery.PAGE.read_text(encoding="utf-8")) == form(expected)


def test_sheets_of_the_repository_are_small_and_all_of_them_are_shown() -> None:
    folder = gallery.PAGE.with_suffix("")
    page = gallery.PAGE.read_text(encoding="utf-8")
    names = {gallery.file_name(picture, bpp) for picture in gallery.PICTURES for bpp in gallery.RATES_BPP}

    assert {path.name for path in folder.iterdir()} == names
    assert set(re.findall(r"\(gallery/(.*?)\)", page)) == names
    assert sum((folder / name).stat().st_size for name in names) < MAX_BYTES
    for picture in gallery.PICTURES:
        with Image.open(folder / gallery.file_name(picture, gallery.RATES_BPP[0])) as sheet:
            left, _, right, _ = picture.box
            assert sheet.width == 3 * (right - left) + 8


@pytest.mark.parametrize("picture", gallery.PICTURES, ids=lambda picture: picture.name)
def test_pictures_contain_the_part_that_is_shown(picture: gallery.Picture) -> None:
    image = gallery.load(picture)
    left, upper, right, lower = picture.box

    assert image.mode == "RGB"
    assert 0 <= left < right <= image.width
    assert 0 <= upper < lower <= image.height


@pytest.fixture
def noise() -> Image.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (176, 184, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def test_peers_have_at_most_our_bytes(noise: Image.Image, tmp_path: Path) -> None:
    ours, *peers = gallery.entries_of(noise, 4, register_tiny_codec(tmp_path).stem)

    assert ours.label == "RNC"
    assert ours.point is not None
    assert ours.point.bpp <= 4
    assert [entry.label for entry in peers] == [PEERS[name].label for name in gallery.SHOWN_PEERS]
    for entry in peers:
        assert (entry.point is None) == (entry.shown is None)
        assert entry.point is None or entry.point.file_bytes <= ours.point.file_bytes


class Steps(Peer):
    """Files of as many bytes as the setting says."""

    def encode(self, image: Image.Image, setting: int) -> bytes:
        del image
        return bytes(setting)


@pytest.mark.parametrize(("budget", "setting"), [(9, None), (10, 10), (25, 20), (39, 30), (40, 40), (99, 40)])
def test_the_largest_setting_within_a_budget_is_found(budget: int, setting: int | None, noise: Image.Image) -> None:
    peer = Steps("steps", "Steps", "", "", (), (10, 40), (40, 10, 30, 20))

    assert gallery.largest_setting(peer, noise, budget) == setting


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (2, 1), (5, 2)])
def test_a_sheet_shows_the_original_and_each_codec(count: int, rows: int, noise: Image.Image) -> None:
    shown = [entry._replace(shown=noise) for entry in entries(count)]
    sheet = gallery.sheet(noise, shown, (10, 20, 110, 80))

    assert sheet.size == (3 * 100 + 8, rows * (60 + 18) + (rows - 1) * 4)
    part = noise.crop((10, 20, 110, 80))
    assert sheet.crop((0, 18, 100, 78)).tobytes() == part.tobytes()
    assert sheet.crop((104, 18, 204, 78)).tobytes() == part.tobytes()


def test_a_codec_without_so_small_a_file_has_dashes(noise: Image.Image) -> None:
    missing = [gallery.Entry("WebP", None, None)]
    page = gallery.page([(gallery.PICTURES[0], 0.25, missing)])

    assert re.search(r"\| WebP +(\| +- )+\|", page)
    gallery.sheet(noise, missing, (0, 0, 50, 50))


def test_the_command_writes_page_and_sheets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noise: Image.Image, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[tuple[float, str | None]] = []

    def measured(image: Image.Image, bpp: float, model: str | None) -> Sequence[gallery.Entry]:
        asked.append((bpp, model))
        return [entry._replace(shown=image) for entry in entries()]

    monkeypatch.setattr(gallery, "entries_of", measured)
    monkeypatch.setattr(gallery, "load", lambda _: noise)
    monkeypatch.setattr(gallery, "PICTURES", gallery.PICTURES[:2])

    assert gallery.main([str(tmp_path / "pictures.md"), "--model", "m"]) == 0
    assert asked == [(bpp, "m") for bpp in gallery.RATES_BPP] * 2
    assert len(list((tmp_path / "pictures").iterdir())) == len(capsys.readouterr().out.split()) == 6
    assert "### Fur, 0.5 bpp" in (tmp_path / "pictures.md").read_text()
