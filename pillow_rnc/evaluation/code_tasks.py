"""What the code bits of a picture say: by quantity, by colour, and by pass of the entropy network."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
import torch

from pillow_rnc.block_basis import BLOCK
from pillow_rnc.embedded_quantiser import halved
from pillow_rnc.entropy_reference import Pass, cells_of
from pillow_rnc.network import Network
from pillow_rnc.numpy_quantiser import NO_LEVEL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.weights import Weights


class Task(IntEnum):
    """What a bit may say."""

    NOTHING = 0
    """Its pair has no task, or none in this block: an interval is narrow enough, or a level is for others."""
    LEAVES_ZERO = 1
    """Whether a magnitude passes the first threshold, where the interval holds zero; of both bits one has the sign."""
    LARGER = 2
    """Whether it passes a further threshold of the same visit."""
    HALF = 3
    """In which half of a known interval it lies."""


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
        visits = network.weights_of(t).visits
        assert visits is not None
        chosen, level = visits.coefficient, visits.level.view(1, -1, 1, 1)
        middle, reach = state.coded[:, chosen], state.reach[:, chosen]
        step = visits.step[chosen].view(1, -1, 1, 1) * network.scale_map(state, visits)
        fresh = torch.where(level == 1, int(Task.LEAVES_ZERO), int(Task.LARGER))
        known = torch.where(halved(reach, step, level), int(Task.HALF), int(Task.NOTHING))
        task = torch.where(middle == 0, fresh, known)
        task = torch.where(level == NO_LEVEL, int(Task.NOTHING), task)
        found.append(torch.cat([task, task], 1)[0].to(torch.uint8))  # both bits of a pair
        bits = 2 * torch.from_numpy(plane[None].astype(np.float32)) - 1
        state = network.decode_step(bits, t, state)
    return torch.stack(found).numpy()


def chroma_of(network: Network) -> NDArray[np.bool_]:
    """Return which channels tell of chroma, bool [T, C]; those of pairs without a task do not."""
    quantiser = network.quantiser
    chroma = (quantiser.coefficient >= BLOCK**2) & (quantiser.level != NO_LEVEL)
    return np.tile(chroma.numpy(), 2)


def idle_of(network: Network) -> NDArray[np.bool_]:
    """Return which channels belong to a pair without a task, bool [T, C]."""
    return np.tile((network.quantiser.level == NO_LEVEL).numpy(), 2)


def pass_of(passes: tuple[Pass, ...], height: int, width: int) -> NDArray[np.uint8]:
    """Return which pass codes each bit of a plane, uint8 [C, h, w]."""
    out = np.zeros((max(one.stop for one in passes), height * width), np.uint8)
    for index, one in enumerate(passes):
        out[one.first : one.stop, cells_of(one.lattice, height, width)] = index
    return out.reshape(-1, height, width)
