"""File objects are read from their start, wherever they stand, as Pillow reads them; pipes are read as they come."""

from __future__ import annotations

import errno
import io
import os
from typing import IO, TYPE_CHECKING

import pytest
from PIL import Image, UnidentifiedImageError
from small_file import write_small_file

import pillow_rnc

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_small_file(tmp_path / "a.rnc")


def cut(fp: IO[bytes], **how: int) -> bytes:
    out = io.BytesIO()
    pillow_rnc.truncate(fp, out, **how)
    return out.getvalue()


READERS: dict[str, Callable[[IO[bytes]], object]] = {
    "info": pillow_rnc.info,
    "verify": pillow_rnc.verify,
    "truncate to iterations": lambda fp: cut(fp, iterations=1),
    "truncate to a size": lambda fp: cut(fp, target_size=10_000),
    "open": lambda fp: pillow_rnc.open(fp).info,
    "Image.open": lambda fp: Image.open(fp).info,
}
readers = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


class Pipe(io.BytesIO):
    """What cannot seek, and says so as the standard library does."""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        msg = f"underlying stream is not seekable: {offset}, {whence}"
        raise io.UnsupportedOperation(msg)


@readers
def test_a_file_object_is_read_from_its_start(read: Callable[[IO[bytes]], object], path: Path) -> None:
    data = path.read_bytes()
    expected = read(io.BytesIO(data))
    with path.open("rb") as fp:
        for position in (0, 1, 8, len(data) // 2, len(data), len(data) + 5):
            fp.seek(position)
            assert read(fp) == expected
            assert not fp.closed


@readers
def test_what_stands_before_a_file_is_not_skipped(read: Callable[[IO[bytes]], object], path: Path) -> None:
    """Nobody would notice otherwise that one call found another file than the next."""
    fp = io.BytesIO(b"junk" + path.read_bytes())
    fp.seek(4)

    with pytest.raises((pillow_rnc.SignatureError, UnidentifiedImageError)):
        read(fp)


@readers
def test_what_cannot_seek_is_read_as_it_comes(read: Callable[[IO[bytes]], object], path: Path) -> None:
    data = path.read_bytes()

    assert read(Pipe(data)) == read(io.BytesIO(data))


def test_paths_may_be_of_any_kind_that_pillow_takes(path: Path) -> None:
    said = pillow_rnc.info(path)
    for kind in (str(path), os.fsencode(path)):
        assert pillow_rnc.info(kind) == said
        pillow_rnc.verify(kind)
    other = path.with_name("b.rnc")

    assert pillow_rnc.truncate(os.fsencode(path), os.fsencode(other), iterations=1) == 1
    assert pillow_rnc.info(other)["iterations"] == 1


def test_a_fault_of_seeking_is_an_error_unless_the_stream_cannot_seek() -> None:
    class Faulty(io.BytesIO):
        def seek(self, offset: int, whence: int = 0, /) -> int:  # noqa: ARG002 -- as its base
            raise OSError(errno.EIO, "fault of the device")

    with pytest.raises(OSError, match="fault of the device"):
        pillow_rnc.info(Faulty(b"anything"))


def test_a_pipe_that_refuses_to_seek_is_read_as_it_comes(path: Path) -> None:
    class Pipe(io.BytesIO):
        def seek(self, offset: int, whence: int = 0, /) -> int:
            if (offset, whence) == (0, io.SEEK_SET):
                raise OSError(errno.ESPIPE, "Illegal seek")
            return super().seek(offset, whence)

    assert pillow_rnc.info(Pipe(path.read_bytes())) == pillow_rnc.info(path)
