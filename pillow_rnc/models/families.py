"""The one place that knows both codec families: the network of a configuration.

To add a network, implement `network.CodecNetwork` in the folder of its family and name it here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pillow_rnc.errors import WeightsError
from pillow_rnc.models.config import EmbeddedConfig, RecurrentConfig
from pillow_rnc.models.embedded.network import EmbeddedNetwork
from pillow_rnc.models.recurrent.block_network import BlockNetwork
from pillow_rnc.models.recurrent.light_network import LightNetwork
from pillow_rnc.models.recurrent.paper_network import PaperNetwork

if TYPE_CHECKING:
    from pillow_rnc.models.config import ModelConfig
    from pillow_rnc.models.network import CodecNetwork


def make_network(config: ModelConfig) -> CodecNetwork[Any, Any, Any]:
    """Return the network of a configuration with random parameters.

    Raises:
        WeightsError: This version has no network for the configuration.
    """
    match config:
        case EmbeddedConfig():
            return EmbeddedNetwork(config)
        case RecurrentConfig(network="paper"):
            return PaperNetwork(config)
        case RecurrentConfig(code_stride=8):
            return BlockNetwork(config)
        case RecurrentConfig():
            return LightNetwork(config)
    msg = f"model configuration: there is no network for a {type(config).__name__}"
    raise WeightsError(msg)
