"""The format behaves in Pillow as any other: lazy, in every mode, with its metadata, whole or cut."""

from __future__ import annotations

import copy
import io
import itertools
import os
import pickle
import shutil
import subprocess
import sys
import threading
import warnings
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_codec import FakeCodec
from PIL import ExifTags, Image, ImageCms, ImageFile, ImageOps, ImageSequence, UnidentifiedImageError, features

import pillow_rnc
from pillow_rnc import (
    CorruptError,
    RncFileError,
    RncImageFile,
    RncOptionError,
    RncWarning,
    SignatureError,
    TruncatedError,
    UnsupportedError,
)
from pillow_rnc.codec.execution import ExecutionOptions
from pillow_rnc.container import reader, writer
from pillow_rnc.container.signature import SIGNATURE
from pillow_rnc.models import weights
from pillow_rnc.plugin import rate_control

SRGB = ImageCms.createProfile("sRGB")
LOSSLESS = 8
"""Iterations after which the fake codec has lost nothing."""


@pytest.fixture(autouse=True)
def codec(monkeypatch: pytest.MonkeyPatch) -> FakeCodec:
    """Replace the network; the only place where these tests say which codec they run."""
    fake = FakeCodec()
    fake.install(monkeypatch)
    return fake


def picture(mode: str = "RGB", size: tuple[int, int] = (40, 30)) -> Image.Image:
    """Return a picture with smooth parts and noise, different in each band."""
    noise = np.random.default_rng(len(mode)).integers(0, 64, (size[1], size[0], 4))
    ramp = np.mgrid[: size[1], : size[0]].sum(axis=0)[..., None] * [1, 2, 3, 4]
    im = Image.fromarray(((noise + ramp) % 256).astype(np.uint8), "RGBA")
    return im if mode == "RGBA" else im.convert(mode)


def saved(im: Image.Image, **params: object) -> bytes:
    """Return an image as a file."""
    fp = io.BytesIO()
    im.save(fp, "RNC", **params)
    return fp.getvalue()


def opened(data: bytes) -> RncImageFile:
    """Return a file as an image, not yet loaded."""
    im = Image.open(io.BytesIO(data))
    assert isinstance(im, RncImageFile)
    return im


class RecordingFile(io.BytesIO):
    """Remembers how far it was read."""

    furthest = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.furthest = max(self.furthest, self.tell())
        return data


class Pipe(io.RawIOBase):
    """A stream that cannot seek."""

    def __init__(self, data: bytes = b"") -> None:
        self.buffer = io.BytesIO(data)
        self.written = b""

    def read(self, size: int = -1, /) -> bytes:
        return self.buffer.read(size)

    def write(self, data: Any, /) -> int:  # noqa: ANN401 -- any buffer
        self.written += bytes(data)
        return len(data)


# Opening and loading


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 31), (200, 90)])
def test_native_modes_come_back_with_mode_and_size_known_before_loading(mode: str, size: tuple[int, int]) -> None:
    original = picture(mode, size)
    im = opened(saved(original, iterations=LOSSLESS, tile_size=64, overlap=16))

    assert (im.mode, im.size, im.format, im.n_frames, im.is_animated) == (mode, size, "RNC", 1, False)
    assert im.get_format_mimetype() == "image/x-rnc"
    assert np.array_equal(np.asarray(im), np.asarray(original))
    assert (im.mode, im.size) == (mode, size)


