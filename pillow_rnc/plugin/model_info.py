"""`pillow_rnc.ModelInfo`: what `pillow_rnc.models` says of a model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Description of a model, returned by `models`.

    Attributes:
        name: Name, as for ``save(model=...)``.
        model_id: Id in 16 hexadecimal digits, by which files refer to their model; as in `FileInfo`.
        date: Date of release, such as "2026-11-23"; None if unknown.
        is_default: Whether ``save`` uses this model unless another is named.
    """

    name: str
    model_id: str
    date: str | None
    is_default: bool
