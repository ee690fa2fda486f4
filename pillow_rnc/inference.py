"""Running a network on tiles: pixels <-> code planes. What that takes of a runtime, and which one does it.

It knows no files and no entropy coding. The device "cpu" is NumPy, wherever it can run the model; all other names are
devices of torch, which is loaded for them alone. ("cpu:0" is the processor by way of torch.) Where such a device has
not enough memory, the processor takes over.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Protocol

from pillow_rnc.errors import RncOptionError, UnsupportedError
from pillow_rnc.fall_back import FallBackTiles
from pillow_rnc.fork_lock import ForkLock
from pillow_rnc.numpy_network import NumpyTiles
from pillow_rnc.numpy_weights import NetworkWeights, can_run
from pillow_rnc.weights import Weights, load

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CPU = "cpu"


class TileNetwork(Protocol):
    """The network at work on n tiles of one size, iteration by iteration."""

    def set_target(self, pixels: NDArray[np.uint8]) -> None:
        """Say what is to be encoded: pixels uint8 [n, height, width, 3]."""

    def encode(self) -> NDArray[np.uint8]:
        """Return the codes of the next iteration, uint8 [n, C, h, w]; `pixels` shows what they make."""

    def decode(self, planes: NDArray[np.uint8]) -> None:
        """Take the codes of the next iteration, uint8 [n, C, h, w]."""

    def pixels(self) -> NDArray[np.float32]:
        """Return the pictures so far, float32 [n, height, width, 3], in 0..255 but neither clipped nor rounded."""


class Runtime(Protocol):
    """Makes networks at work."""

    def __call__(self, n: int, height: int, width: int) -> TileNetwork:
        """Return the network at rest on n tiles of so many pixels, both sides multiples of 16."""


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
        with _lock:
            return partial(NumpyTiles, _operands(weights.model_id))
    try:
        from pillow_rnc.torch_inference import TorchTiles, torch_device
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        if device == CPU:
            msg = f"model {weights.name!r} with cell {weights.config.cell!r} needs torch: pip install pillow-rnc[torch]"
            raise UnsupportedError(msg) from error
        msg = f"device {device!r} needs torch: pip install pillow-rnc[torch]; without it there is {CPU!r}"
        raise RncOptionError(msg) from error
    place = torch_device(device)
    tiles = partial(TorchTiles, weights, place, max_threads=max_threads)
    return tiles if place.type == CPU else partial(FallBackTiles, tiles, runtime(weights, CPU, max_threads))


_lock = ForkLock()


@cache
def _operands(model_id: bytes) -> NetworkWeights:
    return NetworkWeights(load(model_id))
