"""Probabilities of code bits from the bits already known: the door to the entropy network.

Two paths give the same integers: float32 matrix products, and int64 arithmetic where a known-answer
test finds the products inexact. This module chooses between them and knows nothing of payloads.

Source: spec, section "Entropy network".
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pillow_rnc.entropy.fast import FastState
from pillow_rnc.entropy.matmul import products_are_exact
from pillow_rnc.entropy.operands import FastTensors
from pillow_rnc.entropy.reference import ReferenceState
from pillow_rnc.entropy.schedule import visits_of
from pillow_rnc.entropy.significance import AllTold, VisitsTold
from pillow_rnc.entropy.tensors import EntropyTensors, Pass, cells_of
from pillow_rnc.errors import WeightsError
from pillow_rnc.kernel import library
from pillow_rnc.kernel.entropy import EntropyKernel, EntropyTile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from pillow_rnc.entropy.schedule import Visits
    from pillow_rnc.entropy.significance import Told

_TABLES = "network.quantiser"
_REHEARSAL_GRID = (3, 4)  # has cells of every lattice, and of each inside
_REHEARSAL_ITERATIONS = 3  # tallies are first added up in the third


class EntropyState(Protocol):
    """The network at work on one tile; asked pass by pass, told the bits of each pass in return."""

    def begin(self, iteration: int, previous: NDArray[np.int8] | None) -> None:
        """Move on to the next iteration.

        Args:
            iteration: Its index: 0, then 1, and so on.
            previous: int8 [M, h, w], the values of the bits of the iteration before, see `told`; None in iteration 0.
        """

    def probabilities(self, index: int) -> NDArray[np.uint16]:
        """Return k uint16 [G, n] of pass ``index`` in coding order; P(bit = 1) = k / 65536."""

    def reveal(self, index: int, values: NDArray[np.int8]) -> None:
        """Take note of the values int8 [G, n] of the bits of pass ``index``, in coding order, each 1, 0 or -1."""


class EntropyModel:
    """A legal entropy network.

    Args:
        tensors: Its checked integers.
        visits: Those of each iteration, if codes are pairs of magnitudes and signs; otherwise all bits are told.

    Attributes:
        passes: The passes of an iteration, in coding order.
        code_channels: Channels of a code plane.
        iterations: The most iterations that it can code.
        visits: Those of each iteration, None if all bits are told.
    """

    def __init__(self, tensors: EntropyTensors, visits: tuple[Visits, ...] | None = None) -> None:
        self.passes: tuple[Pass, ...] = tensors.passes
        self.code_channels = tensors.modelled_channels * (1 if visits is None else 2)
        self.visits = visits
        self.iterations = tensors.iterations
        self._tensors = tensors
        self._fast = FastTensors(tensors)
        self._careful: FastTensors | None = None
        self._fast_is_exact: bool | None = None
        self._kernels: dict[str, EntropyKernel | None] = {}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]], passes: Iterable[Sequence[int]]) -> EntropyModel:
        """Return the network of a weights file.

        Args:
            tensors: Contents of the file; only names that start with `entropy.` or `network.quantiser.` matter.
            passes: (lattice, first channel, stop channel) of each pass, from the model's config.

        Raises:
            WeightsError: The tensors are not those of a legal network.
        """
        own = EntropyTensors.from_mapping(tensors, passes)
        return cls(own, _visits(tensors, own))

    def told(self, grid_h: int, grid_w: int) -> Told:
        """Return what says which bits of a tile of grid_h x grid_w cells are told, before the first iteration."""
        if self.visits is None:
            return AllTold(self.code_channels)
        return VisitsTold(self.visits, self.code_channels // 2, grid_h * grid_w)

    def start(self, grid_h: int, grid_w: int) -> EntropyState:
        """Return the network at rest before the first iteration of a tile of grid_h x grid_w cells."""
        if self._fast_is_exact is None:
            self._fast_is_exact = products_are_exact() and self._rehearse()
        if self._fast_is_exact:
            return FastState(self._fast, grid_h, grid_w)
        _warn_once("float32 matrix products are inexact here: codes are computed in slow integer arithmetic")
        return ReferenceState(self._tensors, grid_h, grid_w)

    def kernel_tile(self, grid_h: int, grid_w: int) -> EntropyTile | None:
        """Return what codes a tile of grid_h x grid_w cells in the native kernel; None if NumPy is to do it."""
        name = library.chosen()
        if name is None or self.visits is None:
            return None
        if name not in self._kernels:
            try:
                self._kernels[name] = EntropyKernel(self._tensors, self.visits, name)
            except WeightsError:  # a network beyond its limits
                self._kernels[name] = None
        kernel = self._kernels[name]
        return None if kernel is None else EntropyTile(kernel, grid_h, grid_w)

    def second_opinion(self, grid_h: int, grid_w: int) -> EntropyState | None:
        """Return what `start` does, in float64; None if `start` does not rely on products of floats."""
        if not self._fast_is_exact:
            return None
        if self._careful is None:
            self._careful = FastTensors(self._tensors, np.float64)
        return FastState(self._careful, grid_h, grid_w)

    def distrust_float32(self) -> None:
        """Use float64 from now on, because a second opinion was right where float32 was not."""
        assert self._careful is not None
        self._fast = self._careful
        _warn_once("float32 matrix products failed after they had passed their test: codes are computed in float64")

    def _rehearse(self) -> bool:
        """Return whether both paths agree on the first iterations of a small tile."""
        fast, reference = FastState(self._fast, *_REHEARSAL_GRID), ReferenceState(self._tensors, *_REHEARSAL_GRID)
        shape = (self._tensors.modelled_channels, *_REHEARSAL_GRID)
        previous = None
        for iteration in range(min(self.iterations, _REHEARSAL_ITERATIONS)):
            values = (np.arange(np.prod(shape)).reshape(shape) * (97 + iteration) // 13 % 3 - 1).astype(np.int8)
            values[1::5] = iteration - 1  # some channels are the same in all cells
            for state in (fast, reference):
                state.begin(iteration, previous)
            for index, one in enumerate(self.passes):
                if not np.array_equal(fast.probabilities(index), reference.probabilities(index)):
                    return False
                for state in (fast, reference):
                    cells = cells_of(one.lattice, *_REHEARSAL_GRID)
                    state.reveal(index, values[one.first : one.stop].reshape(self._tensors.group, -1)[:, cells])
            previous = values
        return True


def _visits(tensors: Mapping[str, NDArray[Any]], own: EntropyTensors) -> tuple[Visits, ...] | None:
    """Return the visits of each iteration, None if there are no tables of them.

    Raises:
        WeightsError: The tables are not those of visits, or do not fit the entropy network.
    """
    names = [f"{_TABLES}.{name}" for name in ("coefficient", "level", "step")]
    tables = [tensors[name] for name in names if name in tensors]
    if not tables:
        return None
    shape = own.iterations, own.modelled_channels
    if len(tables) < len(names) or any(table.shape != shape or table.dtype != np.float32 for table in tables):
        msg = f"{_TABLES} is not three tables of float32 {shape}"
        raise WeightsError(msg)
    if any((one.first, one.stop) != (0, own.modelled_channels) for one in own.passes):
        msg = f"passes {[tuple(one) for one in own.passes]} do not code all magnitudes of a cell at once"
        raise WeightsError(msg)
    found = [visits_of(*rows) for rows in zip(*tables, strict=True)]
    if None in found:
        msg = f"{_TABLES}, iteration {found.index(None)}: the tables are not those of visits"
        raise WeightsError(msg)
    return tuple(filter(None, found))


@cache
def _warn_once(message: str) -> None:
    """Say, once in a process, that a slow path is taken."""
    warnings.warn(message, RuntimeWarning, stacklevel=3)
