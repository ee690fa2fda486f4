"""Reading files from their start, and writing them completely or not at all.

Must not load torch, numpy, construct or Pillow.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import contextmanager, suppress
from io import BytesIO, UnsupportedOperation
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """Return a key that is equal for all names of one file."""
    return name if CASE_SENSITIVE else name.casefold()


def is_format(target: FilePath | IO[bytes], given: str | None, name: str, extension: str) -> bool:
    """Whether `Image.save` would write the format of this name and extension, for its arguments `target`, `given`."""
    if given:
        return given.upper() == name
    path = target if isinstance(target, (str, bytes, os.PathLike)) else getattr(target, "name", "")
    return isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path).lower().endswith(extension)


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
    if path.exists() and not path.is_file():
        path.write_bytes(data)  # a device or a pipe cannot be replaced; /dev/stdout may not resolve to a path
        return
    with atomic_replace(path.resolve()) as temporary:
        temporary.write_bytes(data)


@contextmanager
def atomic_replace(path: Path) -> Iterator[Path]:
    """Provide a temporary file in the same folder, which replaces `path` if the block ends without an exception."""
    # Created by open, so that the umask applies without being read, which would change it for other threads briefly.
    temporary = path.with_name(f".rnc-{os.urandom(8).hex()}{path.suffix}")
    temporary.open("xb").close()
    try:
        if path.exists():
            temporary.chmod(path.stat().st_mode & 0o777)
        yield temporary
        temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()
