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
_SWITCH = "PILLOW_RNC_AUTOLOAD"

_ANY_FAULT = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    Warning,
)
"""What the import of a package that is broken, half removed or too old for its Pillow can raise."""


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
    """Register the format; a program that is importing us already does that on its own."""
    try:
        if "pillow_rnc" not in sys.modules:
            import pillow_rnc  # noqa: F401 -- importing it registers
        else:
            getattr(sys.modules.get("pillow_rnc.RncImagePlugin"), "register", lambda: None)()
    except _ANY_FAULT:
        return
