"""Registers `.rnc` when a program imports Pillow, without a line in that program.

``rnc autoload enable`` copies this file into site-packages as ``pillow_rnc_autoload.py``, beside two files through
which Python calls `install` at every start: a ``.pth`` file, and a ``.start`` file for Python 3.15 and later (PEP 829).
Therefore it is fast, imports only what Python has loaded anyway, and never prevents a program from starting or from
importing Pillow. ``PILLOW_RNC_AUTOLOAD=0`` in the environment turns it off.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
"""Like that of `typing`, which takes longer to import than this module."""
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

_TARGET = "PIL.Image"
_PACKAGE = "pillow_rnc"
SWITCH = "PILLOW_RNC_AUTOLOAD"

# Copied from the plugin, which is imported only when a file needs it: most programs never open an `.rnc` file.
FORMAT = "RNC"
EXTENSION = ".rnc"
MIME_TYPE = "image/x-rnc"
SIGNATURE = b"\x8aRNC\r\n\x1a\n"


def install() -> None:
    """Register when Pillow is imported, or at once if it has been already."""
    if os.environ.get(SWITCH) == "0":
        return
    if _TARGET in sys.modules:
        _register()
    else:
        # It is never removed: another thread that iterates over the list at that moment would skip a finder.
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds a single module, by asking the finders after it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of `PIL.Image` with a loader that registers the format; None for any other module."""
        if name != _TARGET or self not in sys.meta_path:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find else None
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader)  # type: ignore[assignment]
                return spec
        return None


class _Loader:
    """Wraps a loader, and registers the format once the module is loaded."""

    def __init__(self, loader: Any) -> None:  # noqa: ANN401 -- any loader
        self._loader = loader

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 -- as above
        return getattr(self._loader, name)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        _register()


def _register() -> None:
    """Register functions that import the plugin when they are called, if it is still installed."""
    register = getattr(sys.modules.get(f"{_PACKAGE}.RncImagePlugin"), "register", None)
    if register is not None:
        register()
        return
    if not any(finder.find_spec(_PACKAGE, None) for finder in sys.meta_path if hasattr(finder, "find_spec")):
        return
    image: Any = sys.modules[_TARGET]
    image.register_open(FORMAT, _open, _accept)
    image.register_save(FORMAT, _save)
    image.register_save_all(FORMAT, _save_all)
    image.register_extension(FORMAT, EXTENSION)
    image.register_mime(FORMAT, MIME_TYPE)


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(SIGNATURE)


def _open(fp: Any, filename: Any) -> Any:  # noqa: ANN401 -- as Pillow gives and takes them
    return _plugin_entry("OPEN")[0](fp, filename)


def _save(im: Any, fp: Any, filename: Any) -> None:  # noqa: ANN401 -- as above
    _plugin_entry("SAVE")(im, fp, filename)


def _save_all(im: Any, fp: Any, filename: Any) -> None:  # noqa: ANN401 -- as above
    _plugin_entry("SAVE_ALL")(im, fp, filename)


def _plugin_entry(table: str) -> Any:  # noqa: ANN401 -- a class or a function
    """Return the entry that the plugin makes in a table of Pillow, in place of ours."""
    from pillow_rnc.RncImagePlugin import register

    register()
    return getattr(sys.modules[_TARGET], table)[FORMAT]
