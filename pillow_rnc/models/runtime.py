"""Networks at work on tiles, pixels <-> code planes: the interface, and the choice of what runs it.

It knows no files and no entropy coding. The device "cpu" is NumPy, wherever it can run the model; all other names are
devices of torch, which is loaded for them alone. ("cpu:0" is the CPU by way of torch.) Where such a device has not
enough memory, the CPU takes over.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from pillow_rnc.entropy.kernel import library
from pillow_rnc.errors import DeviceMemoryError, RncOptionError, UnsupportedError
from pillow_rnc.fork_safety import ForkLock, importing
from pillow_rnc.models.config import RecurrentConfig
from pillow_rnc.models.embedded.kernel_network import KernelTiles, NetworkKernel
from pillow_rnc.models.embedded.numpy_network import NumpyTiles
from pillow_rnc.models.embedded.numpy_weights import NetworkWeights, can_run
from pillow_rnc.models.recurrent.numpy_light import LightOperands, LightTiles, can_run_light

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import torch
    from numpy.typing import NDArray

    from pillow_rnc.models.config import EmbeddedConfig, ModelConfig
    from pillow_rnc.models.weights import Weights

    Planes = NDArray[np.uint8]

CPU = "cpu"

_T = TypeVar("_T")
_C = TypeVar("_C")


class TileDecoding(Protocol):
    """The network at work on n tiles of one size, iteration by iteration, to decode."""

    def decode(self, planes: NDArray[np.uint8]) -> None:
        """Take the codes of the next iteration, uint8 [n, C, h, w]."""

    def pixels(self) -> NDArray[np.float32]:
        """Return the images so far, float32 [n, height, width, 3], in 0..255 but neither clipped nor rounded."""


class TileNetwork(TileDecoding, Protocol):
    """The same, to encode as well."""

    def set_target(self, pixels: NDArray[np.uint8]) -> None:
        """Set what is to be encoded: pixels uint8 [n, height, width, 3]."""

    def encode(self) -> NDArray[np.uint8]:
        """Return the codes of the next iteration, uint8 [n, C, h, w]; `pixels` shows what they give."""


class Runtime(Protocol):
    """Makes networks at work."""

    def __call__(self, n: int, height: int, width: int) -> TileNetwork:
        """Return the network in its initial state on n tiles of this size in pixels, both sides multiples of 16."""


def runtime(weights: Weights, device: str, max_threads: int = 0) -> Runtime:
    """Return what runs a model on a device.

    Args:
        weights: The model.
        device: See above.
        max_threads: Threads that compute at a time where torch does it, 0 for no limit; NumPy's are not set here.

    Raises:
        RncOptionError: The device cannot be used, or needs torch, which is not installed.
        UnsupportedError: The model needs torch, which is not installed.
        WeightsError: The weights do not fit the model's configuration.
    """
    if device == CPU and can_run(weights.config):
        kernel = network_kernel(weights, weights.config)
        if kernel is not None:
            return partial(KernelTiles, kernel)
        return partial(NumpyTiles, _operands_of(weights, weights.config, NetworkWeights))
    if device == CPU and can_run_light(weights.config):
        return partial(LightTiles, _operands_of(weights, weights.config, LightOperands))
    place = _torch_device(device, f"model {weights.name!r} with {_kind(weights.config)}")
    with importing:
        from pillow_rnc.models.torch_runtime import TorchTiles

    tiles = partial(TorchTiles, weights, place, max_threads=max_threads)
    return tiles if place.type == CPU else partial(FallBackTiles, tiles, runtime(weights, CPU, max_threads))


def check_device(device: str) -> None:
    """Raise unless a device can be used, whatever the model.

    Raises:
        RncOptionError: torch does not know it, this machine has none, or it needs torch, which is not installed.
    """
    if device != CPU:
        _torch_device(device)


def _torch_device(device: str, model: str = "") -> torch.device:
    """Return a device of torch, which the model needs where the device is that of NumPy."""
    try:
        with importing:
            from pillow_rnc.models.torch_runtime import torch_device
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        if device == CPU:
            msg = f"{model} needs torch: pip install pillow-rnc[torch]"
            raise UnsupportedError(msg) from error
        msg = f"device {device!r} needs torch: pip install pillow-rnc[torch]; without it there is {CPU!r}"
        raise RncOptionError(msg) from error
    return torch_device(device)


def network_weights(weights: Weights, config: EmbeddedConfig) -> NetworkWeights:
    """Return the operands of a model that NumPy can run."""
    return _operands_of(weights, config, NetworkWeights)


def network_kernel(weights: Weights, config: EmbeddedConfig) -> NetworkKernel | None:
    """Return a model that NumPy can run as the kernel has it, None if NumPy is to run it."""
    instruction_set = library.chosen()
    return None if instruction_set is None else _kernel_of(weights, config, instruction_set)


def releases_lock(weights: Weights, device: str) -> bool:
    """Whether network and entropy coding of a model run in the kernel, so that tiles can be worked on in threads."""
    if device != CPU or not can_run(weights.config) or library.chosen() is None:
        return False
    return weights.entropy_model.kernel_tile(1, 1) is not None


def _kind(config: ModelConfig) -> str:
    """Return what decides whether NumPy runs a model, for messages."""
    network = config.network if isinstance(config, RecurrentConfig) else config.family
    cell = f"{'' if config.separable else 'full '}cell {config.cell!r}"
    return f"the {network} network, code_stride {config.code_stride}, {cell}"


_lock = ForkLock()
_operands: dict[bytes, Any] = {}
_kernels: dict[tuple[bytes, str], NetworkKernel] = {}


def _operands_of(weights: Weights, config: _C, make: Callable[[Weights, _C], _T]) -> _T:
    """Return the operands of a model; made once in a process."""
    with _lock:
        if weights.model_id not in _operands:
            _operands[weights.model_id] = make(weights, config)
        operands: _T = _operands[weights.model_id]
        return operands


def _kernel_of(weights: Weights, config: EmbeddedConfig, instruction_set: str) -> NetworkKernel:
    """Return the kernel's copy of the operands of a model; made once in a process."""
    operands = _operands_of(weights, config, NetworkWeights)
    with _lock:
        key = weights.model_id, instruction_set
        if key not in _kernels:
            _kernels[key] = NetworkKernel(operands, instruction_set)
        return _kernels[key]