@pytest.mark.parametrize("mode", ["1", "P", "PA", "La", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"])
def test_other_modes_are_converted(mode: str) -> None:
    source = picture("RGBA" if mode in ("PA", "RGBa") else "LA" if mode == "La" else "RGB")
    original = source.convert("P").convert("PA") if mode == "PA" else source.convert(mode)
    expected = {"1": "L", "PA": "RGBA", "La": "LA", "RGBa": "RGBA"}.get(mode, "RGB")
    original.info.pop("icc_profile", None)  # `convert` adds one to LAB
    im = opened(saved(original, iterations=LOSSLESS))

    assert im.mode == expected
    assert np.array_equal(np.asarray(im), np.asarray(original.convert(expected)))


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_a_transparent_colour_becomes_alpha(mode: str) -> None:
    original = picture("L").convert(mode)
    colour = original.getpixel((0, 0))
    original.info["transparency"] = colour
    im = opened(saved(original, iterations=LOSSLESS))

    assert im.mode == ("LA" if mode in ("1", "L") else "RGBA")
    assert im.getpixel((0, 0))[-1] == 0  # type: ignore[index]
    assert im.getchannel("A").getextrema() == (0, 255)


@pytest.mark.parametrize("mode", ["I", "F", "I;16", "I;16L", "I;16B", "I;16N"])
def test_deep_modes_are_refused_by_name(mode: str) -> None:
    with pytest.raises(OSError, match=f"cannot write mode {mode} as RNC"):
        saved(Image.new(mode, (2, 2)))


@pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
def test_an_empty_image_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot write empty image as RNC"):
        saved(Image.new("RGB", size))


def test_the_longest_side_is_65535() -> None:
    assert opened(saved(Image.new("L", (65535, 1)), iterations=1)).size == (65535, 1)
    with pytest.raises(ValueError, match="65536x1 is not allowed, RNC holds 1 to 65535"):
        saved(Image.new("L", (65536, 1)))


def test_an_opaque_alpha_takes_no_bytes_and_stays_in_the_mode() -> None:
    im = opened(saved(picture().convert("RGBA")))

    assert im.mode == "RGBA"
    assert im._head is not None
    assert im._head.alpha is None
    assert im.getchannel("A").getextrema() == (255, 255)


def test_alpha_is_lossless_at_any_rate() -> None:
    original = picture("RGBA")
    im = opened(saved(original, iterations=1))

    assert np.array_equal(np.asarray(im.getchannel("A")), np.asarray(original.getchannel("A")))


def test_alpha_may_be_stored_with_less_quality_also_of_a_stored_file(codec: FakeCodec) -> None:
    original = picture("RGBA")
    data = saved(original, iterations=LOSSLESS)
    lower = saved(original, iterations=LOSSLESS, alpha_quality=30)
    before = codec.encoded

    assert len(lower) < len(data)
    values = np.asarray(opened(lower).getchannel("A")).astype(int)
    assert 0 < np.abs(values - np.asarray(original.getchannel("A"))).max() <= 26
    assert np.array_equal(np.asarray(opened(lower).convert("RGB")), np.asarray(original.convert("RGB")))
    # The colours of a stored file are copied, whatever becomes of its alpha; and the file is whole.
    assert saved(opened(data), alpha_quality=30) == lower
    assert saved(opened(data), alpha_quality=100) == data
    assert saved(opened(data), alpha_quality=30, iterations=2) == writer.truncate(lower, 2)
    assert len(saved(opened(data), alpha_quality=30, target_size=len(lower))) == len(lower)
    assert codec.encoded == before
    opened(lower).verify()
    opaque = saved(picture(), alpha_quality=0)
    assert opaque == saved(picture())


def test_paths_file_objects_and_streams_that_cannot_seek_are_read(tmp_path: Path) -> None:
    data = saved(picture())
    path = tmp_path / "a.RNC"
    path.write_bytes(data)
    expected = np.asarray(opened(data))
    for opener in (Image.open, pillow_rnc.open):
        sources: list[Any] = [path, str(path), Pipe(data)]
        for source in sources:
            with opener(source) as im:
                assert np.array_equal(np.asarray(im), expected)
    with path.open("rb") as fp:
        Image.open(fp).load()
        assert not fp.closed
    out = Pipe()
    Image.fromarray(expected).save(out, "RNC")  # type: ignore[arg-type]
    assert out.written.startswith(SIGNATURE)


def test_a_file_that_we_opened_is_closed_after_loading(tmp_path: Path) -> None:
    path = tmp_path / "a.rnc"
    picture().save(path)
    im = Image.open(path)
    fp = im.fp
    im.load()

    assert fp is not None
    assert fp.closed
    assert im.fp is None


@pytest.mark.parametrize("step", [1, 64, 4096])
def test_the_parser_takes_a_file_in_pieces(step: int) -> None:
    data = saved(picture(size=(24, 17)), iterations=2)
    with ImageFile.Parser() as parser:
        for start in range(0, len(data), step):
            parser.feed(data[start : start + step])
        im = parser.close()

    assert np.array_equal(np.asarray(im), np.asarray(opened(data)))


def test_allow_lists_name_us() -> None:
    data = saved(picture())

    assert Image.open(io.BytesIO(data), formats=["RNC"]).format == "RNC"
    with pytest.raises(UnidentifiedImageError):
        Image.open(io.BytesIO(data), formats=["PNG"])


def test_pictures_from_memory_have_an_empty_file_name() -> None:
    data = saved(picture())

    assert [opener(io.BytesIO(data)).filename for opener in (pillow_rnc.open, Image.open)] == ["", ""]


def test_copies_live_without_the_file() -> None:
    im = opened(saved(picture("LA")))
    pixels = np.asarray(im)
    copies = [im.copy(), copy.copy(im), copy.deepcopy(im), pickle.loads(pickle.dumps(im))]  # noqa: S301 -- our own

    assert all(np.array_equal(np.asarray(other), pixels) for other in copies)
    assert opened(saved(copies[-1])).mode == "LA"
    if hasattr(Image.Image, "__arrow_c_array__"):  # from Pillow 11.2 on
        assert im.__arrow_c_array__()
    assert (im._repr_png_() or b"").startswith(b"\x89PNG")
    assert len(list(ImageSequence.Iterator(im))) == 1


def test_copies_of_what_was_not_loaded_yet_are_whole() -> None:
    data = saved(picture("LA"))
    pixels = np.asarray(opened(data))
    for duplicate in (copy.deepcopy, lambda im: pickle.loads(pickle.dumps(im)), Image.Image.copy):  # noqa: S301
        assert np.array_equal(np.asarray(duplicate(opened(data))), pixels)
    im = pickle.loads(pickle.dumps(opened(data)))  # noqa: S301 -- our own
    assert isinstance(im, RncImageFile)
    assert im.info["rnc"] == opened(data).info["rnc"]
    im.close()


def test_threads_decode_side_by_side() -> None:
    data = saved(picture())
    expected = np.asarray(opened(data)).tobytes()
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(opened(data).tobytes())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == [expected] * 8


def test_a_closed_image_says_so() -> None:
    im = opened(saved(picture()))
    im.close()

    with pytest.raises(ValueError, match=r"[Oo]peration on closed image"):
        im.load()


def test_large_pictures_are_refused_before_anything_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(picture(size=(40, 30)), iterations=1)

    with pytest.raises(Image.DecompressionBombError, match="1200 pixels exceeds the limit of 1199"):
        pillow_rnc.open(io.BytesIO(data), max_pixels=1199)
    pillow_rnc.open(io.BytesIO(data), max_pixels=1200)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 600)
    with pytest.warns(Image.DecompressionBombWarning):
        pillow_rnc.open(io.BytesIO(data))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 599)
    for opener in (pillow_rnc.open, Image.open):
        with pytest.raises(Image.DecompressionBombError):
            opener(io.BytesIO(data))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    pillow_rnc.open(io.BytesIO(data))


