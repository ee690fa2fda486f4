"""What the code bits of a picture say: by quantity, by colour, and by pass of the entropy network."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
import torch

from pillow_rnc.entropy.schedule import NO_LEVEL
from pillow_rnc.entropy.tensors import Pass, cells_of
from pillow_rnc.models.basis import BLOCK
from pillow_rnc.models.embedded.torch_quantizer import Intervals, told
from pillow_rnc.models.recurrent.network import Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.models.weights import Weights


class Task(IntEnum):
    """What a bit says."""

    NOTHING = 0
    """It is not told: it follows from others, or its pair has no task."""
    LEAVES_ZERO = 1
    """Whether a magnitude passes the first threshold, where the interval holds zero."""
    LARGER = 2
    """Whether it passes a further threshold of the same visit."""
    HALF = 3
    """In which half of a known interval it lies."""
    SIGN = 4
    """Whether what leaves zero is negative."""


def network_of(weights: Weights) -> Network:
    """Return the network of a model in torch, at rest."""
    with torch.random.fork_rng(devices=[]):
        network = Network(weights.config)
    prefix = "network."
    tensors = weights.tensors.items()
    network.load_state_dict({name.removeprefix(prefix): torch.from_numpy(one.copy()) for name, one in tensors})
    return network.eval().requires_grad_(requires_grad=False)


@torch.inference_mode()
def tasks_of(network: Network, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the `Task` of each bit, uint8 [T, C, h, w].

    Args:
        network: Of the embedded framework.
        codes: Of one tile, uint8 [T, C, h, w], values 0 or 1.
    """
    state = network.initial_state(1, *codes.shape[2:])
    found = []
    for t, plane in enumerate(codes):
        weights = network.weights_of(t)
        visits = weights.visits
        assert visits is not None
        bits = 2 * torch.from_numpy(plane[None].astype(np.float32)) - 1
        said = told(bits, Intervals(state.coded, state.reach), visits)
        known = state.coded[:, visits.coefficient] != 0
        fresh = torch.where(visits.level.view(1, -1, 1, 1) == 1, int(Task.LEAVES_ZERO), int(Task.LARGER))
        magnitudes = torch.where(known, int(Task.HALF), fresh) * said.magnitudes
        found.append(torch.cat([magnitudes, int(Task.SIGN) * said.signs], 1)[0].to(torch.uint8))
        state = network.decode(bits, weights, state)
    return torch.stack(found).numpy()


def chroma_of(network: Network) -> NDArray[np.bool_]:
    """Return which channels tell of chroma, bool [T, C]; those of pairs without a task do not."""
    quantiser = network.quantizer
    chroma = (quantiser.coefficient >= BLOCK**2) & (quantiser.level != NO_LEVEL)
    return np.tile(chroma.numpy(), 2)


def pass_of(passes: tuple[Pass, ...], channels: int, height: int, width: int) -> NDArray[np.uint8]:
    """Return which pass codes each bit of a plane, uint8 [C, h, w]; signs, which come after them all, count as one."""
    out = np.full((channels, height * width), len(passes), np.uint8)
    for index, one in enumerate(passes):
        out[one.first : one.stop, cells_of(one.lattice, height, width)] = index
    return out.reshape(-1, height, width)
