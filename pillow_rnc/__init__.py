"""Pillow plugin for `.rnc`, a learned progressive image format.

`import pillow_rnc` registers the format with `Image.open` and `Image.save`. The codec and most public names are
imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import pillow_rnc.models  # once it is imported, the function of that name stays in its place
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
from pillow_rnc.fork_safety import importing
from pillow_rnc.plugin.handlers import register
from pillow_rnc.plugin.model_registry import models, register_model

if TYPE_CHECKING:
    from pillow_rnc.plugin.batch import decode_batch, encode_batch
    from pillow_rnc.plugin.files import FileInfo, info, truncate, verify
    from pillow_rnc.plugin.image_file import RncImageFile
    from pillow_rnc.plugin.model_info import ModelInfo
    from pillow_rnc.plugin.opening import open_image as open  # noqa: A004 -- read as pillow_rnc.open
    from pillow_rnc.plugin.progressive import Progressive, progressive
    from pillow_rnc.plugin.registration import register_rnc_opener, use_options

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

_IMPORTED_LATER = {
    "FileInfo": "files",
    "ModelInfo": "model_info",
    "Progressive": "progressive",
    "RncImageFile": "image_file",
    "decode_batch": "batch",
    "encode_batch": "batch",
    "info": "files",
    "open": "opening",
    "progressive": "progressive",
    "register_rnc_opener": "registration",
    "truncate": "files",
    "use_options": "registration",
    "verify": "files",
}
"""Names that are imported when they are first asked for, and the modules of `pillow_rnc.plugin` that have them."""


if not TYPE_CHECKING:  # a type checker would otherwise accept any name

    def __getattr__(name: str) -> object:
        """Import a name."""
        if name not in _IMPORTED_LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        with importing:
            module = import_module(f"pillow_rnc.plugin.{_IMPORTED_LATER[name]}")
        value: object = getattr(module, "open_image" if name == "open" else name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register()
