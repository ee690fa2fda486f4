"""Every exception that pillow-rnc raises on purpose.

This module imports nothing, so that each layer can raise from it.
Messages are lower case without a full stop, and say what was found, what was allowed and where.
Each class takes exactly one positional argument: `OSError` would read two of them as an error number.
"""

from __future__ import annotations


class RncError(Exception):
    """Root of all errors of this package."""


class RncFileError(RncError, OSError):
    """The bytes of a file are at fault."""


class SignatureError(RncFileError):
    """The bytes do not start with the signature of an .rnc file."""


class UnsupportedError(RncFileError):
    """The file is sound, but needs a format version, feature or model that is not known here."""


class CorruptError(RncFileError):
    """The file breaks a rule of the format: a checksum, a length, a range or a code stream."""


class TruncatedError(RncFileError):
    """The file ends before its last iteration.

    Attributes:
        decodable_iterations: How many iterations are whole and have correct checksums.
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
    """The file is sound as far as it was read, but decoding it would take more work than is allowed."""


class RncOptionError(RncError, ValueError):
    """An argument of a call, such as `save(..., iterations=...)`, is not allowed."""


class WeightsError(RncError, RuntimeError):
    """The installed weights of a model are missing, altered or unusable."""


class DeviceMemoryError(RncError, MemoryError):
    """A device, or the processor by way of torch, has not enough memory."""
