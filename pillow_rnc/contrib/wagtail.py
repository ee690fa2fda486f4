"""Wagtail: it accepts uploads whose extension is in its settings, and identifies them through Willow.

Add ``"pillow_rnc.contrib.wagtail.RncWagtailConfig"`` to ``INSTALLED_APPS``, and set what can only be set there::

    WAGTAILIMAGES_EXTENSIONS = ["avif", "gif", "jpg", "jpeg", "png", "webp", "rnc"]
    WAGTAILIMAGES_FORMAT_CONVERSIONS = {"rnc": "webp"}

Editors can then upload `.rnc` images, and pages show them as WebP. Renditions in `.rnc` are not possible, because the
formats that Wagtail writes are hard-coded in one function; nor could browsers show them.
"""

from __future__ import annotations

from pillow_rnc.contrib.django import RncConfig
from pillow_rnc.contrib.willow import register_format


class RncWagtailConfig(RncConfig):
    """Replaces `contrib.django.RncConfig`, and also registers the format with Willow."""

    def ready(self) -> None:
        """Register with Pillow, using the options of the settings, and with Willow."""
        super().ready()
        register_format()
