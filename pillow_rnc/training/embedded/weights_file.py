"""Parameters of the entropy network in training, from the integers of a weights file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillow_rnc.training.rounding import BIAS, WEIGHT

if TYPE_CHECKING:
    from torch import Tensor

_UNITS = {
    "state_in.weight": WEIGHT,
    "state_in.bias": BIAS,
    "state.weight": WEIGHT,
    "feature.weight": WEIGHT,
    "feature.bias": BIAS,
    "context.weight": WEIGHT,
    "output.weight": WEIGHT,
    "output.bias": BIAS / 2,
    "accumulator_input.weight": WEIGHT,
    "accumulator_output.weight": WEIGHT,
}
"""Tensors of the entropy network in a weights file, and their integers per unit of the parameter."""


def entropy_parameters(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the parameters of `pillow_rnc.training.entropy_network.EntropyNetwork`, by name, float32.

    Args:
        tensors: Of the weights file.
    """
    found = {}
    for name, unit in _UNITS.items():
        parameter = name.removesuffix(".weight") if name.startswith("accumulator") else name.replace(".", "_")
        found[parameter] = tensors[f"entropy.{name}"].float() / unit
    return found