# Damage


def test_other_files_are_left_to_other_plugins() -> None:
    for data in (b"", b"RNC\x01", b"\x8aRNC\n\r\x1a\n" + bytes(40)):
        with pytest.raises(UnidentifiedImageError):
            Image.open(io.BytesIO(data))
        with pytest.raises(SignatureError):
            pillow_rnc.open(io.BytesIO(data))


def test_every_cut_is_an_error_that_counts_the_iterations() -> None:
    data = saved(picture(size=(9, 9)), iterations=2)
    for length in range(len(SIGNATURE), len(data)):
        with pytest.raises(TruncatedError, match=r"truncated \((no header|[01] of 2 iterations)\)"):
            Image.open(io.BytesIO(data[:length])).load()


def test_a_version_of_the_future_is_told_by_every_way_of_opening() -> None:
    data = bytearray(saved(picture()))
    head = len(SIGNATURE)
    length = int.from_bytes(data[head + 4 : head + 8], "little")
    data[head + 8] += 1
    end = head + 8 + length
    data[end : end + 4] = zlib.crc32(data[head:end]).to_bytes(4, "little")
    for opener in (Image.open, pillow_rnc.open):
        with pytest.raises(UnsupportedError, match="version 2"):
            opener(io.BytesIO(bytes(data)))


def test_every_flipped_bit_is_an_error() -> None:
    data = saved(picture("LA", (3, 3)), iterations=2, comment="c")
    for position, bit in itertools.product(range(len(data)), range(8)):
        damaged = bytearray(data)
        damaged[position] ^= 1 << bit
        with pytest.raises((RncFileError, UnidentifiedImageError)):
            Image.open(io.BytesIO(bytes(damaged))).load()


def test_verify_finds_damage_and_loads_nothing(codec: FakeCodec) -> None:
    data = saved(picture("RGBA"))
    opened(data).verify()
    with pytest.raises(CorruptError):
        opened(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]).verify()
    with pytest.raises(TruncatedError):
        opened(data[:-1]).verify()
    file = reader.parse(data)
    assert file.alpha is not None
    wrong = writer.build(replace(file, alpha=b"\0" + file.alpha[1:]))
    opened(wrong).verify()
    wrong = writer.build(replace(file, alpha=b"\4" + file.alpha[1:]))
    with pytest.raises(CorruptError, match="predictor"):
        opened(wrong).verify()

    assert not codec.decoded_iterations


def test_verify_must_come_first() -> None:
    im = opened(saved(picture()))
    im.load()

    with pytest.raises(RuntimeError, match="directly after open"):
        im.verify()


# Progressive and partial


