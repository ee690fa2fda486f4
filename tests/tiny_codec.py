"""A small random codec: every path of the released one in milliseconds, with pictures that mean nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tiny_models import PAIR_PASSES, pair_tables, tiny_tensors

from pillow_rnc.models.config import EmbeddedConfig, RecurrentConfig
from pillow_rnc.models.weights import register

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.models.config import Framework, ModelConfig

NAME = "tiny"
SIZES: dict[str, Any] = {
    "iterations": 4,
    "code_channels": 8,
    "code_stride": 8,
    "decoder_channels": 8,
    "context_channels": 8,
    "entropy_state_channels": 8,
    "entropy_hidden_channels": 8,
}
CONFIG = EmbeddedConfig(**SIZES, passes=PAIR_PASSES)
DENSE_PASSES = ((0, 0, 8), (1, 0, 8))
GOLDEN = Path(__file__).parent / "golden" / "tiny.safetensors"
"""A model of that configuration, which needs no torch to be made."""


def picture(n: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return n pictures: noise, on slopes."""
    random = np.random.default_rng(3)
    slopes = np.linspace(0, 150, width) + np.linspace(0, 40, height)[:, None]
    return (slopes[None, ..., None] + random.integers(0, 64, (n, height, width, 3))).astype(np.uint8)


def recurrent(framework: Framework, **changes: Any) -> RecurrentConfig:  # noqa: ANN401 -- fields of the configuration
    """Return a recurrent model of the same sizes, on 8x8 blocks."""
    values: dict[str, Any] = {**SIZES, "encoder_channels": 8, "passes": DENSE_PASSES, "framework": framework}
    return RecurrentConfig(**(values | changes))


def register_tiny_codec(folder: Path) -> Path:
    """Make the golden model known as "tiny", under a path of its own, and return the file."""
    path = Path(shutil.copy(GOLDEN, folder / f"{NAME}.safetensors"))
    register(path)
    return path


def register_random_codec(folder: Path, config: ModelConfig = CONFIG, seed: int = 1) -> Path:
    """Write the weights of a random model into a folder, make it known as "random", and return the file."""
    import torch
    from safetensors.numpy import save_file

    from pillow_rnc.models.embedded.network import EmbeddedNetwork
    from pillow_rnc.models.families import make_network
    from pillow_rnc.models.recurrent.light_network import LightNetwork
    from pillow_rnc.models.recurrent.paper_network import PaperNetwork

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = make_network(config)
    if isinstance(network, EmbeddedNetwork):
        for table in (network.decoder.bias, network.decoder.shift):
            torch.nn.init.normal_(table, std=0.3, generator=torch.Generator().manual_seed(seed))
    if isinstance(network, LightNetwork):
        network.transform.deviation.fill_(12.0)
        if network.config.framework == "residual_scaling":  # zero where training starts
            torch.nn.init.normal_(network.gain.weight, std=0.3, generator=torch.Generator().manual_seed(seed))
    if isinstance(network, PaperNetwork):
        with torch.no_grad():  # small random networks draw grey images otherwise
            network.output.weight.mul_(30)
    tensors = {f"network.{name}": tensor.detach().numpy() for name, tensor in network.state_dict().items()}
    tensors |= tiny_tensors(seed, passes=config.passes, iterations=config.iterations)
    if isinstance(config, EmbeddedConfig):
        tensors |= pair_tables()
    path = folder / "random.safetensors"
    save_file(tensors, path, metadata={"config": config.to_json()})
    register(path)
    return path
