"""Files with several frames: the current one is stored as it was edited, and the image stays as it was."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from fake_codec import FakeCodec
from PIL import Image, ImageDraw

import pillow_rnc
from pillow_rnc.cli.main import main
from pillow_rnc.plugin.frames import frame_count

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:frames of the image:pillow_rnc.RncWarning")
FORMATS = ("GIF", "TIFF")
COLOURS = ("red", "green", "blue")


@pytest.fixture(autouse=True)
def _codec(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeCodec().install(monkeypatch)


def frames(name: str, mode: str = "RGB") -> io.BytesIO:
    fp = io.BytesIO()
    images = [Image.new("RGB", (64, 64), colour) for colour in COLOURS]
    for k, im in enumerate(images):
        im.putpixel((k, 0), (255, 255, 255))
    first, *others = [im.convert(mode) for im in images]
    first.save(fp, name, save_all=True, append_images=others)
    return fp


def saved(im: Image.Image) -> Image.Image:
    fp = io.BytesIO()
    im.save(fp, "RNC", iterations=8)
    return Image.open(fp)


def state(im: Image.Image) -> tuple[Any, ...]:
    found: Any = im
    return im.size, im.mode, im.tell(), found.tile, im.tobytes(), dict(im.info), dict(im.getexif())


@pytest.mark.parametrize("frame", [0, 1])
@pytest.mark.parametrize("name", FORMATS)
def test_edits_are_stored_and_kept(name: str, frame: int) -> None:
    im: Any = Image.open(frames(name))
    im.seek(frame)
    im.thumbnail((32, 32))
    ImageDraw.Draw(im).rectangle((4, 4, 8, 8), fill=1)
    im.info["comment"] = "mine"
    if name == "TIFF":
        im.tag_v2[270] = "edited"
    before = state(im)

    stored = saved(im)

    assert stored.size == (32, 32)
    assert stored.convert("RGB").tobytes() == im.convert("RGB").tobytes()
    assert stored.info["comment"] == b"mine"
    assert state(im) == before
    if name == "TIFF":
        assert im.tag_v2[270] == "edited"
    for other in (2, 0, 1):
        im.seek(other)
        again: Any = Image.open(frames(name))
        again.seek(other)
        assert im.convert("RGB").tobytes() == again.convert("RGB").tobytes()
    assert im.n_frames == 3


def test_an_edited_palette_is_stored() -> None:
    im = Image.open(frames("GIF", "P"))
    im.load()
    im.putpalette([0, 0, 255] * 256)

    assert saved(im).convert("RGB").getcolors() == [(64 * 64, (0, 0, 255))]


@pytest.mark.parametrize("name", FORMATS)
def test_a_batch_stores_edits(name: str) -> None:
    images = [Image.open(frames(name)) for _ in range(2)]
    for im in images:
        im.thumbnail((32, 32))

    assert [Image.open(io.BytesIO(data)).size for data in pillow_rnc.encode_batch(images)] == [(32, 32)] * 2
    assert [im.size for im in images] == [(32, 32)] * 2


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_is_stored_at_the_size_that_the_command_line_gives(name: str, tmp_path: Path) -> None:
    source = tmp_path / f"a.{name.lower()}"
    source.write_bytes(frames(name).getvalue())

    assert main(["encode", str(source), "--resize", "50%", "-o", str(tmp_path / "a.rnc")]) == 0
    assert pillow_rnc.info(tmp_path / "a.rnc")["width"] == 32


@pytest.mark.parametrize("name", FORMATS)
def test_a_refused_save_of_all_frames_changes_nothing(name: str) -> None:
    im = Image.open(frames(name))
    im.thumbnail((32, 32))
    with pytest.raises(pillow_rnc.RncOptionError, match="save_all of 3 frames"):
        im.save(io.BytesIO(), "RNC", save_all=True)

    assert im.size == (32, 32)


@pytest.mark.parametrize("name", FORMATS)
def test_of_a_closed_file_the_current_frame_is_stored(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(frames(name).getvalue())
    with Image.open(path) as im:
        im.load()

    assert saved(im).size == (64, 64)
    with pytest.raises(pillow_rnc.RncOptionError, match="frames behind the first cannot be read"):
        im.save(io.BytesIO(), "RNC", save_all=True)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")  # Pillow's, of the directory of the second frame
def test_a_save_of_all_frames_reports_damaged_ones() -> None:
    data = frames("TIFF").getvalue()
    im: Any = Image.open(io.BytesIO(data[: len(data) // 2]))

    assert saved(im).size == (64, 64)
    with pytest.raises(pillow_rnc.RncOptionError, match="frames behind the first cannot be read"):
        im.save(io.BytesIO(), "RNC", save_all=True)


def test_a_count_that_needs_no_file_is_asked_for() -> None:
    class Counted(Image.Image):
        @property
        def n_frames(self) -> int:
            return 5

    assert frame_count(Counted()) == 5
