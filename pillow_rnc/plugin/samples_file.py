"""The samples of a decoded image as the file that Pillow reads them from."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class SamplesFile(io.RawIOBase):
    """Reads samples without a second copy of all of them.

    Args:
        samples: Of one byte each.
    """

    def __init__(self, samples: memoryview) -> None:
        super().__init__()
        self._samples, self._position = samples, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Set the position of the next byte to be read."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position}.get(whence, len(self._samples))
        self._position = max(0, start + offset)
        return self._position

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read as many bytes as there are, up to the length of a buffer."""
        view = memoryview(buffer).cast("B")
        part = self._samples[self._position : self._position + len(view)]
        view[: len(part)] = part
        self._position += len(part)
        return len(part)
