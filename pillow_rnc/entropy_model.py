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

from pillow_rnc.entropy_fast import FastState
from pillow_rnc.entropy_operands import FastTensors
from pillow_rnc.entropy_products import products_are_exact
from pillow_rnc.entropy_reference import EntropyTensors, Pass, ReferenceState, bits_of_pass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

_REHEARSAL_GRID = (3, 4)  # has cells of every lattice, and of each inside
_REHEARSAL_ITERATIONS = 3  # tallies are first added up in the third


class EntropyState(Protocol):
    """The network at work on one tile; asked pass by pass, told the bits of each pass in return."""

    def begin(self, iteration: int, previous: NDArray[np.uint8] | None) -> None:
        """Move on to the next iteration.

        Args:
            iteration: Its index: 0, then 1, and so on.
            previous: uint8 [C, h, w], all bits of the iteration before; None in iteration 0.
        """

    def probabilities(self, index: int) -> NDArray[np.uint16]:
        """Return k uint16 [G * n] of pass ``index`` in coding order; P(bit = 1) = k / 65536."""

    def reveal(self, index: int, bits: NDArray[np.uint8]) -> None:
        """Take note of the bits uint8 [G * n] of pass ``index``, in coding order, values 0 or 1."""


class EntropyModel:
    """A legal entropy network.

    Args:
        tensors: Its checked integers.

    Attributes:
        passes: The passes of an iteration, in coding order.
        code_channels: Channels of a code plane.
        iterations: The most iterations that it can code.
    """

    def __init__(self, tensors: EntropyTensors) -> None:
        self.passes: tuple[Pass, ...] = tensors.passes
        self.code_channels = tensors.code_channels
        self.iterations = tensors.iterations
        self._tensors = tensors
        self._fast = FastTensors(tensors)
        self._careful: FastTensors | None = None
        self._fast_is_exact: bool | None = None

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[Any]], passes: Iterable[Sequence[int]]) -> EntropyModel:
        """Return the network of a weights file.

        Args:
            tensors: Contents of the file; only names that start with `entropy.` matter.
            passes: (lattice, first channel, stop channel) of each pass, from the model's config.

        Raises:
            WeightsError: The tensors are not those of a legal network.
        """
        return cls(EntropyTensors.from_mapping(tensors, passes))

    def start(self, grid_h: int, grid_w: int) -> EntropyState:
        """Return the network at rest before the first iteration of a tile of grid_h x grid_w cells."""
        if self._fast_is_exact is None:
            self._fast_is_exact = products_are_exact() and self._rehearse()
        if self._fast_is_exact:
            return FastState(self._fast, grid_h, grid_w)
        _warn_once("float32 matrix products are inexact here: codes are computed in slow integer arithmetic")
        return ReferenceState(self._tensors, grid_h, grid_w)

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
        shape = (self.code_channels, *_REHEARSAL_GRID)
        previous = None
        for iteration in range(min(self.iterations, _REHEARSAL_ITERATIONS)):
            plane = (np.arange(np.prod(shape)).reshape(shape) * (97 + iteration) // 13 % 2).astype(np.uint8)
            plane[1::5] = iteration % 2  # some channels are the same in all cells
            for state in (fast, reference):
                state.begin(iteration, previous)
            for index, one in enumerate(self.passes):
                if not np.array_equal(fast.probabilities(index), reference.probabilities(index)):
                    return False
                for state in (fast, reference):
                    state.reveal(index, bits_of_pass(plane, one))
            previous = plane
        return True


@cache
def _warn_once(message: str) -> None:
    """Say, once in a process, that a slow path is taken."""
    warnings.warn(message, RuntimeWarning, stacklevel=3)
