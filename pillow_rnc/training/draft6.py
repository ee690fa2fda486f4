"""Models of draft 6 of the format as models of draft 7: configuration and names of the codec network's tensors."""

from __future__ import annotations

from typing import Any

_NETWORK_NAMES = {
    "network.decoder.sight.weight": "network.decoder.midpoint_projection.weight",
    "network.decoder.width.weight": "network.decoder.half_width_projection.weight",
    "network.quantiser.coefficient": "network.quantizer.coefficient",
    "network.quantiser.level": "network.quantizer.level",
    "network.quantiser.step": "network.quantizer.step",
}
_DEFAULTS = {
    "cell": "gru",
    "framework": "embedded",
    "iterations": 16,
    "code_channels": 64,
    "code_stride": 8,
    "encoder_channels": 96,
    "decoder_channels": 96,
    "context_channels": 96,
    "decoder_steps": 2,
    "separable": True,
    "entropy_state_channels": 32,
    "entropy_hidden_channels": 48,
    "passes": [[2, 0, 32], [3, 0, 32], [1, 0, 32]],
}


def converted_config(table: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a draft 7 weights file, all fields stated, from that of a draft 6 file."""
    full = {**_DEFAULTS, **table}
    if full["framework"] == "embedded":
        dropped, added = {"framework", "encoder_channels"}, {"family": "embedded"}
    else:
        dropped, added = {"decoder_steps"}, {"family": "recurrent", "network": "light"}
    return added | {name: value for name, value in full.items() if name not in dropped}


def converted_name(name: str) -> str:
    """Return the draft 7 name of a tensor of the codec network; names that did not change are returned as they are."""
    return _NETWORK_NAMES.get(name, name)
