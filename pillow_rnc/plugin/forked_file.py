"""Reading an opened file in a forked child, which shares its position, but not its threads, with the parent."""

from __future__ import annotations

import io
import os
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer


class _PositionedFile(io.RawIOBase):
    """Reads a file of the operating system at a position of its own."""

    def __init__(self, fp: IO[bytes], raw: io.FileIO, *, owned: bool) -> None:
        super().__init__()
        self._fp = fp  # kept, because closing it could wait for a lock of a thread that does not exist here
        self._raw = raw
        self._owned = owned
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._raw.fileno()

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence)
        if start is None:
            start = os.fstat(self.fileno()).st_size
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = os.pread(self.fileno(), len(view), self._position)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def close(self) -> None:
        if self._owned and not self.closed:
            self._raw.close()
        super().close()


class CurrentFile:
    """What a file object of an image is at the moment, which changes in a forked child."""

    def __init__(self, current: Callable[[], IO[bytes] | None]) -> None:
        self._current = current

    def _file(self) -> IO[bytes]:
        fp = self._current()
        if fp is None:
            msg = "operation on closed image"
            raise ValueError(msg)
        return fp

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; none at the end."""
        return self._file().read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> object:
        """Move to `offset`."""
        return self._file().seek(offset, whence)

    def tell(self) -> int:
        """Return the position."""
        return self._file().tell()


def reopened_after_fork(fp: IO[bytes], *, owned: bool) -> IO[bytes]:
    """Return what a child reads instead of a file object that its parent opened.

    Args:
        fp: File object of the parent. One that is not a file of the operating system is returned as it is.
        owned: Whether closing the result closes the file, in this process only.
    """
    raw = fp if isinstance(fp, io.FileIO) else getattr(fp, "raw", None)
    if not isinstance(raw, io.FileIO) or raw.closed or not hasattr(os, "pread"):
        return fp
    return cast("IO[bytes]", _PositionedFile(fp, raw, owned=owned))
