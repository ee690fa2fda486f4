"""`load_dataset("imagefolder")` of Hugging Face takes only the extensions of a list of its own."""

from __future__ import annotations

from datasets.packaged_modules.imagefolder.imagefolder import ImageFolder

from pillow_rnc.plugin.image_file import EXTENSION
from pillow_rnc.plugin.registration import register


def register_extension() -> None:
    """Make image folders hold `.rnc` files too; a second time changes nothing."""
    register()
    if EXTENSION not in ImageFolder.EXTENSIONS:
        ImageFolder.EXTENSIONS.append(EXTENSION)
