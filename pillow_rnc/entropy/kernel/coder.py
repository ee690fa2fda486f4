"""Codes of a tile <-> payloads, by the kernel: entropy network, inferred bits and range coder in one loop.

Twins: `pillow_rnc.entropy.tile_coder.TileDecoder` and `TileEncoder`, whose planes and payloads are the same, bit for
bit. Calls release the interpreter's lock; each runs one iteration of one tile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pillow_rnc.entropy.kernel.library import INSTRUCTION_SETS, check, interface
from pillow_rnc.entropy.kernel.memory import memory_for
from pillow_rnc.entropy.schedule import tables
from pillow_rnc.errors import CorruptError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pillow_rnc.entropy.schedule import IterationSchedule
    from pillow_rnc.entropy.tensors import EntropyTensors

    Plane = NDArray[np.uint8]

_TENSORS: dict[str, type[np.generic]] = {
    "state_in_weight": np.int8,
    "state_in_bias": np.int32,
    "state_weight": np.int8,
    "feature_weight": np.int8,
    "feature_bias": np.int32,
    "context_weight": np.int8,
    "output_weight": np.int8,
    "output_bias": np.int32,
    "accumulator_weight": np.int16,
    "accumulator_scale": np.int32,
    "accumulator_input_weight": np.int8,
    "accumulator_output_weight": np.int8,
}
_C_TYPES = {np.int8: "int8_t", np.int16: "int16_t", np.int32: "int32_t", np.float32: "float"}


class EntropyKernel:
    """The entropy network of a model; read-only once made, so that threads can share it.

    Args:
        tensors: Checked integers of the network.
        schedule: Those of each iteration.
        instruction_set: One of `library.supported()`.

    Attributes:
        code_channels: C.
        iterations: The most iterations that it can code.

    Raises:
        WeightsError: The kernel cannot run such a network.
    """

    def __init__(
        self, tensors: EntropyTensors, schedule: Sequence[IterationSchedule] | None, instruction_set: str
    ) -> None:
        ffi, lib = interface()
        channels, count = tensors.context_coded_channels, len(tensors.passes)
        if count > lib.RNC_MAX_PASSES:
            msg = f"{count} passes, the kernel codes at most {lib.RNC_MAX_PASSES}"
            raise WeightsError(msg)
        self.code_channels, self.iterations = channels * (1 if schedule is None else 2), tensors.iterations
        shape = ffi.new("rnc_entropy_shape *")
        shape.iterations, shape.channels, shape.passes = tensors.iterations, channels, count
        shape.state_channels, shape.hidden_channels = tensors.state_channels, tensors.hidden_channels
        shape.accumulators, shape.paired = tensors.accumulators, schedule is not None
        shape.lattice, shape.first, shape.stop = ([*column] for column in zip(*tensors.passes, strict=True))
        arrays = {name: np.ascontiguousarray(getattr(tensors, name), dtype) for name, dtype in _TENSORS.items()}
        if schedule is not None:
            arrays["coefficient"], arrays["level"], _ = tables(schedule, channels)
        given, kept = ffi.new("rnc_entropy_tensors *"), []
        for name, array in arrays.items():
            kept.append(ffi.from_buffer(f"{_C_TYPES[array.dtype.type]}[]", array))
            setattr(given, name, kept[-1])
            setattr(given, f"{name}_length", array.size)
        size = ffi.new("size_t *")
        check(lib.rnc_entropy_model_size(shape, size))
        self._memory = np.empty(size[0], np.uint8)
        self.address: Any = ffi.from_buffer(self._memory)
        isa = INSTRUCTION_SETS.index(instruction_set)
        check(lib.rnc_entropy_model_init(self.address, size[0], shape, given, isa))


class EntropyTile:
    """The codes of one tile, iteration by iteration; for one thread at a time.

    Args:
        kernel: The model.
        grid_h: Rows of code cells.
        grid_w: Columns of code cells.

    Attributes:
        shape: Shape of a code plane.

    Raises:
        MemoryError: There is not enough memory.
    """

    def __init__(self, kernel: EntropyKernel, grid_h: int, grid_w: int) -> None:
        ffi, self._lib = interface()
        self.shape = (kernel.code_channels, grid_h, grid_w)
        self._kernel = kernel  # which the tile refers to
        self._iteration = 0  # of an encoder, for messages
        size = ffi.new("size_t *")
        check(self._lib.rnc_entropy_tile_size(kernel.address, grid_h, grid_w, size))
        self._memory = memory_for(self, size[0])
        self._address, self._from_buffer, self._new = ffi.from_buffer(self._memory), ffi.from_buffer, ffi.new
        check(self._lib.rnc_entropy_tile_init(self._address, size[0], kernel.address, grid_h, grid_w))

    def decode(self, payload: bytes) -> Plane:
        """Return the plane uint8 [C, h, w] of the next iteration.

        Raises:
            CorruptError: The payload is not one that an encoder makes; the tile is of no use any more.
            UnsupportedError: The model codes no further iteration.
        """
        plane = np.empty(self.shape, np.uint8)
        address = self._from_buffer("uint8_t[]", plane)
        data = self._from_buffer("uint8_t[]", payload)
        check(self._lib.rnc_entropy_tile_decode(self._address, data, len(payload), address, plane.size))
        return plane

    def encode(self, plane: Plane, capacity: int) -> bytes | None:
        """Return the payload of the next iteration, None if it is longer than the capacity.

        Args:
            plane: uint8 [C, h, w], values 0 or 1, those of inferred bits 0.
            capacity: In bytes.

        Raises:
            ValueError: The plane has another shape or other values.
            UnsupportedError: The model codes no further iteration.
            RncError: The range decoder does not give the codes back.
        """
        plane = self._checked(plane)
        room, length, inferred = bytearray(capacity), self._new("size_t *"), self._new("size_t *")
        address, out = self._from_buffer("uint8_t[]", plane), self._from_buffer("uint8_t[]", room)
        status = self._lib.rnc_entropy_tile_encode(self._address, address, plane.size, out, capacity, length, inferred)
        if status == self._lib.RNC_ERROR_INFERRED:
            msg = (
                f"iteration {self._iteration}: {inferred[0]} inferred bits are set, must be 0; or codes are not 0 or 1"
            )
            raise ValueError(msg)
        check(status)
        self._iteration += 1
        return bytes(memoryview(room)[: length[0]]) if length[0] <= capacity else None

    def take(self, plane: Plane) -> None:
        """Take in the plane of the next iteration, which was stored raw.

        Raises:
            CorruptError: Inferred bits are set.
            UnsupportedError: The model codes no further iteration.
        """
        plane = self._checked(plane)
        inferred = self._new("size_t *")
        address = self._from_buffer("uint8_t[]", plane)
        status = self._lib.rnc_entropy_tile_take(self._address, address, plane.size, inferred)
        if status == self._lib.RNC_ERROR_INFERRED:
            msg = f"{inferred[0]} inferred bits of a raw payload are set, must be 0"
            raise CorruptError(msg)
        check(status)

    def _checked(self, plane: Plane) -> Plane:
        if plane.shape != self.shape:
            msg = f"codes of shape {plane.shape}, expected {self.shape}"
            raise ValueError(msg)
        return np.ascontiguousarray(plane, np.uint8)
