"""`encode_batch` and `decode_batch` write and read what `save` and `open` do, for many pictures at once."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_codec import register_tiny_codec

import pillow_rnc
from pillow_rnc import (
    CorruptError,
    RncFileError,
    RncImageFile,
    RncOptionError,
    SignatureError,
    UnsupportedError,
    WorkLimitError,
)
from pillow_rnc.container import reader, writer

OPTIONS = {"model": "tiny", "iterations": 4}


@pytest.fixture(autouse=True, scope="module")
def _tiny(tmp_path_factory: pytest.TempPathFactory) -> None:
    register_tiny_codec(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def images() -> list[Image.Image]:
    ramp = Image.linear_gradient("L")
    return [
        ramp.resize((48, 32)).convert("RGB"),
        ramp.resize((48, 32)).convert("RGBA"),
        ramp.resize((5, 7)),
        ramp.resize((48, 32)).convert("P"),
        ramp.resize((100, 20)).convert("LA"),
    ]


def test_a_batch_is_there_and_back(images: list[Image.Image]) -> None:
    files = pillow_rnc.encode_batch(images, **OPTIONS)
    decoded = pillow_rnc.decode_batch(io.BytesIO(data) for data in files)

    for image, data, im in zip(images, files, decoded, strict=True):
        alone = pillow_rnc.open(io.BytesIO(data))
        assert isinstance(im, RncImageFile)
        assert (im.size, im.mode, im.iterations, im.info) == (image.size, alone.mode, 4, alone.info)
        assert np.abs(np.asarray(im).astype(int) - np.asarray(alone)).max() <= 1


def test_options_are_those_of_save_and_open(images: list[Image.Image], tmp_path: Path) -> None:
    files = pillow_rnc.encode_batch(images[:2], model="tiny", target_size=700, comment="hello", max_memory=1)
    assert all(len(data) <= 700 for data in files)
    paths = [tmp_path / f"{index}.rnc" for index in range(2)]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)
    decoded = pillow_rnc.decode_batch(paths, iterations=1, max_memory=1)

    assert [im.iterations for im in decoded] == [1, 1]
    assert [im.info["comment"] for im in decoded] == [b"hello"] * 2
    cut = writer.truncate(files[0], 1)
    assert np.abs(np.asarray(decoded[0]).astype(int) - np.asarray(Image.open(io.BytesIO(cut)))).max() <= 1


def test_an_image_of_a_batch_is_copied_when_it_is_saved_again(images: list[Image.Image]) -> None:
    (data,) = pillow_rnc.encode_batch(images[:1], **OPTIONS)
    (im,) = pillow_rnc.decode_batch([io.BytesIO(data)])
    again = io.BytesIO()
    im.save(again, "RNC")

    assert again.getvalue() == data


def test_nothing_makes_nothing() -> None:
    assert pillow_rnc.encode_batch([]) == []
    assert pillow_rnc.decode_batch([]) == []


def test_a_damaged_file_is_named_and_the_others_are_closed(images: list[Image.Image], tmp_path: Path) -> None:
    files = pillow_rnc.encode_batch(images[:3], **OPTIONS)
    files[1] = files[1][:-9] + bytes([files[1][-9] ^ 1]) + files[1][-8:]
    paths = [tmp_path / f"{index}.rnc" for index in range(3)]
    for path, data in zip(paths, files, strict=True):
        path.write_bytes(data)

    with pytest.raises(CorruptError) as caught:
        pillow_rnc.decode_batch(paths)  # an open file would be a ResourceWarning, which is an error here
    assert caught.value.__notes__ == ["in file 1 of the batch, counted from 0"]


def test_any_error_of_a_file_has_its_number(images: list[Image.Image]) -> None:
    """Of its signature, its header, the work that it takes, and its model."""
    small, large = pillow_rnc.encode_batch([images[2], images[0]], **OPTIONS)
    unknown = reader.parse(small)
    unknown = replace(unknown, header=replace(unknown.header, model_id=bytes(8)))
    for second, kind, max_work in (
        (b"no" + large, SignatureError, None),
        (large[:9] + bytes([large[9] ^ 1]) + large[10:], RncFileError, None),
        (large, WorkLimitError, 4000),
        (writer.build(unknown), UnsupportedError, None),
    ):
        with pytest.raises(kind) as caught:
            pillow_rnc.decode_batch([io.BytesIO(small), io.BytesIO(second)], max_work=max_work)
        assert caught.value.__notes__ == ["in file 1 of the batch, counted from 0"]


def test_wrong_options_are_named(images: list[Image.Image]) -> None:
    with pytest.raises(RncOptionError, match="max_memory 0 is not allowed, give an integer from 1 to"):
        pillow_rnc.encode_batch(images, max_memory=0)
    with pytest.raises(RncOptionError, match="max_memory"):
        pillow_rnc.open(io.BytesIO(pillow_rnc.encode_batch(images[:1], **OPTIONS)[0]), max_memory=-1)
    with pytest.raises(RncOptionError, match="keep"):
        pillow_rnc.encode_batch(images, iterations="keep")
    with pytest.raises(WorkLimitError):
        pillow_rnc.decode_batch([io.BytesIO(pillow_rnc.encode_batch(images[:1], **OPTIONS)[0])], max_work=10)


def test_a_batch_stores_the_metadata_that_save_stores() -> None:
    """Of some formats they are known only once the pixels are read."""
    files = []
    for suffix in ("TIFF", "PNG"):
        exif = Image.Exif()
        exif[271] = "maker"
        fp = io.BytesIO()
        Image.linear_gradient("L").resize((40, 30)).save(fp, suffix, exif=exif)
        files.append(fp)
    alone = []
    for fp in files:
        out = io.BytesIO()
        Image.open(fp).save(out, "RNC", **OPTIONS)
        alone.append(reader.parse(out.getvalue()).metadata)
    together = [reader.parse(data).metadata for data in pillow_rnc.encode_batch(map(Image.open, files), **OPTIONS)]

    assert together == alone
    assert all("exif" in metadata for metadata in alone)


def test_a_batch_has_one_file_open_at_a_time(
    images: list[Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / f"{index}.rnc" for index in range(4)]
    for path, data in zip(paths, pillow_rnc.encode_batch([images[0]] * 4, **OPTIONS), strict=True):
        path.write_bytes(data)
    opened: list[RncImageFile] = []

    def open_image(path: Path, **options: Any) -> RncImageFile:  # noqa: ANN401 -- those of `open`
        assert all(im.fp is None for im in opened)
        opened.append(pillow_rnc.open(path, **options))
        return opened[-1]

    monkeypatch.setattr("pillow_rnc.plugin.batch.open_image", open_image)
    pillow_rnc.decode_batch(paths, iterations=2)

    assert len(opened) == 4


@pytest.mark.parametrize("single", ["photo.rnc", b"bytes.rnc", Path("photo.rnc"), io.BytesIO(b"\n\n")])
def test_a_single_file_is_no_batch(single: Any) -> None:  # noqa: ANN401 -- what no type checker would let through
    with pytest.raises(RncOptionError, match=r"^files .* is not allowed, give several, such as a list of one"):
        pillow_rnc.decode_batch(single)


def test_a_single_image_is_no_batch_and_a_path_no_image(images: list[Any]) -> None:
    with pytest.raises(RncOptionError, match=r"^images <PIL\.Image\.Image .* is not allowed, give several"):
        pillow_rnc.encode_batch(images[0], **OPTIONS)
    with pytest.raises(RncOptionError, match=r"^image 1 of the batch, counted from 0, is 'a\.jpg', give images"):
        pillow_rnc.encode_batch([images[0], "a.jpg"], **OPTIONS)  # type: ignore[list-item]
