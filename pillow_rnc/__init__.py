"""Pillow plugin for `.rnc`, a learned progressive image format.

`import pillow_rnc` makes `Image.open` and `Image.save` know the format; nothing heavy is loaded for that.
"""

from __future__ import annotations

__version__ = "0.1.0"
