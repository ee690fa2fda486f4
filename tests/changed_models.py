"""Weights files of the vectors with other members, tensors or descriptions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import reference_weights
from safetensors.numpy import load, save

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Tensors = dict[str, NDArray[Any]]

VECTORS = Path(__file__).parents[1] / "spec" / "vectors"


def config_of(data: bytes) -> dict[str, Any]:
    return reference_weights.read_description(data)[1]


def changed(
    name: str, config: dict[str, Any] | None = None, change: Callable[[Tensors], object] = lambda _: None
) -> bytes:
    """Return a weights file of the vectors with other members or tensors."""
    data = (VECTORS / f"{name}.safetensors").read_bytes()
    tensors = load(data)
    change(tensors)
    members = {**config_of(data), **(config or {})}
    members = {key: value for key, value in members.items() if value is not None}
    return save(tensors, metadata={"config": json.dumps(members)})
