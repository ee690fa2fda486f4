"""imageio: when writing to bytes or streams, it looks up the plugin for an extension in a list of its own."""

from __future__ import annotations

from imageio.config import FileExtension, known_extensions

from pillow_rnc.plugin.format_names import EXTENSION
from pillow_rnc.plugin.handlers import register


def register_extension() -> None:
    """Make imageio use Pillow for `.rnc`; calling it again changes nothing."""
    register()
    if EXTENSION not in known_extensions:
        known_extensions[EXTENSION] = [
            FileExtension(name="Learned progressive image", extension=EXTENSION, priority=["pillow"])
        ]
