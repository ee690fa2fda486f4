"""Metadata of real files: what is kept, converted or left out with a warning, as docs/metadata.md states."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import metadata_files as files
import pytest
from fake_codec import FakeCodec
from PIL import ExifTags, Image, ImageCms, ImageOps
from PIL.PngImagePlugin import PngInfo
from pillow_version import PILLOW

import pillow_rnc
from pillow_rnc import RncOptionError, RncWarning

PAGE = Path(__file__).parent.parent / "docs" / "metadata.md"
documented_pillow = pytest.mark.skipif(PILLOW < (13,), reason="the page is about Pillow 13 and later")
DATE = ExifTags.Base.DateTimeOriginal


@pytest.fixture(autouse=True)
def _codec(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeCodec().install(monkeypatch)


def saved(im: Image.Image, **params: Any) -> Image.Image:  # noqa: ANN401 -- as Image.save
    fp = io.BytesIO()
    im.save(fp, "RNC", **params)
    return Image.open(fp)


def opened(name: str = "JPEG") -> Image.Image:
    return Image.open(io.BytesIO(files.source_file(name)))


def table(index: int) -> dict[str, dict[str, str]]:
    """Return a table of the page, by column and row."""
    tables = PAGE.read_text(encoding="utf-8").split("| Item | ")[1:]
    head, _, *rows = [line.strip("| ").split(" | ") for line in tables[index].split("\n\n")[0].splitlines()]
    return {name: {row[0]: row[column] for row in rows} for column, name in enumerate(head, 1)}


@documented_pillow
@pytest.mark.parametrize("name", files.SOURCES)
def test_each_item_of_a_real_file_is_treated_as_documented(name: str) -> None:
    assert files.into_rnc(name) == table(0)[name]


@documented_pillow
@pytest.mark.parametrize("name", files.TARGETS)
def test_each_item_is_handed_on_to_another_format_as_documented(name: str) -> None:
    assert files.out_of_rnc(name) == table(1)[name]


@pytest.mark.parametrize("name", files.SOURCES)
def test_nothing_is_lost_without_a_warning(name: str) -> None:
    assert "lost" not in files.into_rnc(name).values()


@pytest.mark.parametrize("name", files.SOURCES)
def test_looking_at_exif_changes_nothing(name: str) -> None:
    stored = []
    for look in (False, True):
        im = opened(name)
        if look:
            exif = im.getexif()
            for tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo, ExifTags.IFD.Interop, ExifTags.IFD.IFD1):
                with suppress(KeyError):  # of Pillow 12, where there is no Interop
                    exif.get_ifd(tag)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RncWarning)
            stored.append(saved(im).info.get("exif"))
    assert stored[0] == stored[1]


def test_exif_with_tags_in_a_sub_directory_only_is_kept() -> None:
    exif = Image.Exif()
    exif[ExifTags.IFD.Exif] = {DATE: "2026"}
    assert saved(Image.new("RGB", (8, 8)), exif=exif).getexif().get_ifd(ExifTags.IFD.Exif) == {DATE: "2026"}

    if PILLOW >= (11, 1):  # a directory that was not there before is kept
        im = saved(Image.new("RGB", (8, 8)))
        im.getexif().get_ifd(ExifTags.IFD.GPSInfo)[1] = "N"
        assert saved(im).getexif().get_ifd(ExifTags.IFD.GPSInfo) == {1: "N"}
    assert "exif" not in saved(Image.new("RGB", (8, 8)), exif=Image.Exif()).info


@pytest.mark.parametrize("kind", ["exif", "APP1", "xmp", "icc"])
@pytest.mark.parametrize("look", [False, True])
def test_profiles_in_text_chunks_of_png_are_kept(kind: str, look: bool) -> None:
    data = {"xmp": files.XMP, "icc": files.ICC}.get(kind, files.full_exif())
    text, fp = PngInfo(), io.BytesIO()
    text.add_text(f"Raw profile type {kind}", f"\n{kind}\n{len(data):8}\n{data.hex()}\n", zip=True)
    Image.new("RGB", files.SIZE).save(fp, "PNG", pnginfo=text)
    im = Image.open(fp)
    if look:
        im.getexif()

    assert saved(im).info[{"icc": "icc_profile", "APP1": "exif"}.get(kind, kind)] == data


def test_a_damaged_profile_in_a_text_chunk_is_left_out_with_a_warning() -> None:
    text, fp = PngInfo(), io.BytesIO()
    text.add_text("Raw profile type xmp", "\nxmp\n  3\nno hex\n")
    Image.new("RGB", (8, 8)).save(fp, "PNG", pnginfo=text)
    with pytest.warns(RncWarning, match="Raw profile type xmp' is damaged"):
        assert "xmp" not in saved(Image.open(fp)).info


@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "TIFF", *files.AVIF])
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.filterwarnings("ignore::pillow_rnc.RncWarning")
def test_an_upright_image_is_not_turned_again(name: str, in_place: bool) -> None:
    im = opened(name)
    if in_place:
        ImageOps.exif_transpose(im, in_place=True)
        upright: Image.Image = im
    else:
        upright = ImageOps.exif_transpose(im)
    result = saved(upright)

    assert result.size == upright.size
    assert result.getexif().get(ExifTags.Base.Orientation) is None


def test_the_orientation_stays_with_the_image_that_was_opened_only() -> None:
    assert saved(opened()).getexif()[ExifTags.Base.Orientation] == 6
    turned = opened().transpose(Image.Transpose.ROTATE_270)
    with pytest.warns(RncWarning, match="orientation 6 is left out"):
        exif = saved(turned).getexif()
    assert ExifTags.Base.Orientation not in exif
    assert exif[ExifTags.Base.Make] == "Maker"
    assert exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.MakerNote] == files.MAKER_NOTE


def test_an_orientation_that_the_program_sets_is_kept() -> None:
    turned = opened().transpose(Image.Transpose.ROTATE_180)
    assert saved(turned, exif=opened().info["exif"]).getexif()[ExifTags.Base.Orientation] == 6
    turned.getexif()[ExifTags.Base.Orientation] = 8
    with pytest.warns(RncWarning, match="thumbnail"):
        assert saved(turned).getexif()[ExifTags.Base.Orientation] == 8


def test_an_orientation_in_xmp_is_treated_alike() -> None:
    xmp = b'<a tiff:Orientation="6"/>'
    source = saved(Image.new("RGB", (8, 8)), xmp=xmp)
    source.getexif()
    assert saved(source).info["xmp"] == xmp
    assert "exif" not in saved(source).info
    with pytest.warns(RncWarning, match="xmp: the orientation"):
        assert saved(source.copy()).info["xmp"] == b'<a tiff:Orientation="1"/>'


@pytest.mark.filterwarnings("ignore:exif. orientation:pillow_rnc.RncWarning")
@pytest.mark.parametrize("operation", ["crop", "resize", "thumbnail", "reduce"])
def test_the_thumbnail_of_a_cropped_or_scaled_image_does_not_survive(operation: str) -> None:
    im = opened()
    if operation == "crop":
        im = im.crop((0, 0, 10, 10))
    elif operation == "resize":
        im = im.resize((20, 10))
    elif operation == "reduce":
        im = im.reduce(2)
    else:
        im.thumbnail((10, 10))
    with pytest.warns(RncWarning, match="thumbnail is left out"):
        exif = saved(im).info["exif"]

    assert b"thumbnail" not in exif
    kept = files.contents(saved(im, exif=exif))
    assert {"EXIF tags", "EXIF sub-IFD", "GPS", "MakerNote"} <= set(kept)


def test_the_thumbnail_of_a_region_does_not_survive() -> None:
    fp = io.BytesIO()
    opened().save(fp, "RNC")
    with pytest.warns(RncWarning, match="thumbnail is left out"):
        exif = saved(pillow_rnc.open(fp, region=(0, 0, 9, 9))).info["exif"]
    assert b"thumbnail" not in exif


@pytest.mark.parametrize(("offset", "same"), [(at, at < 30) for at in (0, 4, 30, 60, 100, 150, 200, 210)])
@pytest.mark.filterwarnings("ignore::pillow_rnc.RncWarning")
def test_damaged_exif_stops_no_save(offset: int, same: bool) -> None:
    """If it cannot be read at all it is kept as it is; otherwise what can be read is kept."""
    exif = bytearray(files.full_exif())
    exif[6 + offset : 10 + offset] = struct.pack("<I", 0xFFFFFF00)
    im = Image.new("RGB", (9, 9))
    im.info["exif"] = bytes(exif)
    result = saved(im)

    assert (result.info["exif"] == bytes(exif)) == same
    assert 176 <= len(result.info["exif"]) <= len(exif)


@pytest.mark.parametrize("key", ["exif", "xmp", "icc_profile", "comment"])
def test_what_is_too_long_is_left_out_if_carried_and_an_error_if_passed(key: str) -> None:
    im = Image.new("RGB", (8, 8))
    im.info[key] = bytes((1 << 20) + 1)[:-1] + b"x"
    with pytest.warns(RncWarning, match=f"{key} of the image is left out: it has 1048577 bytes"):
        assert key not in saved(im).info
    with pytest.raises(RncOptionError, match=f"{key} of 1048577 bytes"):
        saved(im, **{key: im.info[key]})


def test_of_too_much_together_the_comment_is_left_out_first() -> None:
    im = Image.new("RGB", (8, 8))
    for key in ("exif", "xmp", "icc_profile", "comment"):
        im.info[key] = bytes([7]) * (1 << 20)
    im.info["dpi"] = 300, 300
    with pytest.warns(RncWarning, match="comment of the image is left out"):
        assert {"exif", "xmp", "icc_profile", "dpi"} <= set(saved(im).info)


def _profile(space: bytes) -> bytes:
    profile = bytearray(files.ICC)
    profile[16:20] = space
    return bytes(profile)


@pytest.mark.parametrize(
    ("space", "mode", "kept"),
    [
        (b"RGB ", "RGB", True),
        (b"RGB ", "RGBA", True),
        (b"RGB ", "P", True),
        (b"RGB ", "L", False),
        (b"GRAY", "L", True),
        (b"GRAY", "LA", True),
        (b"GRAY", "RGB", False),
        (b"CMYK", "RGB", False),
        (b"CMYK", "CMYK", False),
        (b"Lab ", "RGB", False),
    ],
)
def test_a_profile_is_kept_if_it_describes_the_stored_colours(space: bytes, mode: str, kept: bool) -> None:
    im = Image.new(mode, (8, 8))
    im.info["icc_profile"] = _profile(space)
    if kept:
        assert saved(im).info["icc_profile"] == _profile(space)
        return
    with pytest.warns(RncWarning, match="icc_profile of the image is left out"):
        assert "icc_profile" not in saved(im).info
    assert saved(im, icc_profile=_profile(space)).info["icc_profile"] == _profile(space)


def test_other_frames_are_left_out_with_a_warning_and_refused_if_asked_for() -> None:
    fp = io.BytesIO()
    frames = [Image.new("L", (8, 8), value) for value in (0, 99, 200)]
    frames[0].save(fp, "GIF", save_all=True, append_images=frames[1:])
    im = Image.open(fp)
    im.seek(1)
    with pytest.warns(RncWarning, match="2 of 3"):
        assert saved(im).getpixel((0, 0)) == im.convert("RGB").getpixel((0, 0))
    with pytest.raises(RncOptionError, match="save_all of 3 frames"):
        saved(im, save_all=True)
    with pytest.raises(RncOptionError, match="save_all of 2 frames"):
        # From Pillow 11.2 on, append_images stands for save_all as well.
        saved(Image.new("L", (8, 8)), save_all=PILLOW < (11, 2) or None, append_images=[Image.new("L", (8, 8))])


def test_iptc_is_left_out_with_a_warning() -> None:
    im = Image.new("RGB", (8, 8))
    im.info["photoshop"] = {1028: b"iptc"}
    with pytest.warns(RncWarning, match="IPTC"):
        saved(im)


def test_metadata_that_nobody_wants_is_left_out_silently() -> None:
    with pillow_rnc.use_options(keep_metadata=False):
        assert set(saved(opened("PNG")).info) == {"icc_profile", "rnc"}
    im = Image.new("CMYK", (8, 8))
    im.info.update(icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes())
    saved(im, icc_profile=None)


def test_a_warning_points_at_the_line_that_saves() -> None:
    im = Image.new("RGB", (8, 8))
    im.info["photoshop"] = {1028: b"iptc"}
    with pytest.warns(RncWarning) as caught:
        im.save(io.BytesIO(), "RNC")
    assert caught[0].filename == __file__


@pytest.mark.filterwarnings("ignore:exif. the thumbnail:pillow_rnc.RncWarning")
@pytest.mark.parametrize("how", ["unread", "read", "emptied"])
def test_a_place_that_was_removed_is_not_stored(how: str) -> None:
    im = opened()
    exif = im.getexif()
    if how != "unread":
        assert exif.get_ifd(ExifTags.IFD.GPSInfo)
    if how == "emptied":
        exif.get_ifd(ExifTags.IFD.GPSInfo).clear()
    else:
        del exif[ExifTags.IFD.GPSInfo]
    kept = files.contents(saved(im))

    assert "GPS" not in kept
    assert {"EXIF tags", "EXIF sub-IFD", "MakerNote"} <= set(kept)


def test_exif_of_which_every_tag_was_removed_is_not_stored() -> None:
    im = saved(Image.new("RGB", (8, 8)), exif=files.full_exif(thumbnail=False))
    exif = im.getexif()
    for tag in list(exif):
        del exif[tag]
    assert "exif" not in saved(im).info


def test_text_that_utf8_cannot_encode_is_left_out_if_carried_and_an_error_if_passed() -> None:
    im = Image.new("RGB", (8, 8))
    im.info["comment"] = "a\ud800"
    with pytest.warns(RncWarning, match="comment of the image is left out: .* UTF-8 .* position 1"):
        assert "comment" not in saved(im).info
    with pytest.raises(RncOptionError, match="comment is not text that UTF-8 can encode"):
        saved(im, comment="\ud800")


def test_a_resolution_that_is_too_high_is_an_error_that_states_the_range() -> None:
    with pytest.raises(RncOptionError, match=r"dpi \(70000, 72\) .* from 1/65536 to 65535"):
        saved(Image.new("RGB", (8, 8)), dpi=(70000, 72))


def _chunk(kind: bytes, *values: int) -> bytes:
    data = kind + struct.pack(f">{len(values)}I", *values)
    return struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))


GAMMA, SRGB_GAMMA = _chunk(b"gAMA", 100000), _chunk(b"gAMA", 45455)
WIDE = _chunk(b"cHRM", 31270, 32900, 70000, 29000, 20000, 70000, 15000, 6000)
SRGB_CHROMATICITY = _chunk(b"cHRM", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
SRGB = struct.pack(">I4sBI", 1, b"sRGB", 0, zlib.crc32(b"sRGB\0"))


@pytest.mark.parametrize(
    ("chunks", "left_out"),
    [
        (GAMMA, "gamma of the image is left out"),
        (SRGB_GAMMA + WIDE, "chromaticity of the image is left out"),
        (GAMMA + WIDE, "gamma and chromaticity of the image are left out"),
        (SRGB_GAMMA + SRGB_CHROMATICITY, None),
        (SRGB + GAMMA, None),
    ],
)
def test_colours_that_png_describes_are_left_out_with_a_warning(chunks: bytes, left_out: str | None) -> None:
    fp = io.BytesIO()
    Image.new("RGB", (8, 8)).save(fp, "PNG")
    data = fp.getvalue()
    data = data[:33] + chunks + data[33:]  # after the header
    if left_out is None:
        saved(Image.open(io.BytesIO(data)))  # a warning would be an error
        return
    with pytest.warns(RncWarning, match=left_out):
        saved(Image.open(io.BytesIO(data)))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    saved(Image.open(io.BytesIO(data)), icc_profile=profile)
    with_profile = Image.open(io.BytesIO(data))
    with_profile.info["icc_profile"] = profile
    saved(with_profile)
    with pillow_rnc.use_options(keep_metadata=False):
        saved(Image.open(io.BytesIO(data)))
