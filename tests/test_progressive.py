"""Pictures come one by one, each as good as the file with so many iterations, read no further than that."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageFile
from tiny_codec import register_tiny_codec

import pillow_rnc
from pillow_rnc import RncOptionError, SignatureError, TruncatedError
from pillow_rnc.codec import decoder
from pillow_rnc.container import reader, writer
from pillow_rnc.entropy.tile_coder import TileDecoder

if TYPE_CHECKING:
    from pathlib import Path

    from pillow_rnc.entropy.model import EntropyModel

BOX = (70, 3, 100, 40)
"""Lies in the second of the two tiles of `data`, and does not touch the first."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    register_tiny_codec(tmp_path_factory.mktemp("weights"))
    fp = io.BytesIO()
    im = Image.linear_gradient("L").resize((112, 50)).convert("RGBA")
    im.putalpha(im.getchannel("R"))
    im.save(fp, "RNC", model="tiny", iterations=4, tile_size=64, overlap=16, comment="hello")
    return fp.getvalue()


class CountingFile(io.BytesIO):
    """Remembers which bytes were read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.touched = bytearray(len(data))

    def read(self, size: int | None = -1, /) -> bytes:
        start = self.tell()
        found = super().read(size)
        self.touched[start : start + len(found)] = b"\1" * len(found)
        return found


@pytest.fixture
def decoded_tiles(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list of tiles that a decoder of codes is set to work for, filled as that happens."""
    tiles: list[int] = []

    def noted(model: EntropyModel, grid_h: int, grid_w: int, *, tile: int) -> TileDecoder:
        tiles.append(tile)
        return TileDecoder(model, grid_h, grid_w, tile=tile)

    monkeypatch.setattr(decoder, "TileDecoder", noted)
    return tiles


@pytest.mark.parametrize("region", [None, BOX])
def test_each_picture_is_that_of_the_shorter_file(data: bytes, region: tuple[int, int, int, int] | None) -> None:
    shown = list(pillow_rnc.progressive(io.BytesIO(data), region=region))

    assert len(shown) == 4
    for iterations, im in enumerate(shown, 1):
        shorter = io.BytesIO(writer.truncate(data, iterations))
        assert im.tobytes() == pillow_rnc.open(shorter, region=region).tobytes()
        assert (im.mode, im.info["comment"]) == ("RGBA", b"hello")
    assert len(list(pillow_rnc.progressive(io.BytesIO(data), iterations=2))) == 2
    assert len(list(pillow_rnc.progressive(io.BytesIO(data), iterations=9))) == 4


def test_an_iteration_is_read_when_its_picture_is_asked_for(data: bytes) -> None:
    lengths = [len(writer.truncate(data, k)) for k in (1, 2, 3, 4)]
    fp = CountingFile(data)
    for length, _ in zip(lengths, pillow_rnc.progressive(fp), strict=True):
        assert fp.touched == b"\1" * length + b"\0" * (len(data) - length)


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_k_iterations_read_their_bytes_and_no_others(data: bytes, iterations: int) -> None:
    length = len(writer.truncate(data, iterations))
    fp = CountingFile(data)
    im = pillow_rnc.open(fp, iterations=iterations)
    im.getexif()
    before = reader.read_head(io.BytesIO(data)).units_offset
    assert fp.touched.count(1) <= before + 8
    im.load()

    assert fp.touched == b"\1" * length + b"\0" * (len(data) - length)


def test_a_region_decodes_the_tiles_that_it_touches(data: bytes, decoded_tiles: list[int]) -> None:
    pillow_rnc.open(io.BytesIO(data), region=BOX).load()
    assert decoded_tiles == [1]
    next(iter(pillow_rnc.progressive(io.BytesIO(data), region=BOX)))
    assert decoded_tiles == [1, 1]
    pillow_rnc.open(io.BytesIO(data)).load()
    assert sorted(decoded_tiles) == [0, 1, 1, 1]


def test_of_a_cut_file_the_whole_iterations_come_before_the_error(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = data[: len(writer.truncate(data, 3)) - 1]
    pictures = iter(pillow_rnc.progressive(io.BytesIO(broken)))
    next(pictures)
    next(pictures)
    with pytest.raises(TruncatedError, match=r"\(2 of 4 iterations\)"):
        next(pictures)
    assert len(list(pillow_rnc.progressive(io.BytesIO(broken), allow_truncated=True))) == 2
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert len(list(pillow_rnc.progressive(io.BytesIO(broken)))) == 2


def test_arguments_are_checked_as_for_open(data: bytes) -> None:
    with pytest.raises(SignatureError):
        next(iter(pillow_rnc.progressive(io.BytesIO(b"GIF89a"))))
    with pytest.raises(RncOptionError, match="iterations 0"):
        next(iter(pillow_rnc.progressive(io.BytesIO(data), iterations=0)))
    with pytest.raises(Image.DecompressionBombError):
        next(iter(pillow_rnc.progressive(io.BytesIO(data), max_pixels=10)))


@pytest.mark.parametrize("loaded", [False, True])
@pytest.mark.parametrize("region", [None, BOX])
def test_an_opened_image_has_its_pictures_before_and_after_it_is_loaded(
    data: bytes, loaded: bool, region: tuple[int, int, int, int] | None
) -> None:
    im = pillow_rnc.open(io.BytesIO(data), iterations=3, region=region)
    if loaded:
        im.load()
    expected = [picture.tobytes() for picture in pillow_rnc.progressive(io.BytesIO(data), iterations=3, region=region)]
    for _ in range(2):
        assert [picture.tobytes() for picture in pillow_rnc.progressive(im)] == expected
    assert im.tobytes() == expected[-1]


def test_an_opened_image_takes_no_arguments_and_others_have_no_iterations(data: bytes) -> None:
    im = pillow_rnc.open(io.BytesIO(data))
    with pytest.raises(RncOptionError, match="region is given to"):
        pillow_rnc.progressive(im, region=BOX)
    with pytest.raises(RncOptionError, match="format None has no iterations"):
        pillow_rnc.progressive(im.copy())  # type: ignore[arg-type]


def test_a_path_is_closed_however_far_the_pictures_went(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.rnc"
    path.write_bytes(data)
    pillow_rnc.progressive(path)
    pictures = iter(pillow_rnc.progressive(path))
    next(pictures)
    pictures.close()  # type: ignore[attr-defined]
    assert len(list(pillow_rnc.progressive(path))) == 4
    im = pillow_rnc.open(path)
    im.close()
    with pytest.raises(ValueError, match="closed"):
        next(im.progressive())
