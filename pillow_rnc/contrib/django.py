"""Django: an app that registers the format in every process of a site, with defaults of the site.

Add ``"pillow_rnc.contrib.django.RncConfig"`` to ``INSTALLED_APPS``.
``PILLOW_RNC = {"iterations": 6}`` in the settings sets arguments of `pillow_rnc.register_rnc_opener`.
"""

from __future__ import annotations

from django.apps import AppConfig
from django.conf import settings

from pillow_rnc import register_rnc_opener


class RncConfig(AppConfig):  # type: ignore[misc]  # Django ships no types
    """Registers the format once Django has loaded its settings."""

    name = "pillow_rnc"
    verbose_name = "RNC images"

    def ready(self) -> None:
        """Register with the options of the settings, and set the media type of downloads and static files."""
        register_rnc_opener(**{"mimetypes": True, **getattr(settings, "PILLOW_RNC", {})})
