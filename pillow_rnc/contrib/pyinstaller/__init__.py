"""PyInstaller: finds its hooks for this package here, by an entry point, without any option.

The frozen program includes the weights, and the modules that are imported inside functions.
It also includes torch if that is installed, by far the largest part: `--exclude-module torch` omits it from programs
that decode on the CPU without it.
"""

from __future__ import annotations

from pathlib import Path


def get_hook_dirs() -> list[str]:
    """Return the folder of the hooks."""
    return [str(Path(__file__).parent)]
