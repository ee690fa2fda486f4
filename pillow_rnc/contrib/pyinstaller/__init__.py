"""PyInstaller finds its hooks for this package here, by an entry point; nothing has to be asked for.

The weights go into the frozen program, and the modules that are imported where they are used.
torch goes in too where it is installed, and is by far the largest part: `--exclude-module torch` leaves it out of
programs that decode on the processor.
"""

from __future__ import annotations

from pathlib import Path


def get_hook_dirs() -> list[str]:
    """Return the folder of the hooks."""
    return [str(Path(__file__).parent)]
