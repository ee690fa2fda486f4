"""Folders of images: where a run over a folder reads and writes, on a local disk or behind an fsspec URL.

A folder is a value that can be sent to another process or machine; nothing stays open between calls.
Must not load Pillow, torch or numpy; fsspec is imported for URLs only.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Protocol

from pillow_rnc.errors import RncOptionError
from pillow_rnc.plugin.file_io import atomic_write, unfinished

if TYPE_CHECKING:
    from collections.abc import Iterator

URL_MARK = "://"
"""Distinguishes a URL from a path."""

# In these an object becomes visible only when it is complete.
_OBJECT_STORES = frozenset({"abfs", "abfss", "az", "gcs", "gs", "memory", "s3", "s3a"})


class Entry(NamedTuple):
    """An entry below a folder: its name, with slashes, and for a folder the error if it could not be listed."""

    name: str
    is_folder: bool = False
    error: str | None = None


class Folder(Protocol):
    """A folder of inputs or outputs; names are relative, with slashes."""

    def __str__(self) -> str:
        """Return the path or URL."""

    def entries(self) -> Iterator[Entry]:
        """Yield all files and folders below this one, always in the same order."""

    def open(self, name: str) -> IO[bytes]:
        """Return a file for reading, at its start.

        Raises:
            OSError: It cannot be read; FileNotFoundError if it does not exist.
        """

    def size(self, name: str) -> int:
        """Return the length of a file in bytes.

        Raises:
            OSError: It cannot be read.
        """

    def write(self, name: str, data: bytes) -> None:
        """Write a file completely, or leave an old one unchanged.

        Raises:
            OSError: It cannot be written.
        """


def find_folder(location: Path | str) -> Folder:
    """Return the folder of a local path, or of a URL.

    Raises:
        RncOptionError: The URL needs a package that is not installed, or has an unknown protocol.
    """
    # Absolute, because workers may have another working directory.
    return LocalFolder(location.absolute()) if isinstance(location, Path) else UrlFolder(location)


@dataclass(frozen=True, slots=True)
class LocalFolder:
    """A folder on a local disk, or on one that all machines see under the same path."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def entries(self) -> Iterator[Entry]:
        """Yield files and folders; links to folders are not followed."""
        errors: list[OSError] = []
        for folder, folders, files in os.walk(self.path, onerror=errors.append):
            folders.sort()
            for name in folders:
                yield Entry(self._relative(folder, name), is_folder=True)
            for name in sorted(files):
                yield Entry(self._relative(folder, name))
        for error in errors:
            yield Entry(self._relative(error.filename), is_folder=True, error=f"folder cannot be listed: {error}")

    def _relative(self, *parts: str) -> str:
        return Path(*parts).relative_to(self.path).as_posix()

    def open(self, name: str) -> IO[bytes]:
        """Return the open file; opening a pipe that nobody writes to would wait for ever."""
        path = self.path / name
        kind = kind_of_special_file(path.stat().st_mode)
        if kind is not None:
            raise OSError(f"is a {kind}, not a regular file")
        return path.open("rb")

    def size(self, name: str) -> int:
        """Return the length according to the file system."""
        return (self.path / name).stat().st_size

    def write(self, name: str, data: bytes) -> None:
        """Write beside the target, then rename."""
        target = self.path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(target, data)


@dataclass(frozen=True, slots=True)
class UrlFolder:
    """A folder behind a URL that fsspec understands; settings such as credentials come from its configuration."""

    url: str

    def __post_init__(self) -> None:
        _file_system(self.url)

    def __str__(self) -> str:
        return self.url

    @property
    def protocol(self) -> str:
        """Protocol of the URL."""
        return self.url.partition(URL_MARK)[0]

    def entries(self) -> Iterator[Entry]:
        """Yield files and folders as the store lists them now."""
        fs, root = _file_system(self.url)
        fs.invalidate_cache()
        for path, about in sorted(fs.find(root, withdirs=True, detail=True).items()):
            name = path.removeprefix(root).strip("/")
            if name:
                yield Entry(name, is_folder=about["type"] == "directory")

    def open(self, name: str) -> IO[bytes]:
        """Fetch the file, in one request."""
        fs, root = _file_system(self.url)
        return BytesIO(fs.cat_file(_joined(root, name)))

    def size(self, name: str) -> int:
        """Return the length according to the store."""
        fs, root = _file_system(self.url)
        return int(fs.size(_joined(root, name)))

    def write(self, name: str, data: bytes) -> None:
        """Put the object; if incomplete objects would be visible, put it beside the target and rename it."""
        fs, root = _file_system(self.url)
        target = _joined(root, name)
        if self.protocol in _OBJECT_STORES:
            fs.pipe_file(target, data)
            return
        folder, _, last = target.rpartition("/")
        temporary = _joined(folder, f".rnc-{os.urandom(8).hex()}{PurePosixPath(last).suffix}")
        fs.makedirs(folder, exist_ok=True)

        def remove() -> None:
            if fs.exists(temporary):
                fs.rm_file(temporary)

        with unfinished(remove):
            try:
                fs.pipe_file(temporary, data)
                fs.mv(temporary, target)
            finally:
                remove()


def kind_of_special_file(mode: int) -> str | None:
    """Return what a file is if it is neither a regular file nor a folder, by its mode from `os.stat`."""
    for is_kind, kind in _SPECIAL_FILES:
        if is_kind(mode):
            return kind
    return None


_SPECIAL_FILES = (
    (stat.S_ISFIFO, "named pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)


def _joined(folder: str, name: str) -> str:
    return f"{folder.rstrip('/')}/{name}"


def _file_system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, which fsspec caches for the process, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise RncOptionError(f"{url} needs fsspec: pip install fsspec") from error
    try:
        fs, path = url_to_fs(url)
    except (ImportError, ValueError) as error:  # the package for the protocol is missing, or the protocol is unknown
        raise RncOptionError(f"{url}: {error}") from error
    return fs, path.rstrip("/")
