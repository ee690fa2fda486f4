"""Running a network on one tile: pixels <-> code planes, untouched by what the host program set in torch.

This is the interface behind which another runtime can stand; it knows no files and no entropy coding.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from pillow_rnc.errors import RncOptionError, WeightsError
from pillow_rnc.network import CodecState, Network
from pillow_rnc.weights import Weights, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pillow_rnc.cells import State

_precision_lock = threading.RLock()


@contextmanager
def settled_torch(device: torch.device) -> Iterator[None]:
    """Within this block torch computes in plain float32 without gradients; afterwards all is as the host left it."""
    with _precision_lock:
        precision = torch.get_float32_matmul_precision()
        if precision != "highest":
            torch.set_float32_matmul_precision("highest")
        try:
            with torch.inference_mode(), torch.autocast(device.type, enabled=False):
                yield
        finally:
            if precision != "highest":
                torch.set_float32_matmul_precision(precision)


def torch_device(name: str) -> torch.device:
    """Return the device of a name such as "cpu" or "cuda:0".

    Raises:
        RncOptionError: torch does not know the name, or this machine has no such device.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        msg = f"device {name!r} cannot be used: {error}"
        raise RncOptionError(msg) from error
    return device


@cache
def _network(model_id: bytes, device: torch.device) -> Network:
    weights = load(model_id)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        network = Network(weights.config)
    state = {
        name.removeprefix("network."): torch.from_numpy(tensor.copy())
        for name, tensor in weights.tensors.items()
        if name.startswith("network.")
    }
    network.float()
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        msg = f"weights {weights.name!r} do not fit their own configuration: {error}"
        raise WeightsError(msg) from error
    network.eval().requires_grad_(requires_grad=False)
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


class TileNetwork:
    """The network at work on one tile, iteration by iteration.

    Args:
        weights: The model.
        height: Height of the padded tile in pixels.
        width: Width of the padded tile in pixels.
        device: A torch device.
    """

    def __init__(self, weights: Weights, height: int, width: int, device: torch.device) -> None:
        with settled_torch(device):
            self._network = _network(weights.model_id, device)
            self._state: CodecState = self._network.initial_state(1, height // 8, width // 8)
        self._device = device
        self._memory: State | None = None
        self._target: torch.Tensor | None = None
        self._iteration = 0

    def set_target(self, pixels: NDArray[np.uint8]) -> None:
        """Say what is to be encoded: pixels uint8 [height, width, 3]."""
        with settled_torch(self._device):
            tensor = torch.from_numpy(np.ascontiguousarray(pixels)).to(self._device)
            planes = tensor.permute(2, 0, 1)[None].to(torch.float32)
            self._target = self._network.transform(planes).contiguous(memory_format=torch.channels_last)

    def encode(self) -> NDArray[np.uint8]:
        """Return the codes of the next iteration, uint8 [C, h, w]; the reconstruction moves on with them."""
        assert self._target is not None
        with settled_torch(self._device):
            a, self._memory = self._network.encode_step(self._target, self._iteration, self._state, self._memory)
            bits = self._network.binarizer(a)
            self._advance(bits)
            plane: NDArray[np.uint8] = (bits[0] > 0).to(torch.uint8).cpu().contiguous().numpy()
        return plane

    def decode(self, plane: NDArray[np.uint8]) -> None:
        """Take the codes of the next iteration, uint8 [C, h, w]."""
        with settled_torch(self._device):
            bits = torch.from_numpy(plane).to(self._device).to(torch.float32)[None] * 2 - 1
            self._advance(bits.contiguous(memory_format=torch.channels_last))

    def _advance(self, bits: torch.Tensor) -> None:
        self._state = self._network.decode_step(bits, self._iteration, self._state)
        self._iteration += 1

    def pixels(self) -> NDArray[np.float32]:
        """Return the reconstruction so far, float32 [height, width, 3], in 0..255 but neither clipped nor rounded."""
        with settled_torch(self._device):
            planes = self._network.transform.inverse(self._state.reconstruction)
            shown: NDArray[np.float32] = planes[0].permute(1, 2, 0).cpu().contiguous().numpy()
        return shown
