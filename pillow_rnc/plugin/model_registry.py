"""`pillow_rnc.models` and `pillow_rnc.register_model`: which models ``save`` can use, and how to add one.

This module is imported with the package, so that its function `models` takes the place of the sub-package of that name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillow_rnc.fork_safety import importing

if TYPE_CHECKING:
    import os

    from pillow_rnc.models.weights import Release
    from pillow_rnc.plugin.model_info import ModelInfo


def models() -> list[ModelInfo]:
    """Return the available models: those of this installation, the default first, then registered ones.

    Raises:
        WeightsError: The list of installed models is damaged.
    """
    with importing:
        from pillow_rnc.models import weights

    return [_described(release, is_default=index == 0) for index, release in enumerate(weights.releases())]


def register_model(path: str | os.PathLike[str]) -> ModelInfo:
    """Make the model of a weights file available in this process, under the name of the file without its suffix.

    From then on, ``save`` can use it, and files that were encoded with it can be decoded.
    Of several models with one name, ``save`` uses the one registered last; ids tell them apart.

    Args:
        path: A .safetensors file, as exported by `pillow_rnc.training`. Its contents are checked on first use.

    Raises:
        WeightsError: The file cannot be read.
    """
    with importing:
        from pillow_rnc.models import weights

    release = weights.register(path)
    return _described(release, is_default=release == weights.releases()[0])


def _described(release: Release, *, is_default: bool) -> ModelInfo:
    with importing:
        from pillow_rnc.plugin.model_info import ModelInfo

    return ModelInfo(release.name, release.model_id.hex(), release.date, is_default)
