"""The small model of the fuzzers: a file of the repository, so that seeds keep their meaning."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from pillow_rnc.models import weights

if TYPE_CHECKING:
    from pillow_rnc.models.weights import Weights

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"
"""Files whose codes never change, and their model."""


@cache
def tiny() -> Weights:
    """Return the model, after registering it in this process."""
    return weights.load(weights.register(GOLDEN / "tiny.safetensors").model_id)
