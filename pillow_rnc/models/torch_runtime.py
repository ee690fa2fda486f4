"""The codec network at work on tiles in torch, untouched by what the host program set there.

It serves all devices but the processor, and models that `numpy_network` does not run.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager, nullcontext
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Protocol

import torch

from pillow_rnc.errors import DeviceMemoryError, RncOptionError, WeightsError
from pillow_rnc.models.fork_safety import ForkLock
from pillow_rnc.models.recurrent.network import CodecState, Network
from pillow_rnc.models.threads import for_products
from pillow_rnc.models.weights import Weights, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from pillow_rnc.models.recurrent.cells import State


class _Setting(Protocol):
    """One of the places in torch.backends where a host may allow products of fewer bits."""

    fp32_precision: str


class _FullPrecision:
    """Keeps torch's products in float32 for as long as any thread computes, then gives back what the host had set.

    The settings hold for the whole process, so the lock is taken only to count who needs them: threads compute side
    by side. A host that changes a setting meanwhile is obeyed once the last thread is done.

    Args:
        settings: Objects of torch.backends whose `fp32_precision` matters.
    """

    def __init__(self, *settings: _Setting) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._users = 0
        self._found: dict[int, str] = {}
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._restart)

    def __enter__(self) -> None:
        with self._lock:
            for index, setting in enumerate(self._settings):
                precision = setting.fp32_precision
                if precision not in _PLAIN:
                    self._found[index] = precision
                    setting.fp32_precision = "ieee"
            self._users += 1

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users:
                self._give_back()

    def _give_back(self) -> None:
        for index, precision in self._found.items():
            setting = self._settings[index]
            if setting.fp32_precision == "ieee":
                # What a setting inherits reads as its own; only when it does not come back so, it is set.
                setting.fp32_precision = "none"
                if setting.fp32_precision != precision:
                    setting.fp32_precision = precision
        self._found = {}

    def _restart(self) -> None:
        """Begin anew in a forked child, where the threads that were counted do not exist."""
        self._lock = threading.Lock()
        self._users = 0
        self._give_back()


_PLAIN = ("none", "ieee")
_NO_MEMORY = "can't allocate memory"
_backends: Any = torch.backends  # its precisions are not in the type stubs
_full_precision = {
    "cpu": _FullPrecision(_backends.mkldnn.matmul, _backends.mkldnn.conv),
    "cuda": _FullPrecision(_backends.cuda.matmul, _backends.cudnn.conv),
}


class _Threads:
    """Limits torch's threads: to one in a forked child, where those that its parent had started wait for ever.

    Every thread has a number of its own, and begins with that of the process; so each sets its own, and gives back
    what was found when the first of them began.
    """

    def __init__(self) -> None:
        self._forked = False
        self._lock = ForkLock()
        self._users = 0
        self._found = 1
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._note_fork)

    def _note_fork(self) -> None:
        self._forked = True
        self._users = 0

    @contextmanager
    def at_most(self, threads: int) -> Iterator[None]:
        """Within this block torch can compute, with so many threads (0 for no limit), and afterwards all is as it was.

        Args:
            threads: Of this process, but for a forked one, which has one.
        """
        if not (threads or self._forked):
            yield
            return
        with self._lock:
            if not self._users:
                self._found = torch.get_num_threads()
            self._users += 1
            found = self._found
        try:
            torch.set_num_threads(1 if self._forked else min(threads, found))
            yield
        finally:
            with self._lock:
                self._users -= 1
            torch.set_num_threads(found)


_threads = _Threads()


@contextmanager
def settled_torch(device: torch.device, max_threads: int = 0) -> Iterator[None]:
    """Within this block torch computes in plain float32 without gradients; afterwards all is as the host left it.

    Args:
        device: Where.
        max_threads: As for `thread_limit.at_most`.

    Raises:
        DeviceMemoryError: The device has not enough memory.
    """
    with (
        _threads.at_most(for_products(max_threads) if max_threads else 0),
        _full_precision.get(device.type, nullcontext()),
        torch.inference_mode(),
        torch.autocast(device.type, enabled=False),
    ):
        try:
            yield
        except RuntimeError as error:
            # Of a processor this is no class of its own.
            if isinstance(error, torch.OutOfMemoryError) or _NO_MEMORY in str(error):
                msg = f"device {device} has not enough memory"
                raise DeviceMemoryError(msg) from error
            raise


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


def _network(model_id: bytes, device: torch.device) -> Network:
    with _network_lock:  # building one draws random numbers and takes them back, which threads must not do at once
        return _built_network(model_id, device)


@cache
def _built_network(model_id: bytes, device: torch.device) -> Network:
    weights = load(model_id)
    state = {
        name.removeprefix("network."): torch.from_numpy(tensor.copy())
        for name, tensor in weights.tensors.items()
        if name.startswith("network.")
    }
    with torch.device("meta"):  # shapes alone, because a configuration can ask for more memory than there is
        expected = {name: tuple(tensor.shape) for name, tensor in Network(weights.config).state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    if found != expected:
        wrong = sorted(name for name in found | expected if found.get(name) != expected.get(name))
        msg = f"weights {weights.name!r} do not fit their own configuration in {', '.join(wrong)}"
        raise WeightsError(msg)
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        network = Network(weights.config)
    network.float()
    network.load_state_dict(state)
    network.eval().requires_grad_(requires_grad=False)
    network.to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


class TorchTiles:
    """The network at work on n tiles of one size, iteration by iteration; see `inference.TileNetwork`.

    Args:
        weights: The model.
        device: A torch device.
        n: How many tiles.
        height: Height of the padded tiles in pixels.
        width: Width of the padded tiles in pixels.
        max_threads: As for `settled_torch`.
    """

    def __init__(
        self, weights: Weights, device: torch.device, n: int, height: int, width: int, *, max_threads: int = 0
    ) -> None:
        self._settled = partial(settled_torch, device, max_threads)
        with self._settled():
            self._network = _network(weights.model_id, device)
            self._state: CodecState = self._network.initial_state(n, height // 8, width // 8)
        self._device = device
        self._iterations = 0
        self._memory: State | None = None
        self._target: torch.Tensor | None = None

    def set_target(self, pixels: NDArray[np.uint8]) -> None:
        """Say what is to be encoded: pixels uint8 [n, height, width, 3]."""
        with self._settled():
            planes = torch.tensor(pixels, device=self._device).permute(0, 3, 1, 2).to(torch.float32)
            self._target = self._network.transform(planes).contiguous(memory_format=torch.channels_last)

    def encode(self) -> NDArray[np.uint8]:
        """Return the codes of the next iteration, uint8 [n, C, h, w]."""
        assert self._target is not None
        with self._settled():
            a, self._memory = self._network.encode_step(self._target, self._iterations, self._state, self._memory)
            bits: torch.Tensor = self._network.binarizer(a)
            self._advance(bits)
            planes: NDArray[np.uint8] = (bits > 0).to(torch.uint8).cpu().contiguous().numpy()
        return planes

    def decode(self, planes: NDArray[np.uint8]) -> None:
        """Take the codes of the next iteration, uint8 [n, C, h, w]."""
        with self._settled():
            bits = torch.from_numpy(planes).to(self._device).to(torch.float32) * 2 - 1
            self._advance(bits.contiguous(memory_format=torch.channels_last))

    def _advance(self, bits: torch.Tensor) -> None:
        self._state = self._network.decode_step(bits, self._iterations, self._state)
        self._iterations += 1

    def pixels(self) -> NDArray[np.float32]:
        """Return the pictures so far, float32 [n, height, width, 3], in 0..255 but neither clipped nor rounded."""
        with self._settled():
            coefficients = self._state.reconstruction
            if self._iterations:
                last = torch.full((len(coefficients),), self._iterations - 1, device=self._device)
                coefficients = self._network.shown(self._state, last)
            planes = self._network.transform.inverse(coefficients)
            shown: NDArray[np.float32] = planes.permute(0, 2, 3, 1).cpu().contiguous().numpy()
        return shown
