"""Makes Pillow know `.rnc` the moment a program imports it, though the program never heard of us.

``rnc autoload enable`` copies this file into site-packages as ``pillow_rnc_autoload.py``, beside two files through
which Python calls `install` at every start: a ``.pth`` file, and a ``.start`` file for Python 3.15 and later (PEP 829).
So it is quick, needs only what Python has loaded anyway, and never keeps a program from starting or importing Pillow.
``PILLOW_RNC_AUTOLOAD=0`` in the environment turns it off.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
"""As that of `typing`, which takes longer to import than all of this."""
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

_TARGET = "PIL.Image"
_PACKAGE = "pillow_rnc"
_SWITCH = "PILLOW_RNC_AUTOLOAD"

# As in the plugin, which is imported when the first file needs it: most programs that import Pillow meet none of ours.
FORMAT = "RNC"
EXTENSION = ".rnc"
MIME_TYPE = "image/x-rnc"
SIGNATURE = b"\x8aRNC\r\n\x1a\n"


def install() -> None:
    """Wait for the import of Pillow, or register at once if that has happened."""
    if os.environ.get(_SWITCH) == "0":
        return
    if _TARGET in sys.modules:
        _register()
    else:
        # It stays there, idle: if it were removed while another thread walks the list, that thread would miss a finder.
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Finds one module only, by asking the finders that come after it."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of `PIL.Image` with a loader that registers; of any other module nothing."""
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
    """Another loader that registers the format once it has done its work."""

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
    """Make Pillow know what brings the plugin, if that is still installed."""
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
    """Return what the plugin puts into a table of Pillow, in place of ours."""
    from pillow_rnc.RncImagePlugin import register

    register()
    return getattr(sys.modules[_TARGET], table)[FORMAT]
