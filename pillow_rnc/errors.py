"""Every exception that pillow-rnc raises on purpose, and its only class of warnings.

This module imports nothing of the package, so that every layer can use it.
Messages are lower case without a full stop, and state what was found, what is allowed and where.
Each class takes exactly one positional argument: `OSError` would interpret the first of two as an error number.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any


class RncError(Exception):
    """Base class of all errors of this package."""

    if sys.version_info < (3, 11):

        def add_note(self, note: str) -> None:
            """Keep a note where Python 3.11 and later keep it; tracebacks of Python 3.10 do not show it."""
            self.__notes__ = [*getattr(self, "__notes__", []), note]

    def __reduce__(self) -> str | tuple[Any, ...]:
        """Return what pickle needs, as any exception does; Dask cannot make all of ours without it."""
        return super().__reduce__()


class RncFileError(RncError, OSError):
    """The bytes of a file are at fault."""


class SignatureError(RncFileError):
    """The file does not start with the signature of an .rnc file."""


class UnsupportedError(RncFileError):
    """The file is valid, but uses a format version, feature or model that is not available."""


class CorruptError(RncFileError):
    """The file violates the format: a checksum, a length, a range or a codestream is wrong."""


class TruncatedError(RncFileError):
    """The file ends before its last iteration.

    Attributes:
        decodable_iterations: Number of iterations that are complete and have correct checksums.
    """

    def __init__(
        self,
        message: str = "image file is truncated",
        *,
        decodable_iterations: int = 0,
    ) -> None:
        super().__init__(message)
        self.decodable_iterations = decodable_iterations


class WorkLimitError(RncFileError):
    """The file is valid as far as it was read, but decoding it would take more work than is allowed."""


class RncOptionError(RncError, ValueError):
    """An argument of a call, such as `save(..., iterations=...)`, is not allowed."""


class WeightsError(RncError, RuntimeError):
    """The installed weights of a model are missing, altered or unusable."""


class DeviceMemoryError(RncError, MemoryError):
    """A device, or the CPU when torch computes, has too little memory."""


class RncWarning(UserWarning):
    """Something was left out or ignored that is not an error; the message says what, and why.

    Examples are metadata of the source that a file cannot hold, and bytes after the end of a file.
    `warnings.simplefilter("error", pillow_rnc.RncWarning)` turns them into exceptions.
    """
