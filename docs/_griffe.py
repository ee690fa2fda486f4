"""griffe extension: on the page of public names, `pillow_rnc.models` is the function, as for a program that uses it.

The package has a sub-package of that name, which griffe would show in its place.
"""

# ruff: noqa: INP001 -- griffe loads this module by its path

from __future__ import annotations

from typing import TYPE_CHECKING

from griffe import Alias, Extension

if TYPE_CHECKING:
    from griffe import Module


class PublicNames(Extension):
    """Puts the function in the place of the sub-package."""

    def on_package(self, *, pkg: Module, **_: object) -> None:
        """Called by griffe once a package is loaded."""
        if pkg.path == "pillow_rnc":
            pkg.set_member("models", Alias("models", pkg["plugin.model_registry.models"], parent=pkg))
