"""A small random codec: every path of the released one in milliseconds, with pictures that mean nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors.numpy import save_file
from tiny_models import PAIR_PASSES, pair_tables, tiny_tensors

from pillow_rnc.models.config import ModelConfig
from pillow_rnc.models.weights import register

NAME = "tiny"
CONFIG = ModelConfig(
    iterations=4,
    code_channels=8,
    encoder_channels=8,
    decoder_channels=8,
    context_channels=8,
    entropy_state_channels=8,
    entropy_hidden_channels=8,
    passes=PAIR_PASSES,
)
GOLDEN = Path(__file__).parent / "golden" / "tiny.safetensors"
"""A model of that configuration, which needs no torch to be made."""


def register_tiny_codec(folder: Path) -> Path:
    """Make the golden model known as "tiny", under a path of its own, and return the file."""
    path = Path(shutil.copy(GOLDEN, folder / f"{NAME}.safetensors"))
    register(path)
    return path


def register_random_codec(folder: Path, config: ModelConfig = CONFIG, seed: int = 1) -> Path:
    """Write the weights of a random model into a folder, make it known as "random", and return the file."""
    import torch

    from pillow_rnc.models.embedded.interval_decoder import IntervalDecoder
    from pillow_rnc.models.recurrent.network import Network

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Network(config)
    if config.framework == "embedded":
        assert isinstance(network.decoder, IntervalDecoder)
        for table in (network.decoder.bias, network.decoder.shift):
            torch.nn.init.normal_(table, std=0.3, generator=torch.Generator().manual_seed(seed))
    tensors = {f"network.{name}": tensor.detach().numpy() for name, tensor in network.state_dict().items()}
    tensors |= tiny_tensors(seed, passes=config.passes, iterations=config.iterations)
    if config.framework == "embedded":
        tensors |= pair_tables()
    path = folder / "random.safetensors"
    save_file(tensors, path, metadata={"config": config.to_json()})
    register(path)
    return path