def test_a_cut_file_loads_what_is_whole_only_when_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved(picture(), iterations=4)
    shorter = saved(opened(data), iterations=2)
    broken = data[: len(shorter) + 20]

    im = opened(broken)
    with pytest.raises(TruncatedError, match=r"\(2 of 4 iterations\)") as caught:
        im.load()
    assert caught.value.decodable_iterations == 2
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    assert np.array_equal(np.asarray(im), np.asarray(opened(shorter)))
    assert im.iterations == 2
    assert saved(im) == shorter
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", False)
    allowed = pillow_rnc.open(io.BytesIO(broken), allow_truncated=True)
    assert np.array_equal(np.asarray(allowed), np.asarray(im))
    with pytest.raises(TruncatedError):
        pillow_rnc.open(io.BytesIO(data[: len(data) // 8]), allow_truncated=True).load()


def test_fewer_iterations_read_fewer_bytes(codec: FakeCodec) -> None:
    data = saved(picture(), iterations=6)
    shorter = saved(opened(data), iterations=2)
    for set_before in (True, False):
        fp = RecordingFile(data)
        im = pillow_rnc.open(fp, iterations=2 if set_before else None)
        im.iterations = 2

        assert np.array_equal(np.asarray(im), np.asarray(opened(shorter)))
        assert fp.furthest <= len(shorter)
    assert codec.decoded_iterations == [2] * 4


def test_iterations_are_checked_and_count_what_was_decoded() -> None:
    im = opened(saved(picture(), iterations=3))
    assert im.iterations == 3
    for value in (0, 33, 1.5):
        with pytest.raises(RncOptionError, match="from 1 to 32"):
            im.iterations = value  # type: ignore[assignment]
        with pytest.raises(RncOptionError, match="from 1 to 32"):
            pillow_rnc.open(io.BytesIO(b""), iterations=value)  # type: ignore[arg-type]
    im.iterations = 32
    assert im.iterations == 3
    im.iterations = 2
    im.load()
    im.iterations = 2
    with pytest.warns(RncWarning, match="iterations 1 is ignored: the pixels are already loaded") as caught:
        im.iterations = 1
    assert caught[0].filename == __file__
    assert im.iterations == 2
    whole = opened(saved(picture(), iterations=3))
    whole.load()
    whole.iterations = 32
    assert whole.iterations == 3


def test_a_region_is_that_part_of_the_picture() -> None:
    original = picture("RGBA", (100, 80))
    box = (60, 10, 99, 71)
    im = pillow_rnc.open(io.BytesIO(saved(original, iterations=LOSSLESS, tile_size=64, overlap=16)), region=box)

    assert im.size == (39, 61)
    assert np.array_equal(np.asarray(im), np.asarray(original.crop(box)))
    assert opened(saved(im, iterations=LOSSLESS)).size == (39, 61)
    with pytest.raises(RncOptionError, match="inside 100x80"):
        pillow_rnc.open(io.BytesIO(saved(original)), region=(0, 0, 101, 80))


def test_each_iteration_is_shown_as_it_comes() -> None:
    data = saved(picture("LA"), iterations=3)
    shown: list[tuple[int, int, bytes]] = []
    im = pillow_rnc.open(io.BytesIO(data), on_iteration=lambda k, n, part: shown.append((k, n, part.tobytes())))
    im.load()

    assert [entry[:2] for entry in shown] == [(1, 3), (2, 3), (3, 3)]
    assert shown[-1][2] == im.tobytes()
    assert shown[0][2] == pillow_rnc.open(io.BytesIO(data), iterations=1).tobytes()


def test_thumbnails_decode_fewer_iterations(codec: FakeCodec) -> None:
    data = saved(picture(size=(400, 300)), iterations=16)
    fp = RecordingFile(data)
    im = Image.open(fp)
    im.thumbnail((20, 15))

    assert im.size == (20, 15)
    assert fp.furthest <= len(writer.truncate(data, 4))  # the first iterations are the preview
    assert codec.decoded_iterations == [4]
    im = opened(data)
    im.thumbnail((300, 300))
    assert codec.decoded_iterations == [4, 16]
    im = opened(data)
    assert im.draft("L", (20, 20)) is None
    assert im.draft("RGB", (100, 75)) == ("RGB", (0, 0, 100, 75))
    assert im.size == (100, 75)
    assert im.iterations == 6


# Saving again


def test_an_unchanged_picture_is_copied_and_not_even_decoded(codec: FakeCodec, tmp_path: Path) -> None:
    data = saved(picture(), iterations=4, comment="hello")
    path = tmp_path / "a.rnc"
    path.write_bytes(data)
    before = codec.encoded

    assert saved(opened(data)) == data
    assert saved(opened(data), iterations="keep") == data
    assert saved(opened(data), quality=95) == data
    with pillow_rnc.open(path) as im:
        im.save(path)
        assert path.read_bytes() == data
        im.save(path, iterations=2, comment=None)
        assert pillow_rnc.info(path)["iterations"] == 2
        assert im.iterations == 4
    assert not codec.decoded_iterations
    loaded = opened(data)
    loaded.load()
    assert saved(loaded) == data
    assert codec.encoded == before
    assert saved(opened(data), iterations=3) == writer.truncate(data, 3)


def test_a_changed_picture_is_encoded(codec: FakeCodec) -> None:
    data = saved(picture(), iterations=4)
    before = codec.encoded
    im = opened(data)
    im.putpixel((0, 0), (1, 2, 3))

    assert saved(im, iterations=4) != data
    assert codec.encoded == before + 1
    with pytest.raises(RncOptionError, match="keep"):
        saved(im, iterations="keep")
    with pytest.raises(RncOptionError, match="keep"):
        saved(picture(), iterations="keep")
    im = opened(data)
    im.thumbnail((10, 10))
    assert opened(saved(im)).size == im.size


def test_more_iterations_than_stored_are_encoded_anew() -> None:
    assert opened(saved(opened(saved(picture(), iterations=2)), iterations=5)).iterations == 5


def test_sizes_are_kept_to_by_cutting(codec: FakeCodec) -> None:
    original = picture()
    sizes = [len(saved(original, iterations=k)) for k in range(1, 17)]
    before = codec.encoded

    assert len(saved(original, target_size=sizes[4])) == sizes[4]
    assert len(saved(original, target_size=sizes[4] - 1)) == sizes[3]
    assert len(saved(original, target_bpp=sizes[2] * 8 / (40 * 30))) == sizes[2]
    assert codec.encoded == before + 3
    with pytest.raises(RncOptionError, match=f"target_size allows 9 bytes, the smallest file has {sizes[0]}"):
        saved(original, target_size=9)
    stored = opened(saved(original, iterations=6))
    assert len(saved(stored, target_size=sizes[1])) == sizes[1]
    assert not codec.decoded_iterations


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_psnr_is_reached_by_the_first_iteration_that_can(mode: str) -> None:
    original = picture(mode)
    reference = np.asarray(original).astype(float)

    def psnr(iterations: int) -> float:
        decoded = np.asarray(opened(saved(original, iterations=iterations))).astype(float)
        return float(10 * np.log10(255**2 / ((decoded - reference) ** 2).mean()))

    for wanted in (1, 3, 5):
        target = psnr(wanted) - 0.01
        assert opened(saved(original, target_psnr=target)).iterations == wanted
    file = reader.parse(saved(original, iterations=2))
    with pytest.raises(RncOptionError, match="target_psnr 99 dB is not reached, the best of 2 iterations"):
        rate_control.truncated_to_psnr(
            file, np.atleast_3d(np.asarray(original)), 99, weights.load("auto"), ExecutionOptions()
        )


def test_nothing_is_written_when_an_option_is_wrong() -> None:
    fp = io.BytesIO()
    with pytest.raises(RncOptionError):
        picture().save(fp, "RNC", target_size=9)
    with pytest.raises(RncOptionError):
        picture().save(fp, "RNC", exif=bytes(2_000_000))

    assert not fp.getvalue()


def test_one_frame_can_be_saved_with_save_all() -> None:
    data = saved(picture(), save_all=True)

    assert opened(data).size == (40, 30)
    assert saved(opened(data), save_all=True) == data
    for im in (picture(), opened(data)):
        with pytest.raises(ValueError, match="2 frames is not possible, RNC holds one"):
            saved(im, save_all=True, append_images=[picture()])


# Metadata

METADATA: dict[str, Any] = {
    "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0",
    "icc_profile": b"profile",
    "xmp": b"<x:xmpmeta/>",
    "comment": b"hello",
    "dpi": (300.0, 72.5),
}


def test_metadata_is_carried_from_any_image_and_through_a_copy() -> None:
    original = picture()
    original.info.update(METADATA)
    im = opened(saved(original))

    assert {key: im.info[key] for key in METADATA} == METADATA
    again = opened(saved(im, iterations=2))
    assert {key: again.info[key] for key in METADATA} == METADATA


@pytest.mark.parametrize("key", METADATA)
@pytest.mark.parametrize("empty", [None, b""])
def test_each_kind_of_metadata_can_be_left_out(key: str, empty: object) -> None:
    original = picture()
    original.info.update(METADATA)
    for im in (original, opened(saved(original))):
        assert set(METADATA) - set(opened(saved(im, **{key: empty})).info) == {key}


def test_text_is_taken_as_text_or_bytes() -> None:
    im = opened(saved(picture(), xmp="<Grüße/>\0", comment="Grüße", exif=METADATA["exif"][6:]))

    assert im.info["xmp"] == "<Grüße/>".encode()
    assert im.info["comment"] == "Grüße".encode()
    assert im.info["exif"] == METADATA["exif"]


def test_exif_of_a_file_may_have_its_prefix() -> None:
    file = reader.parse(saved(picture(), exif=METADATA["exif"]))
    assert not file.metadata["exif"].startswith(b"Exif")
    other = writer.build(replace(file, metadata={"exif": METADATA["exif"]}))

    assert opened(other).info["exif"] == METADATA["exif"]


def test_an_exif_object_is_stored_and_left_as_it_was() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    before = dict(exif), exif.tobytes()
    im = opened(saved(picture(), exif=exif))

    assert (dict(exif), exif.tobytes()) == before
    assert im.getexif()[ExifTags.Base.Orientation] == 6
    assert im.size == (40, 30)
    upright = ImageOps.exif_transpose(im)
    assert upright.size == (30, 40)
    assert ExifTags.Base.Orientation not in opened(saved(upright)).getexif()


def test_an_orientation_that_means_nothing_turns_nothing() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 77
    im = opened(saved(picture(), exif=exif))

    assert ImageOps.exif_transpose(im).tobytes() == im.tobytes()


def test_edits_through_getexif_are_saved_and_untouched_bytes_stay() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "maker"
    data = saved(picture(), exif=exif.tobytes() + b"maker note")
    im = opened(data)
    im.getexif()
    assert opened(saved(im)).info["exif"] == im.info["exif"]
    im.getexif()[ExifTags.Base.Make] = "other"
    assert opened(saved(im)).getexif()[ExifTags.Base.Make] == "other"
    fresh = picture()
    fresh.getexif()[ExifTags.Base.Make] = "new"
    assert opened(saved(fresh)).getexif()[ExifTags.Base.Make] == "new"


def test_damaged_exif_does_not_stop_anything() -> None:
    im = opened(saved(picture(), exif=b"nonsense"))
    im.load()

    with pytest.raises(SyntaxError):
        im.getexif()
    assert opened(saved(im)).info["exif"] == b"Exif\0\0nonsense"


def test_a_profile_of_other_colours_is_not_carried() -> None:
    im = picture("CMYK")
    im.info["icc_profile"] = b"cmyk profile"

    with pytest.warns(RncWarning, match="does not describe the stored colours, which are RGB"):
        assert "icc_profile" not in opened(saved(im)).info
    assert opened(saved(im, icc_profile=b"mine")).info["icc_profile"] == b"mine"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("exif", "text"),
        ("icc_profile", 3),
        ("xmp", 3),
        ("comment", 3.5),
        ("dpi", 300),
        ("dpi", (0, 300)),
        ("dpi", ("a", "b")),
        ("dpi", (float("nan"), 1)),
        ("dpi", (10**400, 1)),
        ("comment", "\ud800"),
        ("xmp", "a\udcff"),
        ("xmp", bytes(1 << 20) + b"x"),
    ],
)
def test_wrong_metadata_is_named(key: str, value: object) -> None:
    with pytest.raises(RncOptionError, match=key):
        saved(picture(), **{key: value})


def test_odd_metadata_of_other_plugins_is_not_carried() -> None:
    im = picture()
    im.info.update(dpi=(0, 0), comment=7, xmp=("a",))

    with pytest.warns(RncWarning, match="of the image is left out") as caught:
        assert not {"dpi", "comment", "xmp"} & set(opened(saved(im)).info)
    assert sorted(str(one.message).split()[0] for one in caught) == ["comment", "xmp"]


def test_all_kinds_together_have_a_limit() -> None:
    parts = {key: bytes([1]) * (1 << 20) for key in ("exif", "icc_profile", "xmp", "comment")}
    assert opened(saved(picture(), **parts)).info["xmp"] == parts["xmp"]
    with pytest.raises(RncOptionError, match="in all"):
        saved(picture(), **parts, dpi=(72, 72))


# Files without decoding


def test_info_tells_the_bytes_of_each_iteration(tmp_path: Path) -> None:
    data = saved(picture("RGBA", (200, 90)), iterations=3, tile_size=64, overlap=16, comment="four")
    path = tmp_path / "a.rnc"
    path.write_bytes(data)
    said = pillow_rnc.info(path)

    assert said == pillow_rnc.info(io.BytesIO(data))
    assert (said["mode"], said["width"], said["height"], said["tiles"]) == ("RGBA", 200, 90, (4, 2))
    assert (said["iterations"], said["iterations_stored"], said["metadata_bytes"]) == (3, 3, {"comment": 4})
    assert said["bytes_before_iterations"] + sum(said["bytes_per_iteration"]) == said["file_bytes"] == len(data)
    assert pillow_rnc.info(io.BytesIO(data[:-1]))["iterations_stored"] == 2
    assert opened(data).info["rnc"]["tiles"] == (4, 2)


def test_truncate_equals_saving_fewer_iterations(tmp_path: Path) -> None:
    data = saved(picture(), iterations=5)
    path = tmp_path / "a.rnc"
    path.write_bytes(data)
    out = io.BytesIO()

    assert pillow_rnc.truncate(io.BytesIO(data), out, iterations=3) == 3
    assert out.getvalue() == saved(opened(data), iterations=3)
    assert pillow_rnc.truncate(path, path, target_size=len(out.getvalue()) + 1) == 3
    assert path.read_bytes() == out.getvalue()
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.rnc"]
    for params in ({}, {"iterations": 1, "target_size": 9}, {"iterations": 4}, {"iterations": 0}, {"target_size": 9}):
        with pytest.raises(RncOptionError):
            pillow_rnc.truncate(path, tmp_path / "b.rnc", **params)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.rnc"]


@pytest.mark.parametrize("how", [{"iterations": 1}, {"target_size": 10**6}], ids=str)
def test_a_file_without_a_whole_iteration_cannot_be_truncated(how: dict[str, int]) -> None:
    data = saved(picture(), iterations=2)
    first = pillow_rnc.info(io.BytesIO(data))
    start = first["bytes_before_iterations"]
    for length in range(start, start + first["bytes_per_iteration"][0]):
        with pytest.raises(TruncatedError, match=r"truncated \(0 of 2 iterations\)"):
            pillow_rnc.truncate(io.BytesIO(data[:length]), io.BytesIO(), **how)
    out = io.BytesIO()

    assert pillow_rnc.truncate(io.BytesIO(data[:-1]), out, **how) == 1
    assert opened(out.getvalue()).iterations == 1


def test_import_registers_everything_once() -> None:
    assert Image.EXTENSION[".rnc"] == "RNC"
    assert Image.MIME["RNC"] == "image/x-rnc"
    assert Image.ID.count("RNC") == 1
    assert {"RNC"} <= set(Image.SAVE) & set(Image.SAVE_ALL) & set(Image.OPEN)


def test_pillow_lists_us_among_its_formats() -> None:
    out = io.StringIO()
    features.pilinfo(out, supported_formats=True)

    assert "RNC image/x-rnc" in out.getvalue()
    assert "Extensions: .rnc" in out.getvalue()
    assert Image.registered_extensions()[".rnc"] == "RNC"


def test_members_of_archives_are_opened_in_place() -> None:
    data = saved(picture(), iterations=4)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as out:
        out.writestr("a.rnc", data)
    with zipfile.ZipFile(archive) as members, members.open("a.rnc") as fp:
        assert pillow_rnc.open(fp, iterations=2).tobytes() == opened(writer.truncate(data, 2)).tobytes()
    with zipfile.ZipFile(archive) as members, members.open("a.rnc") as fp, Image.open(fp) as im:
        assert im.tobytes() == opened(data).tobytes()


def test_programs_that_use_pillow_in_other_ways_find_what_they_expect() -> None:
    im = opened(saved(picture(), iterations=LOSSLESS, icc_profile=ImageCms.ImageCmsProfile(SRGB).tobytes()))

    converted = ImageCms.profileToProfile(im, io.BytesIO(im.info["icc_profile"]), SRGB)
    assert converted is not None
    assert converted.size == im.size
    assert ImageOps.fit(im, (8, 8)).size == (8, 8)
    assert im.crop((3, 3, 9, 9)).tobytes() == picture().crop((3, 3, 9, 9)).tobytes()
    im.seek(0)
    assert im.tell() == 0
    with pytest.raises(EOFError):
        im.seek(1)


def test_opening_leaves_no_open_file(tmp_path: Path) -> None:
    path = tmp_path / "a.rnc"
    picture().save(path)
    script = (
        "import sys; from PIL import Image; import pillow_rnc\n"
        "with Image.open(sys.argv[1]) as im: im.verify()\n"
        "im = pillow_rnc.open(sys.argv[1]); im.close()\n"
        "try: pillow_rnc.open(sys.argv[1], max_pixels=1)\n"
        "except Image.DecompressionBombError: pass\n"
        "try: Image.open(sys.argv[0])\n"
        "except OSError: pass\n"
    )
    (tmp_path / "script.py").write_text(script)
    environment = os.environ | {"PYTHONPATH": str(Path(pillow_rnc.__file__).parents[1])}
    command = [sys.executable, "-W", "error", str(tmp_path / "script.py"), str(path)]
    result = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)

    assert result.stderr == "", "a file that is closed by the garbage collector warns there, and the status stays 0"


