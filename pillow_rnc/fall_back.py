"""A network on a device, which goes on with the processor where the device has not enough memory.

What was told so far is kept, and told again to the network that takes over.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from pillow_rnc.errors import DeviceMemoryError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from pillow_rnc.inference import Runtime, TileNetwork

    Planes = NDArray[np.uint8]

_T = TypeVar("_T")


class FallBackTiles:
    """The network at work on n tiles of one size; see `inference.TileNetwork`.

    Codes that were encoded before stay as they are: whoever takes over reads them, as a decoder does.

    Args:
        on_device: Makes the network.
        on_processor: Makes the one that takes over, with a `RuntimeWarning`.
        n: How many tiles.
        height: Height of the padded tiles in pixels.
        width: Width of the padded tiles in pixels.
    """

    def __init__(self, on_device: Runtime, on_processor: Runtime, n: int, height: int, width: int) -> None:
        self._on_device = partial(on_device, n, height, width)
        self._on_processor = partial(on_processor, n, height, width)
        self._target: Planes | None = None
        self._told: list[Planes] = []
        self._network: TileNetwork | None = None
        self._fallen = False

    def set_target(self, pixels: Planes) -> None:
        """Say what is to be encoded: pixels uint8 [n, height, width, 3]."""
        self._do(lambda network: network.set_target(pixels))
        self._target = pixels

    def encode(self) -> Planes:
        """Return the codes of the next iteration, uint8 [n, C, h, w]."""
        planes = self._do(lambda network: network.encode())
        self._told.append(planes)
        return planes

    def decode(self, planes: Planes) -> None:
        """Take the codes of the next iteration, uint8 [n, C, h, w]."""
        self._do(lambda network: network.decode(planes))
        self._told.append(planes)

    def pixels(self) -> NDArray[np.float32]:
        """Return the pictures so far, float32 [n, height, width, 3], in 0..255 but neither clipped nor rounded."""
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
        warnings.warn(f"{reason}; the processor takes over", RuntimeWarning, stacklevel=2)
        self._fallen = True
        self._network = None  # before there is another
        self._network = self._on_processor()
        if self._target is not None:
            self._network.set_target(self._target)
        for planes in self._told:
            self._network.decode(planes)
        return self._network
