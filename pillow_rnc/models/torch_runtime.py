"""Codec networks at work on tiles in torch, independent of what the host program set there.

It serves all devices but the CPU, and models that the NumPy runtime does not run.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from pillow_rnc.errors import DeviceMemoryError, RncOptionError, WeightsError
from pillow_rnc.fork_safety import ForkLock, importing
from pillow_rnc.models.basis import BLOCK
from pillow_rnc.models.families import make_network
from pillow_rnc.models.process_settings import ProcessSetting
from pillow_rnc.models.threads import threads_per_product
from pillow_rnc.models.torch_precision import full_precision

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pillow_rnc.models.network import CodecNetwork
    from pillow_rnc.models.weights import Weights

    AnyNetwork = CodecNetwork[Any, Any, Any]

_NO_MEMORY = "can't allocate memory"
_MID_GREY = 128


# --- settings of the process -----------------------------------------------------------------------------------------

_torch_threads: ProcessSetting[int, int] = ProcessSetting(
    lambda found: torch.get_num_threads() if found is None else found,
    lambda found, limits: torch.set_num_threads(min([found, *limits])),
    per_thread=True,
)
_process = os.getpid()


@contextmanager
def _limited_threads(threads: int) -> Iterator[None]:
    """Within this block torch computes with at most this many threads, 0 for no limit.

    In a forked child it has one: those that its parent had started do not exist there, and would be waited for forever.
    """
    if os.getpid() != _process:
        threads = 1
    with _torch_threads.override(threads) if threads else nullcontext():
        yield


@contextmanager
def inference_context(device: torch.device, max_threads: int = 0) -> Iterator[None]:
    """Within this block torch computes in plain float32 without gradients; afterwards its settings are as before.

    Args:
        device: Where.
        max_threads: As for `threads.limit_threads`, but 0 for no limit.

    Raises:
        DeviceMemoryError: The device has not enough memory.
    """
    with (
        _limited_threads(threads_per_product(max_threads) if max_threads else 0),
        full_precision(device),
        torch.inference_mode(),
        torch.autocast(device.type, enabled=False),
    ):
        try:
            yield
        except RuntimeError as error:
            # On the CPU this has no class of its own; from torch 2.5 on, the class is that of all devices.
            if isinstance(error, torch.cuda.OutOfMemoryError) or _NO_MEMORY in str(error):
                msg = f"device {device} has not enough memory"
                raise DeviceMemoryError(msg) from error
            raise


# --- networks --------------------------------------------------------------------------------------------------------


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


_network_lock = ForkLock()
_networks: dict[tuple[bytes, torch.device], AnyNetwork] = {}


def _network(weights: Weights, device: torch.device) -> AnyNetwork:
    """Return the network of a model on a device; built once in a process."""
    with _network_lock:  # building one draws random numbers and restores their state, which threads must not do at once
        key = weights.model_id, device
        if key not in _networks:
            with importing:  # torch imports parts of itself when it first needs them
                _networks[key] = _build(weights, device)
        return _networks[key]


def _build(weights: Weights, device: torch.device) -> AnyNetwork:
    state = {
        name.removeprefix("network."): torch.from_numpy(tensor.copy())
        for name, tensor in weights.tensors.items()
        if name.startswith("network.")
    }
    with torch.device("meta"):  # shapes alone, because a configuration can ask for more memory than there is
        expected = {name: tuple(tensor.shape) for name, tensor in make_network(weights.config).state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if found != expected:
        wrong = sorted(name for name in found | expected if found.get(name) != expected.get(name))
        msg = f"weights {weights.name!r} do not fit their own configuration in {', '.join(wrong)}"
        raise WeightsError(msg)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        network = make_network(weights.config)
    network.float()
    network.load_state_dict(state)
    network.eval().requires_grad_(requires_grad=False)
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


class TorchTiles:
    """A network at work on n tiles of one size, iteration by iteration; see `runtime.TileNetwork`.

    Args:
        weights: The model.
        device: A torch device.
        n: How many tiles.
        height: Height of the padded tiles in pixels.
        width: Width of the padded tiles in pixels.
        max_threads: As for `inference_context`.
    """

    def __init__(
        self, weights: Weights, device: torch.device, n: int, height: int, width: int, *, max_threads: int = 0
    ) -> None:
        self._context = partial(inference_context, device, max_threads)
        with self._context():
            self._network = _network(weights, device)
            self._state = self._network.initial_state(n, height // BLOCK, width // BLOCK)
        self._n, self._height, self._width = n, height, width
        self._device = device
        self._iterations = 0
        self._memory: Any = None
        self._target: torch.Tensor | None = None

    def set_target(self, pixels: NDArray[np.uint8]) -> None:
        """Set what is to be encoded: pixels uint8 [n, height, width, 3]."""
        with self._context():
            planes = torch.tensor(pixels, device=self._device).permute(0, 3, 1, 2).to(torch.float32)
            self._target = self._network.transform(planes).contiguous(memory_format=torch.channels_last)

    def encode(self) -> NDArray[np.uint8]:
        """Return the codes of the next iteration, uint8 [n, C, h, w]."""
        assert self._target is not None
        with self._context():
            weights = self._network.weights_of(self._iterations)
            a, self._memory = self._network.encode_step(self._target, weights, self._state, self._memory)
            bits: torch.Tensor = self._network.binarizer(a)
            self._decode_step(bits)
            planes: NDArray[np.uint8] = (bits > 0).to(torch.uint8).cpu().contiguous().numpy()
        return planes

    def decode(self, planes: NDArray[np.uint8]) -> None:
        """Take the codes of the next iteration, uint8 [n, C, h, w]."""
        with self._context():
            bits = torch.from_numpy(planes).to(self._device).to(torch.float32) * 2 - 1
            self._decode_step(bits.contiguous(memory_format=torch.channels_last))

    def _decode_step(self, bits: torch.Tensor) -> None:
        self._state = self._network.decode_step(bits, self._network.weights_of(self._iterations), self._state)
        self._iterations += 1

    def pixels(self) -> NDArray[np.float32]:
        """Return the images so far, float32 [n, height, width, 3], in 0..255 but neither clipped nor rounded.

        Before the first iteration they are mid-grey.
        """
        if not self._iterations:
            return np.full((self._n, self._height, self._width, 3), _MID_GREY, np.float32)
        with self._context():
            last = torch.full((self._n,), self._iterations - 1, device=self._device)
            planes = self._network.transform.inverse(self._network.reconstruct(self._state, last))
            images: NDArray[np.float32] = planes.permute(0, 2, 3, 1).cpu().contiguous().numpy()
        return images
