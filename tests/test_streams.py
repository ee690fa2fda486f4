"""Files that are no plain files, bytes around a file, and what a save leaves behind."""

from __future__ import annotations

import errno
import io
import mmap
import os
import tempfile
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_codec import FakeCodec
from PIL import ContainerIO, Image

import pillow_rnc
from pillow_rnc import CorruptError, RncOptionError, RncWarning, TruncatedError
from pillow_rnc.plugin import saving
from pillow_rnc.plugin.file_io import rewound, write_stream

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def _codec(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeCodec().install(monkeypatch)


@pytest.fixture
def data() -> bytes:
    fp = io.BytesIO()
    Image.radial_gradient("L").resize((20, 10)).save(fp, "RNC", iterations=3)
    return fp.getvalue()


def truncated(fp: Any, **options: int) -> bytes:  # noqa: ANN401 -- whatever can be read
    target = io.BytesIO()
    pillow_rnc.truncate(fp, target, **options)
    return target.getvalue()


READERS: dict[str, Callable[[Any], object]] = {
    "Image.open": lambda fp: Image.open(fp).tobytes(),
    "open": lambda fp: pillow_rnc.open(fp).tobytes(),
    "info": pillow_rnc.info,
    "verify": pillow_rnc.verify,
    "truncate": lambda fp: truncated(fp, iterations=1),
    "truncate to a size": lambda fp: truncated(fp, target_size=10**6),
    "decode_batch": lambda fp: [im.tobytes() for im in pillow_rnc.decode_batch([fp])],
    "progressive": lambda fp: [im.tobytes() for im in pillow_rnc.progressive(fp)],
}
every_reader = pytest.mark.parametrize("read", READERS.values(), ids=READERS)


@every_reader
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # Pillow does not close the pipe
def test_a_named_pipe_is_read_like_a_file(data: bytes, tmp_path: Path, read: Callable[[Any], object]) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(data,), daemon=True)
    writer.start()
    found = read(path)
    writer.join(10)
    assert found == read(io.BytesIO(data))


@every_reader
@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="no /dev/fd")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # nor this one
def test_a_process_substitution_is_read_like_a_file(data: bytes, read: Callable[[Any], object]) -> None:
    source, target = os.pipe()
    os.write(target, data)
    os.close(target)
    found = read(f"/dev/fd/{source}")
    os.close(source)
    assert found == read(io.BytesIO(data))


@every_reader
def test_a_mapped_file_is_read_like_a_file(data: bytes, tmp_path: Path, read: Callable[[Any], object]) -> None:
    path = tmp_path / "a.rnc"
    path.write_bytes(data)
    with path.open("rb") as fp, mmap.mmap(fp.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert read(mapped) == read(io.BytesIO(data))


@every_reader
def test_a_file_within_another_is_read_through_a_container(
    data: bytes, tmp_path: Path, read: Callable[[Any], object]
) -> None:
    path = tmp_path / "archive"
    path.write_bytes(b"head" + data + b"tail")
    with path.open("rb") as fp:
        assert read(ContainerIO.ContainerIO(fp, 4, len(data))) == read(io.BytesIO(data))


@pytest.mark.parametrize("extra", [b"\r\n", b"\0" * 600, None], ids=["line end", "zeros", "another file"])
@pytest.mark.parametrize("name", sorted(set(READERS) - {"info", "verify"}))
def test_bytes_after_the_end_are_ignored_with_one_warning(data: bytes, extra: bytes | None, name: str) -> None:
    extra = data if extra is None else extra
    with pytest.warns(RncWarning, match=f"{len(extra)} bytes after the last iteration") as caught:
        READERS[name](io.BytesIO(data + extra))
    assert len(caught) == 1


def test_bytes_after_the_end_are_counted_by_info_and_rejected_by_verify(data: bytes) -> None:
    for extra in (b"\n", data):
        assert pillow_rnc.info(io.BytesIO(data + extra))["trailing_bytes"] == len(extra)
        for verify in (pillow_rnc.verify, lambda fp: Image.open(fp).verify()):
            with pytest.raises(CorruptError, match="trailing bytes"):
                verify(io.BytesIO(data + extra))
    assert pillow_rnc.info(io.BytesIO(data))["trailing_bytes"] == 0
    assert pillow_rnc.info(io.BytesIO(data[:-1]))["trailing_bytes"] == 0


def test_bytes_after_the_end_are_not_looked_for_where_the_end_is_not_read(data: bytes) -> None:
    im = pillow_rnc.open(io.BytesIO(data + b"\n"), iterations=1)
    im.load()
    pillow_rnc.truncate(io.BytesIO(data[:-1]), io.BytesIO(), iterations=1)
    with pytest.raises(TruncatedError):
        pillow_rnc.open(io.BytesIO(data[:-1])).load()


def test_a_warning_that_is_an_error_leaves_an_image_that_can_be_loaded(data: bytes) -> None:
    im = Image.open(io.BytesIO(data + b"\n"))
    with pytest.raises(RncWarning):
        im.load()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RncWarning)
        im.load()


