"""Pillow plugin for `.rnc`, a learned progressive image format.

`import pillow_rnc` registers the format with `Image.open` and `Image.save`; it loads neither torch nor numpy.
"""

from __future__ import annotations

import pillow_rnc.plugin.command_start  # noqa: F401 -- before all others
from pillow_rnc.errors import (
    CorruptError,
    DeviceMemoryError,
    RncError,
    RncFileError,
    RncOptionError,
    RncWarning,
    SignatureError,
    TruncatedError,
    UnsupportedError,
    WeightsError,
    WorkLimitError,
)
from pillow_rnc.plugin.batch import decode_batch, encode_batch
from pillow_rnc.plugin.files import FileInfo, info, truncate, verify
from pillow_rnc.plugin.model_registry import ModelInfo, models, register_model  # `models` hides the sub-package
from pillow_rnc.plugin.opening import open_image as open  # noqa: A004 -- read as pillow_rnc.open
from pillow_rnc.plugin.progressive import Progressive, progressive
from pillow_rnc.plugin.registration import register_rnc_opener, use_options
from pillow_rnc.RncImagePlugin import RncImageFile

__version__ = "0.1.0"

__all__ = [
    "CorruptError",
    "DeviceMemoryError",
    "FileInfo",
    "ModelInfo",
    "Progressive",
    "RncError",
    "RncFileError",
    "RncImageFile",
    "RncOptionError",
    "RncWarning",
    "SignatureError",
    "TruncatedError",
    "UnsupportedError",
    "WeightsError",
    "WorkLimitError",
    "__version__",
    "decode_batch",
    "encode_batch",
    "info",
    "models",
    "open",
    "progressive",
    "register_model",
    "register_rnc_opener",
    "truncate",
    "use_options",
    "verify",
]
