"""Reading files from their start, and writing them completely or not at all.

Must not load torch, numpy, construct or Pillow.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
import sys
import tempfile
import time
import unicodedata
from contextlib import contextmanager, suppress
from io import BytesIO, UnsupportedOperation
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FilePath = str | bytes | os.PathLike[str] | os.PathLike[bytes]

CASE_SENSITIVE = sys.platform not in ("win32", "darwin")
"""Whether names that differ in case alone usually are two files on this system."""


@contextmanager
def opened(source: FilePath | IO[bytes]) -> Iterator[IO[bytes]]:
    """Provide a file object at its start; one that was opened here is closed afterwards, any other is left open.

    Raises:
        OSError: The file cannot be opened.
    """
    if isinstance(source, (str, bytes, os.PathLike)):
        with Path(os.fsdecode(source)).open("rb") as fp:
            yield rewound(fp)  # the path may be that of a pipe
    else:
        yield rewound(source)


def rewound(fp: IO[bytes]) -> IO[bytes]:
    """Return a file object at its start; one that cannot seek is replaced by its remaining contents.

    Raises:
        OSError: The file object failed.
    """
    try:
        fp.seek(0)
    except (AttributeError, UnsupportedOperation):
        return BytesIO(fp.read())
    except OSError as error:
        if error.errno != errno.ESPIPE:
            raise
        return BytesIO(fp.read())
    return fp


def name_key(name: str) -> str:
    """Return a key that is equal for all names of one file: of any case and Unicode form, where these do not count."""
    return name if CASE_SENSITIVE else unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def is_format(target: FilePath | IO[bytes], given: str | None, name: str, extension: str) -> bool:
    """Whether `Image.save` would write the format of this name and extension, for its arguments `target`, `given`."""
    if given:
        return given.upper() == name
    path = target if isinstance(target, (str, bytes, os.PathLike)) else getattr(target, "name", "")
    return isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path).lower().endswith(extension)


def is_same_file(target: FilePath | IO[bytes], fp: IO[bytes] | None) -> bool:
    """Whether a path or a stream leads to what another stream reads, as far as the system tells."""
    if target is fp:
        return True
    try:
        if isinstance(target, (str, bytes, os.PathLike)):
            about = Path(os.fsdecode(target)).stat()
        else:
            about = os.fstat(target.fileno())
        return fp is not None and os.path.samestat(about, os.fstat(fp.fileno()))
    except (AttributeError, OSError, ValueError):  # there is no such file, or the stream is closed, or in memory
        return False


def write_target(target: FilePath | IO[bytes], data: bytes) -> None:
    """Write all of `data` to a path, as `atomic_write` does, or to a stream, as `write_stream` does.

    Raises:
        OSError: The target cannot be written.
    """
    if isinstance(target, (str, bytes, os.PathLike)):
        atomic_write(Path(os.fsdecode(target)), data)
    else:
        write_stream(target, data)


def write_stream(fp: IO[bytes], data: bytes) -> None:
    """Write all of `data`, also to a raw stream that accepts only a part at a time, and flush the stream.

    Args:
        fp: Stream opened for writing; for `sys.stdout` its binary buffer is used, as by Pillow.
        data: What to write.

    Raises:
        OSError: The stream failed or does not accept all data.
    """
    if cast("object", fp) is sys.stdout:
        fp = cast("IO[bytes]", getattr(fp, "buffer", fp))
    _write_all(fp, data)
    # As Pillow's own formats do: the file may be read by its name before it is closed.
    flush = getattr(fp, "flush", None)
    if callable(flush):
        flush()


def _write_all(fp: IO[bytes], data: bytes) -> None:
    written = 0
    while written < len(data):
        count = cast("object", fp.write(data[written:]))
        if not isinstance(count, int):
            return  # such as None: streams made for Pillow need not return a count
        if count <= 0:
            msg = f"incomplete write: {written} of {len(data)} bytes"
            raise OSError(msg)
        written += count


def atomic_write(path: Path, data: bytes) -> None:
    """Replace the contents of a file; on failure an old file is left unchanged, and no new one is created.

    Raises:
        OSError: The file cannot be written.
    """
    with atomic_replace(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def atomic_replace(path: Path) -> Iterator[Path]:
    """Provide a file to write, which becomes `path` if the block ends without an exception.

    Links are followed. An old file keeps its owner, mode, extended attributes and hard links: where a new file cannot
    take its place, as on a mount point or in a folder where nobody may make files, its contents are overwritten. A
    device or a pipe cannot be replaced, and is provided itself.

    Raises:
        OSError: The file cannot be written.
    """
    try:
        old: os.stat_result | None = path.stat()
    except FileNotFoundError:
        old = None
    if old is not None and not stat.S_ISREG(old.st_mode):
        yield path  # not resolved: /dev/stdout may lead to what has no path
        return
    path = path.resolve()
    if old is not None and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    name = f".rnc-{os.urandom(8).hex()}{path.suffix}"
    with _temporary_file(path, name, old) as temporary:
        yield temporary
        if not _rename(temporary, path, old):
            _overwrite(path, temporary)


@contextmanager
def unfinished(remove: Callable[[], object]) -> Iterator[None]:
    """Name what removes the traces of a block; `remove_unfinished` does so if the process ends within it."""
    key = object()
    _unfinished[key] = remove
    try:
        yield
    finally:
        del _unfinished[key]


@contextmanager
def not_halved() -> Iterator[None]:
    """Let `remove_unfinished` wait for the end of a block, which must be short."""
    key = object()
    _not_halved.add(key)
    try:
        yield
    finally:
        _not_halved.discard(key)


def remove_unfinished() -> None:
    """Remove what is unfinished in all threads, because the process is about to end; wait for `not_halved` blocks."""
    end = time.monotonic() + _PATIENCE_S
    while _not_halved and time.monotonic() < end:
        time.sleep(0.01)
    for remove in list(_unfinished.values()):
        with suppress(Exception):
            remove()


# No locks: a fork could copy them while they are held.
_unfinished: dict[object, Callable[[], object]] = {}
_not_halved: set[object] = set()
_PATIENCE_S = 0.7
_NO_NEW_FILE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_NO_RENAME = _NO_NEW_FILE | {errno.EBUSY, errno.EXDEV}


@contextmanager
def _temporary_file(path: Path, name: str, old: os.stat_result | None) -> Iterator[Path]:
    """Provide a new file beside the target; if that is not allowed, and an old file is there, elsewhere."""
    temporary = path.with_name(name)
    with unfinished(lambda: temporary.unlink(missing_ok=True)):
        try:
            # Created by open, so that the umask applies without being read, which would change it for other threads.
            try:
                temporary.open("xb").close()
            except OSError as error:
                if old is None or error.errno not in _NO_NEW_FILE:
                    raise OSError(error.errno, error.strerror, str(path)) from error
                temporary = Path(tempfile.gettempdir(), name)
                temporary.open("xb").close()
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


def _rename(temporary: Path, path: Path, old: os.stat_result | None) -> bool:
    """Rename a file over another and return True, or return False if that is impossible, or would lose an attribute."""
    if old is None:
        temporary.replace(path)
        return True
    if old.st_nlink > 1:
        return False
    try:
        _copy_attributes(temporary, path, old)
        temporary.replace(path)
    except OSError as error:
        if error.errno not in _NO_RENAME:
            raise
        return False
    return True


def _copy_attributes(temporary: Path, path: Path, old: os.stat_result) -> None:
    new = temporary.stat()
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        os.chown(temporary, old.st_uid, old.st_gid)
    temporary.chmod(stat.S_IMODE(old.st_mode))
    if hasattr(os, "listxattr"):
        for name in _extended_attributes(path):
            with suppress(OSError):  # the system keeps some to itself
                os.setxattr(temporary, name, os.getxattr(path, name))


def _extended_attributes(path: Path) -> list[str]:
    try:
        return os.listxattr(path)
    except OSError:  # the file system has none
        return []


def _overwrite(path: Path, source: Path) -> None:
    """Overwrite the contents of a file; its old contents are only touched when there is room for the new ones."""
    with not_halved(), source.open("rb") as new, path.open("r+b") as fp:
        _reserve(fp.fileno(), source.stat().st_size)
        shutil.copyfileobj(new, fp)
        fp.truncate()


def _reserve(descriptor: int, length: int) -> None:
    """Make room for a longer file, or raise `OSError` and leave it as it is."""
    old_length = os.fstat(descriptor).st_size
    if length <= old_length or not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(descriptor, 0, length)
    except OSError as error:
        os.truncate(descriptor, old_length)
        if error.errno in _NO_ROOM:  # others say that the file system cannot do that
            raise