def test_a_warning_that_is_an_error_leaves_no_file(tmp_path: Path) -> None:
    im = Image.new("RGB", (8, 8))
    im.info["photoshop"] = {1: b""}
    with pytest.raises(RncWarning):
        im.save(tmp_path / "a.rnc")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be opened again")
def test_a_saved_file_can_be_read_by_its_name_before_it_is_closed(data: bytes) -> None:
    for save in (
        lambda fp: Image.new("RGB", (8, 8)).save(fp, "RNC"),
        lambda fp: Image.open(io.BytesIO(data)).save(fp, "RNC"),
        lambda fp: pillow_rnc.truncate(io.BytesIO(data), fp, iterations=1),
    ):
        with tempfile.NamedTemporaryFile() as fp:
            save(fp)
            pillow_rnc.verify(fp.name)


def test_a_stream_needs_no_flush() -> None:
    class Target:
        def __init__(self) -> None:
            self.data = b""

        def write(self, data: bytes) -> int:
            self.data += data
            return len(data)

    target = Target()
    write_stream(target, b"abc")  # type: ignore[arg-type]
    assert target.data == b"abc"


def test_an_error_of_the_stream_is_not_mistaken_for_a_pipe() -> None:
    class Broken(io.BytesIO):
        def seek(self, _offset: int, _whence: int = 0, /) -> int:
            raise OSError(errno.EIO, "broken")

    with pytest.raises(OSError, match="broken"):
        rewound(Broken())


@pytest.mark.parametrize("how", ["interrupt", "option"])
def test_a_save_that_fails_keeps_the_file_of_an_rnc_image(
    data: bytes, tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.rnc"
    path.write_bytes(data)
    im = Image.open(path)
    im.putpixel((0, 0), 9)
    if how == "option":
        with pytest.raises(RncOptionError):
            im.save(path, tile_size=7)
    else:
        monkeypatch.setattr("pillow_rnc.plugin.image_file.encode_images", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            im.save(path)
    assert path.read_bytes() == data
    assert list(tmp_path.iterdir()) == [path]


def _interrupt(*_arguments: object) -> None:
    raise KeyboardInterrupt


def test_an_interrupted_save_leaves_no_empty_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "encode_images", _interrupt)
    im = Image.new("RGB", (8, 8))
    for path in (tmp_path / "new.rnc", str(tmp_path / "text.rnc"), os.fsencode(tmp_path / "bytes.rnc")):
        with pytest.raises(KeyboardInterrupt):
            im.save(path, "RNC")  # Pillow before 10.3 sees no extension in bytes
    assert not list(tmp_path.iterdir())

    own = tmp_path / "own.rnc"
    with own.open("wb") as fp, pytest.raises(KeyboardInterrupt):
        im.save(fp)
    assert own.exists()


def test_the_class_of_warnings_is_public() -> None:
    assert issubclass(RncWarning, UserWarning)
    assert "RncWarning" in pillow_rnc.__all__


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_and_its_parent_read_an_opened_file_side_by_side(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.rnc"
    path.write_bytes(data)
    expected = [im.tobytes() for im in pillow_rnc.progressive(path)]
    with path.open("rb") as fp:
        for image in (pillow_rnc.open(path), pillow_rnc.open(fp)):
            images = image.progressive()
            assert next(images).tobytes() == expected[0]
            child = os.fork()
            if not child:
                same = [im.tobytes() for im in images] == expected[1:] and image.tobytes() == expected[-1]
                os._exit(0 if same else 1)
            assert [im.tobytes() for im in images] == expected[1:]
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            image.close()