class FallBackTiles:
    """The network at work on n tiles of one size; see `TileNetwork`.

    Codes that were encoded before are kept: the network that takes over reads them, as a decoder does.

    Args:
        on_device: Makes the network.
        on_cpu: Makes the one that takes over, with a `RuntimeWarning`.
        n: How many tiles.
        height: Height of the padded tiles in pixels.
        width: Width of the padded tiles in pixels.
    """

    def __init__(self, on_device: Runtime, on_cpu: Runtime, n: int, height: int, width: int) -> None:
        self._on_device = partial(on_device, n, height, width)
        self._on_cpu = partial(on_cpu, n, height, width)
        self._target: Planes | None = None
        self._codes: list[Planes] = []
        self._network: TileNetwork | None = None
        self._fallen = False

    def set_target(self, pixels: Planes) -> None:
        """Set what is to be encoded: pixels uint8 [n, height, width, 3]."""
        self._do(lambda network: network.set_target(pixels))
        self._target = pixels

    def encode(self) -> Planes:
        """Return the codes of the next iteration, uint8 [n, C, h, w]."""
        planes = self._do(lambda network: network.encode())
        self._codes.append(planes)
        return planes

    def decode(self, planes: Planes) -> None:
        """Take the codes of the next iteration, uint8 [n, C, h, w]."""
        self._do(lambda network: network.decode(planes))
        self._codes.append(planes)

    def pixels(self) -> NDArray[np.float32]:
        """Return the images so far, float32 [n, height, width, 3], in 0..255 but neither clipped nor rounded."""
        return self._do(lambda network: network.pixels())

    def _do(self, work: Callable[[TileNetwork], _T]) -> _T:
        try:
            if self._network is None:
                self._network = self._on_device()
            return work(self._network)
        except DeviceMemoryError as error:
            if self._fallen:
                raise
            reason = str(error)
        return work(self._take_over(reason))  # outside of the handler, whose traceback holds the device's memory

    def _take_over(self, reason: str) -> TileNetwork:
        warnings.warn(f"{reason}; the CPU takes over", RuntimeWarning, stacklevel=2)
        self._fallen = True
        self._network = None  # before there is another
        self._network = self._on_cpu()
        if self._target is not None:
            self._network.set_target(self._target)
        for planes in self._codes:
            self._network.decode(planes)
        return self._network
