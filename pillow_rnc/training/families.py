"""The one place that knows what each codec network is trained by.

To train a network of another kind, implement `model.TrainableModel` in the folder of its family and name it here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pillow_rnc.models.embedded.network import EmbeddedNetwork
from pillow_rnc.models.families import make_network
from pillow_rnc.models.recurrent.block_network import BlockNetwork
from pillow_rnc.models.recurrent.paper_network import PaperNetwork
from pillow_rnc.training.embedded.model import EmbeddedModel
from pillow_rnc.training.recurrent.block_model import BlockModel
from pillow_rnc.training.recurrent.paper_model import PaperModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from pillow_rnc.training.model import TrainableModel
    from pillow_rnc.training.recipe import Recipe

_MODELS: dict[type, Callable[[Recipe, Any], TrainableModel]] = {
    EmbeddedNetwork: EmbeddedModel,
    BlockNetwork: BlockModel,
    PaperNetwork: PaperModel,
}


def make_model(recipe: Recipe) -> TrainableModel:
    """Return the model of a recipe, with random parameters.

    Raises:
        ValueError: The passes of the recipe's model do not fit its family, or another command trains its network.
        WeightsError: This version has no network for the recipe's model.
    """
    network = make_network(recipe.model)
    if type(network) not in _MODELS:
        msg = (
            f"recipes do not train a {type(network).__name__} (code_stride {recipe.model.code_stride}); "
            "python -m pillow_rnc.training.recurrent.light_run does"
        )
        raise ValueError(msg)
    return _MODELS[type(network)](recipe, network)
