"""The samples of a decoded image as the file that Pillow reads them from."""

from __future__ import annotations

import io
import os
from typing import IO, TYPE_CHECKING, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def open_samples(samples: memoryview) -> IO[bytes]:
    """Return a file that reads samples of one byte each, without a second copy of all of them."""
    return cast("IO[bytes]", _SamplesFile(samples))


class _SamplesFile(io.RawIOBase):
    def __init__(self, samples: memoryview) -> None:
        super().__init__()
        self._samples, self._position = samples, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence, len(self._samples))
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        part = self._samples[self._position : self._position + len(view)]
        view[: len(part)] = part
        self._position += len(part)
        return len(part)
