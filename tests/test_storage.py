"""A folder is the same to read and write on a disk and behind a URL, and never shows half a file."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.registry import known_implementations

from pillow_rnc.cli.storage import Entry, Folder, LocalFolder, UrlFolder, find_folder
from pillow_rnc.errors import RncOptionError


@pytest.fixture(params=["path", "file://", "memory://"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Folder:
    if request.param == "path":
        return find_folder(tmp_path / "folder")
    if request.param == "file://":
        return find_folder(f"file://{tmp_path.as_posix()}/folder")
    return find_folder(f"memory://{tmp_path.name}/folder")


def test_what_is_written_is_listed_and_read(folder: Folder) -> None:
    assert list(folder.entries()) == [] or isinstance(folder, LocalFolder)
    for name in ("b.jpg", "sub/deep/c.png", "a b#?.txt"):
        folder.write(name, name.encode())
    folder.write("b.jpg", b"replaced")
    sent: Folder = pickle.loads(pickle.dumps(folder))  # noqa: S301 -- our own

    assert set(sent.entries()) == {
        Entry("a b#?.txt"),
        Entry("b.jpg"),
        Entry("sub", is_folder=True),
        Entry("sub/deep", is_folder=True),
        Entry("sub/deep/c.png"),
    }
    assert list(sent.entries()) == list(folder.entries())
    with sent.open("b.jpg") as fp:
        assert fp.read() == b"replaced"
    assert sent.size("sub/deep/c.png") == len("sub/deep/c.png")
    for ask in (sent.open, sent.size):
        with pytest.raises(FileNotFoundError):
            ask("sub/none.jpg")


def test_a_folder_cannot_be_read_as_a_file(folder: Folder) -> None:
    folder.write("sub.jpg/a.png", b"a")
    with pytest.raises(OSError, match=r"sub\.jpg"):
        folder.open("sub.jpg")


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = UrlFolder(f"file://{tmp_path.as_posix()}")
    folder.write("a.rnc", b"old")

    def fail(_self: object, path: str, data: bytes, **_options: Any) -> None:  # noqa: ANN401 -- as fsspec has it
        Path(path).write_bytes(data[:2])
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(LocalFileSystem, "pipe_file", fail)
    with pytest.raises(OSError, match="no space left"):
        folder.write("a.rnc", b"new one")

    assert [path.name for path in tmp_path.iterdir()] == ["a.rnc"]
    assert (tmp_path / "a.rnc").read_bytes() == b"old"


def test_a_local_folder_that_cannot_be_listed_is_told(tmp_path: Path) -> None:
    (entry,) = LocalFolder(tmp_path / "missing").entries()

    assert (entry.name, entry.is_folder) == (".", True)
    assert "cannot be listed" in (entry.error or "")


def test_a_relative_path_means_the_same_elsewhere() -> None:
    assert str(find_folder(Path("some"))) == str(Path.cwd() / "some")


def test_a_url_of_no_known_protocol_is_refused() -> None:
    with pytest.raises(RncOptionError, match="Protocol not known: nothing"):
        find_folder("nothing://bucket/folder")


def test_a_package_that_a_url_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(known_implementations, "odd", {"class": "no_such.Odd", "err": "Install odd"})
    with pytest.raises(RncOptionError, match="odd://x: Install odd"):
        find_folder("odd://x")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(RncOptionError, match="memory://x needs fsspec: pip install fsspec"):
        find_folder("memory://x")
