"""Turn automatic registration on and off for a Python environment; see `_autoload_hook` for what then happens.

Never done on its own: files that run code at every start of Python are for the owner of the environment to decide on.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TypedDict

from pillow_rnc.plugin.file_io import write_path

_NAME = "pillow_rnc_autoload"
_MODULE = f"{_NAME}.py"
_STARTERS = {
    f"{_NAME}.pth": f"import {_NAME}; {_NAME}.install()\n",
    f"{_NAME}.start": f"{_NAME}:install\n",
}
_PROBE = "import sys\nfrom PIL import Image\nknown = 'RNC' in Image.OPEN\nimport pillow_rnc\nsys.exit(not known)"
_PATIENCE_S = 60


class AutoloadStatus(TypedDict):
    """What `status` found.

    Attributes:
        enabled: All files are there.
        works: A new Python process that imports only Pillow knows the format.
        current: The files are those of this version.
        folder: Where they are, or would be.
        files: Which are there.
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
    # The module before what calls it, so that Python can start at any moment.
    for name, content in _files().items():
        write_path(_folder() / name, content.encode())
    return status()


def disable() -> AutoloadStatus:
    """Remove the files; nothing happens if there are none.

    Raises:
        OSError: The folder cannot be written.
    """
    for name in reversed(_files()):
        (_folder() / name).unlink(missing_ok=True)
    return status()


def status() -> AutoloadStatus:
    """Return which files are there, and whether they do what they should."""
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
    """Whether a Python that starts now knows the format, without any import of ours."""
    command = [sys.executable, "-I", "-c", _PROBE]
    return not subprocess.run(command, check=False, timeout=_PATIENCE_S, stderr=subprocess.DEVNULL).returncode  # noqa: S603 -- our own interpreter
