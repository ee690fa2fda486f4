"""Turns automatic registration on and off for a Python environment; `autoload_hook` describes what it does.

Only on request: whether a file runs code at every start of Python is for the owner of the environment to decide.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TypedDict

from pillow_rnc.cli.autoload_hook import SWITCH
from pillow_rnc.plugin.file_io import atomic_write

_NAME = "pillow_rnc_autoload"
_MODULE = f"{_NAME}.py"
_STARTERS = {
    f"{_NAME}.pth": f"import {_NAME}; {_NAME}.install()\n",
    f"{_NAME}.start": f"{_NAME}:install\n",
}
_PROBE = "import sys\nfrom PIL import Image\nknown = 'RNC' in Image.OPEN\nimport pillow_rnc\nsys.exit(not known)"
_TIMEOUT_S = 60


class AutoloadStatus(TypedDict):
    """State of automatic registration, returned by `status`.

    Attributes:
        enabled: All files exist.
        works: In a new Python process that imports only Pillow, the format is registered.
        current: The files are those of this version.
        folder: Where the files are, or would be.
        files: Names of the files that exist.
    """

    enabled: bool
    works: bool
    current: bool
    folder: str
    files: list[str]


def enable() -> AutoloadStatus:
    """Write the files into the site-packages of this Python.

    Raises:
        OSError: The folder cannot be written.
    """
    # The module before the files that call it, so that Python can be started at any moment.
    for name, content in _files().items():
        atomic_write(_folder() / name, content.encode())
    return status()


def disable() -> AutoloadStatus:
    """Remove the files, if there are any.

    Raises:
        OSError: The folder cannot be written.
    """
    for name in reversed(_files()):
        (_folder() / name).unlink(missing_ok=True)
    return status()


def status() -> AutoloadStatus:
    """Return which files exist, and whether they work."""
    files = _files()
    present = [name for name in files if (_folder() / name).is_file()]
    return AutoloadStatus(
        enabled=len(present) == len(files),
        works=_works(),
        current=all((_folder() / name).read_text(encoding="utf-8") == files[name] for name in present),
        folder=str(_folder()),
        files=present,
    )


def _files() -> dict[str, str]:
    """Return the contents of the files by name."""
    hook = Path(__file__).with_name("autoload_hook.py").read_text(encoding="utf-8")
    return {_MODULE: hook} | _STARTERS


def _folder() -> Path:
    return Path(sysconfig.get_path("purelib"))


def _works() -> bool:
    """Whether a Python process that starts now registers the format without importing this package."""
    command = [sys.executable, "-I", "-c", _PROBE]
    # It may be off for this command only.
    environment = {name: value for name, value in os.environ.items() if name != SWITCH}
    try:
        probe = subprocess.run(  # noqa: S603 -- our own interpreter
            command, check=False, timeout=_TIMEOUT_S, stderr=subprocess.DEVNULL, env=environment
        )
    except subprocess.TimeoutExpired:
        return False
    return not probe.returncode
