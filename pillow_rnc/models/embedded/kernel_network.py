"""The codec network at work on tiles, by the kernel: pixels -> codes, and codes -> samples.

Twin: `pillow_rnc.models.embedded.numpy_network.NumpyTiles`, of whose samples these differ by rounding. Calls release
the interpreter's lock, and none takes longer than a few milliseconds or one iteration of one tile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pillow_rnc.entropy.kernel.library import INSTRUCTION_SETS, check, interface
from pillow_rnc.entropy.kernel.memory import memory_for
from pillow_rnc.entropy.schedule import tables
from pillow_rnc.models.basis import BLOCK, transform_constants
from pillow_rnc.models.embedded.numpy_target import of_differences

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.models.embedded.numpy_weights import NetworkWeights

    Floats = NDArray[np.float32]
    Planes = NDArray[np.uint8]

_COLOURS = 3
_CELL_TENSORS = ("input_kernel", "hidden_kernel", "hidden_shift", "gates", "candidate")
_TENSORS = ("projection", "down", "up", "output")


class NetworkKernel:
    """The decoder network of a model, and the block transform; read-only once made, so that threads can share it.

    Args:
        operands: Of the network.
        instruction_set: One of `library.supported()`.

    Raises:
        WeightsError: The kernel cannot run such a network.
    """

    def __init__(self, operands: NetworkWeights, instruction_set: str) -> None:
        ffi, lib = interface()
        config, constants = operands.config, transform_constants()
        self.code_channels = config.code_channels
        shape = ffi.new("rnc_network_shape *")
        shape.iterations, shape.pairs = config.iterations, config.code_channels // 2
        shape.decoder_channels, shape.context_channels = config.decoder_channels, config.context_channels
        shape.decoder_steps = config.decoder_steps
        given, kept = ffi.new("rnc_network_tensors *"), []

        def give(to: Any, name: str, value: Any) -> None:  # noqa: ANN401
            array = np.ascontiguousarray(value, np.float32)
            kept.append(ffi.from_buffer("float[]", array))
            setattr(to, name, kept[-1])
            setattr(to, f"{name}_length", array.size)

        for name in _TENSORS:
            give(given, name, getattr(operands, name))
        for cell in ("context", "detail"):
            for name in _CELL_TENSORS:
                give(getattr(given, cell), name, getattr(getattr(operands, cell), name))
        give(given, "gain", [one.gain for one in operands.iterations])
        give(given, "bias", np.stack([one.bias for one in operands.iterations]))
        give(given, "shift", np.stack([one.shift for one in operands.iterations]))
        schedule = tables([one.schedule for one in operands.iterations], config.code_channels // 2)
        for name, table in zip(("coefficient", "level", "step"), schedule, strict=True):
            give(given, name, table)
        given.masking_exponent, given.masking_floor = operands.masking_exponent, operands.masking_floor
        give(given, "cosines", constants["cosines"])
        give(given, "weights", constants["weights"])
        give(given, "colours", constants["colours"])
        give(given, "colours_back", np.linalg.inv(constants["colours"]))
        give(given, "overlap", of_differences(constants["overlap"]))
        give(given, "overlap_back", of_differences(np.linalg.inv(constants["overlap"])))
        give(given, "lifting", [*constants["lifting"], constants["lifting_gain"]])
        size = ffi.new("size_t *")
        check(lib.rnc_network_size(shape, size))
        self._memory = np.empty(size[0], np.uint8)
        self.address: Any = ffi.from_buffer(self._memory)
        check(lib.rnc_network_init(self.address, size[0], shape, given, INSTRUCTION_SETS.index(instruction_set)))


class KernelTiles:
    """The network at work on n tiles of one size; see `pillow_rnc.models.runtime.TileNetwork`.

    Args:
        kernel: The network.
        n: How many tiles.
        height: Height of the padded tiles in pixels, a multiple of 16.
        width: Width of the padded tiles in pixels, a multiple of 16.

    Raises:
        MemoryError: There is not enough memory.
    """

    def __init__(self, kernel: NetworkKernel, n: int, height: int, width: int) -> None:
        self._ffi, self._lib = interface()
        self._kernel = kernel  # which the tiles refer to
        self._grid = height // BLOCK, width // BLOCK
        self._pixel_shape = height, width, _COLOURS
        self._count = n
        self._tiles: list[tuple[NDArray[np.uint8], Any]] = []

    def set_target(self, pixels: Planes) -> None:
        """Say what is to be encoded: pixels uint8 [n, height, width, 3]."""
        if pixels.shape != (self._count, *self._pixel_shape):
            msg = f"pixels of shape {pixels.shape}, expected {(self._count, *self._pixel_shape)}"
            raise ValueError(msg)
        self._make(encodes=True)
        for (_, tile), image in zip(self._tiles, np.ascontiguousarray(pixels, np.uint8), strict=True):
            given = self._ffi.from_buffer("uint8_t[]", image)
            check(self._lib.rnc_network_tile_set_target(tile, given, image.size))

    def encode(self) -> Planes:
        """Return the codes of the next iteration, uint8 [n, C, h, w]."""
        self._make(encodes=False)
        planes = np.empty((self._count, self._kernel.code_channels, *self._grid), np.uint8)
        for (_, tile), plane in zip(self._tiles, planes, strict=True):
            check(self._lib.rnc_network_tile_encode(tile, self._ffi.from_buffer("uint8_t[]", plane), plane.size))
        return planes

    def decode(self, planes: Planes) -> None:
        """Take the codes of the next iteration, uint8 [n, C, h, w]."""
        if planes.shape != (self._count, self._kernel.code_channels, *self._grid):
            msg = f"codes of shape {planes.shape} do not fit the tiles"
            raise ValueError(msg)
        self._make(encodes=False)
        for (_, tile), plane in zip(self._tiles, np.ascontiguousarray(planes, np.uint8), strict=True):
            check(self._lib.rnc_network_tile_decode(tile, self._ffi.from_buffer("uint8_t[]", plane), plane.size))

    def pixels(self) -> Floats:
        """Return the samples so far, float32 [n, height, width, 3], in 0..255 but neither clipped nor rounded."""
        self._make(encodes=False)
        pixels = np.empty((self._count, *self._pixel_shape), np.float32)
        done = self._ffi.new("int *")
        for (_, tile), image in zip(self._tiles, pixels, strict=True):
            out = self._ffi.from_buffer("float[]", image)
            done[0] = 0
            while not done[0]:
                check(self._lib.rnc_network_tile_pixels(tile, out, image.size, done))
        return pixels

    def _make(self, *, encodes: bool) -> None:
        """Make the tiles when they are first needed."""
        if self._tiles:
            return
        size = self._ffi.new("size_t *")
        check(self._lib.rnc_network_tile_size(self._kernel.address, *self._grid, encodes, size))
        for _ in range(self._count):
            memory = memory_for(self, size[0])
            tile = self._ffi.from_buffer(memory)
            check(self._lib.rnc_network_tile_init(tile, size[0], self._kernel.address, *self._grid, encodes))
            self._tiles.append((memory, tile))


class ReducedKernelTiles(KernelTiles):
    """The same, for images at 1/4 or 1/8 of the size; twin of `pillow_rnc.models.reduction.IntervalTiles`.

    Args:
        kernel: The network.
        taken: float32 [3, side, 8]; what each sample along a line takes from the frequencies of the blocks before, at
            and after it.
        n: How many tiles.
        height: Height of the padded tiles in pixels, a multiple of 16.
        width: Width of the padded tiles in pixels, a multiple of 16.
    """

    def __init__(self, kernel: NetworkKernel, taken: Floats, n: int, height: int, width: int) -> None:
        super().__init__(kernel, n, height, width)
        self._taken, self._side = taken, taken.shape[1]

    def pixels(self) -> Floats:
        """Return the images so far, float32 [n, side height / 8, side width / 8, 3]."""
        self._make(encodes=False)
        rows, columns = (self._side * cells for cells in self._grid)
        pixels = np.empty((self._count, rows, columns, _COLOURS), np.float32)
        taken = self._ffi.from_buffer("float[]", self._taken)
        for (_, tile), image in zip(self._tiles, pixels, strict=True):
            out, size = self._ffi.from_buffer("float[]", image), (self._taken.size, image.size)
            check(self._lib.rnc_network_tile_reduced(tile, self._side, taken, size[0], out, size[1]))
        return pixels
