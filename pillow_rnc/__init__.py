"""Pillow plugin for `.rnc`, a learned progressive image format."""

from __future__ import annotations

__version__ = "0.1.0"
