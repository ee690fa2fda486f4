"""Hugging Face Datasets: `load_dataset("imagefolder")` accepts only the file extensions in a list of its own."""

from __future__ import annotations

from datasets.packaged_modules.imagefolder.imagefolder import ImageFolder

from pillow_rnc.plugin.format_names import EXTENSION
from pillow_rnc.plugin.handlers import register


def register_extension() -> None:
    """Make image folders accept `.rnc` files; calling it again changes nothing."""
    register()
    if EXTENSION not in ImageFolder.EXTENSIONS:
        ImageFolder.EXTENSIONS.append(EXTENSION)
