"""What the code bits of an image mean: by quantity, by colour, and by pass of the entropy network."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
import torch

from pillow_rnc.entropy.schedule import NO_LEVEL
from pillow_rnc.entropy.tensors import Pass, cells_of
from pillow_rnc.errors import RncOptionError
from pillow_rnc.models.basis import BLOCK
from pillow_rnc.models.config import EmbeddedConfig
from pillow_rnc.models.embedded.network import EmbeddedNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.models.weights import Weights


class BitKind(IntEnum):
    """What a bit means."""

    NOTHING = 0
    """It is inferred from others, or its pair is idle."""
    LEAVES_ZERO = 1
    """Whether a magnitude reaches the first threshold, where the interval holds zero."""
    LARGER = 2
    """Whether it reaches a further threshold in the same iteration."""
    HALF = 3
    """In which half of a known interval it lies."""
    SIGN = 4
    """Whether a number that leaves zero is negative."""


def network_of(weights: Weights) -> EmbeddedNetwork:
    """Return the network of a model in torch.

    Raises:
        RncOptionError: The model is not of the embedded family.
    """
    if not isinstance(weights.config, EmbeddedConfig):
        raise RncOptionError(f"model {weights.name!r} is of family {weights.config.family!r}, not 'embedded'")
    with torch.random.fork_rng(devices=[]):
        network = EmbeddedNetwork(weights.config)
    prefix = "network."
    tensors = weights.tensors.items()
    network.load_state_dict({name.removeprefix(prefix): torch.from_numpy(one.copy()) for name, one in tensors})
    return network.eval().requires_grad_(requires_grad=False)


@torch.inference_mode()
def kinds_of(network: EmbeddedNetwork, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the `BitKind` of each bit, uint8 [T, C, h, w].

    Args:
        network: The codec.
        codes: Of one tile, uint8 [T, C, h, w], values 0 or 1.
    """
    state = network.initial_state(1, *codes.shape[2:])
    found = []
    for t, plane in enumerate(codes):
        schedule = network.weights_of(t)
        bits = 2 * torch.from_numpy(plane[None].astype(np.float32)) - 1
        coded = network.coded_values(bits, schedule, state)
        significant = state.midpoint[:, schedule.coefficient] != 0
        first = torch.where(schedule.level.view(1, -1, 1, 1) == 1, int(BitKind.LEAVES_ZERO), int(BitKind.LARGER))
        magnitudes = torch.where(significant, int(BitKind.HALF), first) * coded.magnitudes
        found.append(torch.cat([magnitudes, int(BitKind.SIGN) * coded.signs], 1)[0].to(torch.uint8))
        state = network.decode_step(bits, schedule, state)
    return torch.stack(found).numpy()


def chroma_of(network: EmbeddedNetwork) -> NDArray[np.bool_]:
    """Return which channels belong to chroma coefficients, bool [T, C]; those of idle pairs do not."""
    quantizer = network.quantizer
    chroma = (quantizer.coefficient >= BLOCK**2) & (quantizer.level != NO_LEVEL)
    return np.tile(chroma.numpy(), 2)


def pass_of(passes: tuple[Pass, ...], channels: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return which pass codes each bit of a plane, uint8 [C, h, w]; signs, which come last, count as a pass."""
    out = np.full((channels, height * width), len(passes), np.uint8)
    for index, one in enumerate(passes):
        out[one.first : one.stop, cells_of(one.lattice, height, width)] = index
    return out.reshape(-1, height, width)