def test_a_stored_file_outlives_the_folder_it_came_from(tmp_path: Path) -> None:
    path = tmp_path / "in" / "a.rnc"
    path.parent.mkdir()
    picture().save(path)
    data = path.read_bytes()
    im = Image.open(path)
    im.load()
    shutil.rmtree(path.parent)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert saved(im) == data


# What other programs do between opening and saving


def test_exif_that_was_taken_out_or_replaced_is_not_stored_again() -> None:
    """Pillow keeps what it has parsed, and its JPEG plugin parses where JFIF has no density."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "maker"
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N"}  # get_ifd() of old Pillow is not written
    fp = io.BytesIO()
    picture().save(fp, "JPEG", exif=exif)
    im = Image.open(fp)
    assert ExifTags.IFD.GPSInfo in im.getexif()
    del im.info["exif"]
    assert "exif" not in opened(saved(im)).info

    other = Image.Exif()
    other[ExifTags.Base.Make] = "other"
    im.info["exif"] = other.tobytes()
    assert dict(opened(saved(im)).getexif()) == {ExifTags.Base.Make: "other"}


def test_exif_of_a_raw_profile_is_stored() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "maker"
    im = picture()
    im.info["Raw profile type exif"] = "\n\nexif\n" + exif.tobytes().hex()
    assert im.getexif()[ExifTags.Base.Make] == "maker"

    assert opened(saved(im)).getexif()[ExifTags.Base.Make] == "maker"


@pytest.mark.parametrize("mode", ["RGB", "P", "CMYK"])
@pytest.mark.parametrize("big", [False, True])
def test_of_a_tiff_file_its_layout_is_no_exif(mode: str, big: bool) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "maker"
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.ISOSpeedRatings: 200}
    fp = io.BytesIO()
    picture("RGB").convert(mode).save(fp, "TIFF", exif=exif.tobytes(), big_tiff=big)

    im = opened(saved(Image.open(fp)))

    assert set(im.getexif()) == {ExifTags.Base.Make, ExifTags.IFD.Exif}
    assert im.getexif()[ExifTags.Base.Make] == "maker"
    assert im.getexif().get_ifd(ExifTags.IFD.Exif) == {ExifTags.Base.ISOSpeedRatings: 200}
    assert ImageOps.exif_transpose(im).size == im.size


def test_a_tiff_file_without_exif_gives_none() -> None:
    fp = io.BytesIO()
    picture().save(fp, "TIFF")

    assert "exif" not in opened(saved(Image.open(fp))).info


def test_options_set_on_the_image_come_before_those_of_save() -> None:
    im = opened(saved(picture(), iterations=4, comment="old"))
    im.encoderinfo = {"iterations": 1, "comment": "new"}

    again = opened(saved(im, iterations=2))

    assert (again.iterations, again.info["comment"]) == (1, b"new")


def test_frames_to_append_may_come_from_a_generator() -> None:
    with pytest.raises(RncOptionError, match="3 frames"):
        saved(picture(), save_all=True, append_images=(picture() for _ in range(2)))


def test_a_file_is_closed_once_it_was_copied(tmp_path: Path) -> None:
    path = tmp_path / "a.rnc"
    path.write_bytes(saved(picture(), iterations=3))
    im = Image.open(path)
    file = im.fp
    im.save(tmp_path / "b.rnc")

    assert file is not None
    assert file.closed
    assert im.tobytes() == Image.open(tmp_path / "b.rnc").tobytes()


def test_a_picture_can_be_cut_into_the_file_it_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where an open file cannot be replaced, as under Windows."""
    path = tmp_path / "a.rnc"
    path.write_bytes(saved(picture(), iterations=3))
    im = Image.open(path)
    replace_path = Path.replace

    def replace_closed(temporary: Path, target: Path) -> Path:
        assert im.fp is None
        return replace_path(temporary, target)

    monkeypatch.setattr(Path, "replace", replace_closed)
    im.save(path, iterations=2)

    with pillow_rnc.open(path) as cut:
        assert cut.iterations == 2


