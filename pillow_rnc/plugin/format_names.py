"""What the format is called in Pillow."""

from __future__ import annotations

from typing import Final

FORMAT: Final = "RNC"
EXTENSION: Final = ".rnc"
MIME_TYPE: Final = "image/x-rnc"
