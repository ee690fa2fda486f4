"""Wagtail takes uploads whose extension is in its settings, and recognises them through Willow.

Put ``"pillow_rnc.contrib.wagtail.RncWagtailConfig"`` into ``INSTALLED_APPS``, and say what Wagtail cannot be told
otherwise::

    WAGTAILIMAGES_EXTENSIONS = ["avif", "gif", "jpg", "jpeg", "png", "webp", "rnc"]
    WAGTAILIMAGES_FORMAT_CONVERSIONS = {"rnc": "webp"}

Editors can then upload `.rnc` pictures, and pages show them as WebP. Renditions in `.rnc` are not possible: the formats
that Wagtail writes are branches of one function. Browsers could not show them either.
"""

from __future__ import annotations

from pillow_rnc.contrib.django import RncConfig
from pillow_rnc.contrib.willow import register_format


class RncWagtailConfig(RncConfig):
    """Does what `contrib.django.RncConfig` does, which it stands in for, and makes Willow know the format."""

    def ready(self) -> None:
        """Register with Pillow, with the options of the settings, and with Willow."""
        super().ready()
        register_format()
