"""Probabilities of code bits given the bits already known: the interface of the entropy network.

Two implementations give the same integers: float32 matrix products, and int64 arithmetic where a known-answer test
finds these products inexact. This module selects one; it knows nothing of payloads.

Source: spec, section "Entropy network".
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pillow_rnc.entropy.fast import FastState
from pillow_rnc.entropy.kernel import library
from pillow_rnc.entropy.kernel.coder import EntropyKernel, EntropyTile
from pillow_rnc.entropy.matmul import products_are_exact
from pillow_rnc.entropy.operands import FastTensors
from pillow_rnc.entropy.reference import ReferenceState
from pillow_rnc.entropy.schedule import schedule_from_tensors
from pillow_rnc.entropy.significance import AllCoded, ScheduleCoded
from pillow_rnc.entropy.tensors import EntropyTensors, Pass, cells_of
from pillow_rnc.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from pillow_rnc.entropy.schedule import IterationSchedule
    from pillow_rnc.entropy.significance import CodedBits

_SELF_TEST_GRID = (3, 4)  # contains cells of every lattice, also away from the border
_SELF_TEST_ITERATIONS = 3  # the third is the first that adds to accumulators which are not 0


class EntropyState(Protocol):
    """State of the network for one tile: gives probabilities pass by pass, and takes the bits of each pass."""

    def start_iteration(self, iteration: int, previous: NDArray[np.int8] | None) -> None:
        """Start the next iteration.

        Args:
            iteration: Its index: 0, then 1, and so on.
            previous: int8 [M, h, w], values of the bits of the previous iteration, see `significance`; None in
                iteration 0.
        """

    def probabilities(self, index: int) -> NDArray[np.uint16]:
        """Return p1_q16 of the bits of pass `index` in coding order: uint16 [G, n], P(bit = 1) = p1_q16 / 65536."""

    def update(self, index: int, values: NDArray[np.int8]) -> None:
        """Supply the values of the bits of pass `index` in coding order: int8 [G, n], each 1, 0 or -1."""


class EntropyModel:
    """An entropy network whose tensors are valid.

    Args:
        tensors: Its checked integers.
        schedule: Schedule of each iteration if codes are pairs of magnitudes and signs; otherwise all bits are coded.

    Attributes:
        passes: Passes of an iteration, in coding order.
        code_channels: Channels of a code plane.
        iterations: Number of iterations that the network can code.
        schedule: Schedule of each iteration, None if all bits are coded.
        tensors: Its integers.
    """

    def __init__(self, tensors: EntropyTensors, schedule: tuple[IterationSchedule, ...] | None = None) -> None:
        self.passes: tuple[Pass, ...] = tensors.passes
        self.code_channels = tensors.context_coded_channels * (1 if schedule is None else 2)
        self.schedule = schedule
        self.iterations = tensors.iterations
        self.tensors = tensors
        self._fast = FastTensors(tensors)
        self._float64: FastTensors | None = None
        self._fast_is_exact: bool | None = None
        self._kernels: dict[str, EntropyKernel | None] = {}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]], passes: Iterable[Sequence[int]]) -> EntropyModel:
        """Return the network of a weights file.

        Args:
            tensors: Contents of the file; only names that start with `entropy.` or `network.quantizer.` are read.
            passes: (lattice, first channel, stop channel) of each pass, from the model's configuration.

        Raises:
            WeightsError: The tensors are not those of a valid network, or the passes do not fit the schedule.
        """
        own = EntropyTensors.from_mapping(tensors, passes)
        schedule = schedule_from_tensors(tensors, own.iterations, own.context_coded_channels)
        if schedule is not None and any((one.first, one.stop) != (0, own.context_coded_channels) for one in own.passes):
            msg = f"passes {[tuple(one) for one in own.passes]}: each must code all magnitudes of its cells"
            raise WeightsError(msg)
        return cls(own, schedule)

    def coded_bits(self, grid_h: int, grid_w: int) -> CodedBits:
        """Return a tracker of which bits are coded, for a tile of grid_h x grid_w cells before its first iteration."""
        if self.schedule is None:
            return AllCoded(self.code_channels)
        return ScheduleCoded(self.schedule, self.code_channels // 2, grid_h * grid_w)

    def start(self, grid_h: int, grid_w: int) -> EntropyState:
        """Return the initial state of the network for a tile of grid_h x grid_w cells."""
        if self._fast_is_exact is None:
            self._fast_is_exact = products_are_exact() and self._self_test()
        if self._fast_is_exact:
            return FastState(self._fast, grid_h, grid_w)
        _warn_once(
            "float32 matrix products are inexact on this machine: codes are computed in slower integer arithmetic"
        )
        return ReferenceState(self.tensors, grid_h, grid_w)

    def kernel_tile(self, grid_h: int, grid_w: int) -> EntropyTile | None:
        """Return a coder of a tile of grid_h x grid_w cells in the native kernel; None if NumPy has to code it."""
        name = library.chosen()
        if name is None:
            return None
        if name not in self._kernels:
            try:
                self._kernels[name] = EntropyKernel(self.tensors, self.schedule, name)
            except WeightsError:  # a network beyond its limits
                self._kernels[name] = None
        kernel = self._kernels[name]
        return None if kernel is None else EntropyTile(kernel, grid_h, grid_w)

    def float64_state(self, grid_h: int, grid_w: int) -> EntropyState | None:
        """Return the initial state as `start` does, but in float64; None if `start` uses no floating-point products."""
        if not self._fast_is_exact:
            return None
        if self._float64 is None:
            self._float64 = FastTensors(self.tensors, np.float64)
        return FastState(self._float64, grid_h, grid_w)

    def use_float64(self) -> None:
        """Use float64 from now on; called after float64 decoded a payload that float32 could not."""
        assert self._float64 is not None
        self._fast = self._float64
        _warn_once("float32 matrix products failed despite a passed self-test: codes are computed in float64")

    def _self_test(self) -> bool:
        """Return whether both implementations agree on the first iterations of a small tile."""
        fast, reference = FastState(self._fast, *_SELF_TEST_GRID), ReferenceState(self.tensors, *_SELF_TEST_GRID)
        shape = (self.tensors.context_coded_channels, *_SELF_TEST_GRID)
        previous = None
        for iteration in range(min(self.iterations, _SELF_TEST_ITERATIONS)):
            values = (np.arange(np.prod(shape)).reshape(shape) * (97 + iteration) // 13 % 3 - 1).astype(np.int8)
            values[1::5] = iteration - 1  # some channels are constant
            for state in (fast, reference):
                state.start_iteration(iteration, previous)
            for index, one in enumerate(self.passes):
                if not np.array_equal(fast.probabilities(index), reference.probabilities(index)):
                    return False
                for state in (fast, reference):
                    cells = cells_of(one.lattice, *_SELF_TEST_GRID)
                    state.update(index, values[one.first : one.stop].reshape(self.tensors.group, -1)[:, cells])
            previous = values
        return True


@cache
def _warn_once(message: str) -> None:
    """Warn once per process that a slow implementation is used."""
    warnings.warn(message, RuntimeWarning, stacklevel=3)