def test_a_region_can_be_verified() -> None:
    pillow_rnc.open(io.BytesIO(saved(picture("RGBA"), iterations=1)), region=(0, 0, 10, 10)).verify()


def test_threads_that_save_one_opened_image_all_get_its_file() -> None:
    data = saved(picture(size=(200, 90)), iterations=LOSSLESS, tile_size=64, overlap=16)

    class SlowFile(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            threading.Event().wait(0.0005)  # others run
            return super().read(size)

    im = Image.open(SlowFile(data))
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(saved(im))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [data] * 4


@pytest.mark.parametrize("between", ["load", "save", "again"])
def test_pictures_come_one_by_one_whatever_else_reads_the_file(between: str, tmp_path: Path) -> None:
    path = tmp_path / "a.rnc"
    path.write_bytes(saved(picture(), iterations=4))
    expected = [im.tobytes() for im in pillow_rnc.progressive(path)]
    im = pillow_rnc.open(path)

    found = []
    for one in pillow_rnc.progressive(im):
        found.append(one.tobytes())
        if between == "load":
            im.load()
        elif between == "save":
            assert saved(im) == path.read_bytes()
        else:
            assert next(iter(pillow_rnc.progressive(im))).tobytes() == expected[0]
    im.close()

    assert found == expected


def test_pictures_do_not_go_on_after_their_image_was_closed() -> None:
    im = opened(saved(picture(), iterations=4))
    pictures = iter(pillow_rnc.progressive(im))
    next(pictures)
    im.close()

    with pytest.raises(ValueError, match="closed image"):
        next(pictures)


@pytest.mark.parametrize(
    "options", [{"max_pixels": "5"}, {"max_pixels": float("nan")}, {"allow_truncated": "no"}, {"max_memory": 10**30}]
)
def test_odd_values_of_open_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(RncOptionError, match=next(iter(options))):
        pillow_rnc.open(io.BytesIO(saved(picture())), **options)


def test_odd_values_of_defaults_are_refused() -> None:
    with pytest.raises(RncOptionError, match="keep_metadata 'no'"):
        pillow_rnc.register_rnc_opener(keep_metadata="no")  # type: ignore[arg-type]
    with pytest.raises(RncOptionError, match="keep_metadata 0"), pillow_rnc.use_options(keep_metadata=0):  # type: ignore[arg-type]
        pass
