"""Pillow plugin for `.rnc`, a learned progressive image format.

`import pillow_rnc` makes `Image.open` and `Image.save` know the format; nothing heavy is loaded for that.
"""

from __future__ import annotations

from pillow_rnc.errors import (
    CorruptError,
    DeviceMemoryError,
    RncError,
    RncFileError,
    RncOptionError,
    SignatureError,
    TruncatedError,
    UnsupportedError,
    WeightsError,
    WorkLimitError,
)
from pillow_rnc.plugin.batch import decode_batch, encode_batch
from pillow_rnc.plugin.files import FileInfo, check, info, truncate
from pillow_rnc.plugin.opening import open_image as open  # noqa: A004 -- read as pillow_rnc.open
from pillow_rnc.plugin.progressive import Progressive, progressive
from pillow_rnc.plugin.registration import register_rnc_opener, use_options
from pillow_rnc.RncImagePlugin import RncImageFile

__version__ = "0.1.0"

__all__ = [
    "CorruptError",
    "DeviceMemoryError",
    "FileInfo",
    "Progressive",
    "RncError",
    "RncFileError",
    "RncImageFile",
    "RncOptionError",
    "SignatureError",
    "TruncatedError",
    "UnsupportedError",
    "WeightsError",
    "WorkLimitError",
    "__version__",
    "check",
    "decode_batch",
    "encode_batch",
    "info",
    "open",
    "progressive",
    "register_rnc_opener",
    "truncate",
    "use_options",
]
