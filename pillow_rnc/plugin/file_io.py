"""Reading and writing files: input from its start, output complete or an error.

Must not load torch, numpy, construct or Pillow.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress
from io import BytesIO, UnsupportedOperation
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

FilePath = str | bytes | os.PathLike[str] | os.PathLike[bytes]

CASE_COUNTS = sys.platform not in ("win32", "darwin")
"""Whether names that differ in case alone are two files, as far as one can tell without trying."""


@contextmanager
def opened(source: FilePath | IO[bytes]) -> Iterator[IO[bytes]]:
    """Give a file object at its start; one that was opened here is closed afterwards, any other is left open.

    Raises:
        OSError: The file cannot be opened.
    """
    if isinstance(source, (str, bytes, os.PathLike)):
        with Path(os.fsdecode(source)).open("rb") as fp:
            yield fp
    else:
        yield rewound(source)


def rewound(fp: IO[bytes]) -> IO[bytes]:
    """Return a file object at its start; one that cannot seek is read to its end, and stands for what was left of it.

    Raises:
        OSError: The file object failed.
    """
    try:
        fp.seek(0)
    except (AttributeError, UnsupportedOperation):
        return BytesIO(fp.read())
    return fp


def one_file(name: str) -> str:
    """Return what is the same for all names of one file in a folder."""
    return name if CASE_COUNTS else name.casefold()


def write_stream(fp: IO[bytes], data: bytes) -> None:
    """Write all of `data`, also to a raw stream that takes only a part at a time.

    Args:
        fp: Stream opened for writing; standard output stands for its bytes, as with Pillow.
        data: What is to be written.

    Raises:
        OSError: The stream failed, or takes no more.
    """
    if cast("object", fp) is sys.stdout:
        fp = cast("IO[bytes]", getattr(fp, "buffer", fp))
    written = cast("object", fp.write(data))
    # What is no count, such as None of a stream written for Pillow, means that there is nothing to complain about.
    while isinstance(written, int) and written < len(data):
        if written <= 0:
            msg = f"stream takes no more, {len(data)} bytes are left to write"
            raise OSError(msg)
        data = data[written:]
        written = cast("object", fp.write(data))


def write_path(path: Path, data: bytes) -> None:
    """Make `data` the content of a file; if that fails, an old file is as it was and no new one is there.

    Raises:
        OSError: The file cannot be written.
    """
    if path.exists() and not path.is_file():
        path.write_bytes(data)  # a device or a pipe cannot be replaced; /dev/stdout may resolve to no path at all
        return
    with replacing(path.resolve()) as temporary:
        temporary.write_bytes(data)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder that takes the place of `path` when all went well."""
    # Made by open, so that the umask holds without being read, which would change it for other threads for a moment.
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
