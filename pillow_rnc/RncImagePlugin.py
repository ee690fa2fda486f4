"""Registers the format with Pillow; the name of this module follows the convention for Pillow's plugins."""

from __future__ import annotations

from pillow_rnc.plugin.handlers import register
from pillow_rnc.plugin.image_file import RncImageFile

__all__ = ["RncImageFile", "register"]

register()
