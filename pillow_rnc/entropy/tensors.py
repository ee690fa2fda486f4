"""The tensors of an entropy network: names, shapes, ranges, and the bounds that keep its sums exact.

Source: spec, section "Tensors" of "Entropy network".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pillow_rnc.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

UPDATE_SHIFT, CANDIDATE_SHIFT, FEATURE_SHIFT, LOGIT_SHIFT, ACCUMULATOR_SHIFT = 8, 7, 6, 7, 10
AROUND_SHIFT = 3
TABLE_CENTRE = 128

KNOWN_BIT = 127  # a one is +127, a zero is -127, an unknown bit is 0
FEATURE_MAX = 255
ACCUMULATOR_MAX = 127
# float32 represents every integer up to this, so sums in any order are exact.
LARGEST_SUM = 2**24 - 1

_INT8_VALUES, _INT32_VALUES = (-127, 127), (-(2**31), 2**31 - 1)
_VALUES: dict[str, tuple[type[np.signedinteger[Any]], tuple[int, int]]] = {
    "accumulator_weight": (np.int16, (-32767, 32767)),
    "accumulator_scale": (np.int32, (1, 65535)),
}

_PREFIX = "entropy."


class Pass(NamedTuple):
    """Bits whose probabilities are computed together: channels [first, stop) at the cells of a lattice."""

    lattice: int
    first: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyTensors:
    """Checked integers of one entropy network, with the names and shapes of the weights file.

    M context-coded channels, K state channels, F hidden channels, S accumulators, P passes of G channels, T iterations.

    Attributes:
        passes: The P passes, in coding order.
        state_in_weight: int8 [T-1, 2K, M, 3, 3].
        state_in_bias: int32 [T-1, 2K].
        state_weight: int8 [2K, K].
        feature_weight: int8 [F, K, 3, 3].
        feature_bias: int32 [T, P, F].
        context_weight: int8 [T, P-1, F, M, 3, 3].
        output_weight: int8 [T, P, G, F].
        output_bias: int32 [T, P, G].
        accumulator_weight: int16 [T-1, 2, S, M], for accumulators that are 0, and for all others.
        accumulator_scale: int32 [T-1].
        accumulator_input_weight: int8 [2K, S].
        accumulator_output_weight: int8 [T-1, P, G, 2S].
    """

    passes: tuple[Pass, ...]
    state_in_weight: NDArray[np.int8]
    state_in_bias: NDArray[np.int32]
    state_weight: NDArray[np.int8]
    feature_weight: NDArray[np.int8]
    feature_bias: NDArray[np.int32]
    context_weight: NDArray[np.int8]
    output_weight: NDArray[np.int8]
    output_bias: NDArray[np.int32]
    accumulator_weight: NDArray[np.int16]
    accumulator_scale: NDArray[np.int32]
    accumulator_input_weight: NDArray[np.int8]
    accumulator_output_weight: NDArray[np.int8]

    @classmethod
    def from_mapping(cls, tensors: Mapping[str, NDArray[Any]], passes: Iterable[Sequence[int]]) -> EntropyTensors:
        """Return the checked tensors `entropy.*`.

        Args:
            tensors: Contents of a weights file; other names are ignored.
            passes: (lattice, first channel, stop channel) of each pass.

        Raises:
            WeightsError: A tensor is missing, unknown or of another type or shape, the passes do not code every bit
                exactly once, or a sum could exceed its bound.
        """
        own = {name.removeprefix(_PREFIX): array for name, array in tensors.items() if name.startswith(_PREFIX)}
        names = {field: ".".join(field.rsplit("_", 1)) for field in _TENSOR_FIELDS}
        if own.keys() != set(names.values()):
            msg = f"entropy tensors {sorted(own)}, expected {sorted(names.values())}"
            raise WeightsError(msg)
        checked = cls(
            passes=tuple(Pass(*map(int, one)) for one in passes),
            **{field: own[name] for field, name in names.items()},
        )
        checked._check_passes()
        checked._check_layout()
        check_sums(checked)
        return checked

    @property
    def context_coded_channels(self) -> int:
        """M, the channels of a code plane that are coded with probabilities of the network; signs are bypass-coded."""
        return max(one.stop for one in self.passes)

    @property
    def group(self) -> int:
        """G, the channels of a pass."""
        return self.passes[0].stop - self.passes[0].first

    @property
    def state_channels(self) -> int:
        """K, the channels of the recurrent state."""
        return int(self.state_weight.shape[-1])

    @property
    def hidden_channels(self) -> int:
        """F, the channels between context and output."""
        return int(self.feature_weight.shape[0])

    @property
    def accumulators(self) -> int:
        """S, the accumulators of each cell, which sum up values over the iterations."""
        return int(self.accumulator_weight.shape[2])

    @property
    def iterations(self) -> int:
        """T, the number of iterations that the network can code."""
        return int(self.feature_bias.shape[0])

    def _check_passes(self) -> None:
        known = all(one.lattice in _SPARSE_LATTICES for one in self.passes)
        coded = [
            (sparse, channel)
            for one in (self.passes if known else ())
            for sparse in _SPARSE_LATTICES[one.lattice]
            for channel in range(one.first, one.stop)
        ]
        channels = max((channel for _, channel in coded), default=-1) + 1
        wanted = [(sparse, channel) for sparse in (1, 2, 3) for channel in range(channels)]
        sizes = {one.stop - one.first for one in self.passes}
        if not coded or sorted(coded) != wanted or len(sizes) != 1:
            msg = (
                f"passes {[tuple(one) for one in self.passes]} must code every bit exactly once, in parts of equal size"
            )
            raise WeightsError(msg)

    def _check_layout(self) -> None:
        dimensions = {"state_weight": 2, "feature_weight": 4, "feature_bias": 3, "accumulator_weight": 4}
        if any(getattr(self, name).ndim != count for name, count in dimensions.items()):
            msg = "entropy tensors have a wrong number of dimensions"
            raise WeightsError(msg)
        m, k, f, s = self.context_coded_channels, self.state_channels, self.hidden_channels, self.accumulators
        p, t, g = len(self.passes), self.iterations, self.group
        if min(t, k, f, s) < 1:
            msg = f"entropy network of sizes T {t}, K {k}, F {f}, S {s}, must be at least 1 each"
            raise WeightsError(msg)
        shapes = (
            (t - 1, 2 * k, m, 3, 3), (t - 1, 2 * k), (2 * k, k), (f, k, 3, 3),
            (t, p, f), (t, p - 1, f, m, 3, 3), (t, p, g, f), (t, p, g),
            (t - 1, 2, s, m), (t - 1,), (2 * k, s), (t - 1, p, g, 2 * s),
        )  # fmt: skip
        for name, shape in zip(_TENSOR_FIELDS, shapes, strict=True):
            check_values(name, getattr(self, name), shape)


# The disjoint lattices that each lattice consists of.
_SPARSE_LATTICES = {0: (2, 3), 1: (1,), 2: (2,), 3: (3,)}
_TENSOR_FIELDS = tuple(name for name in EntropyTensors.__dataclass_fields__ if name != "passes")


@lru_cache(maxsize=32)
def cells_of(lattice: int, grid_h: int, grid_w: int) -> NDArray[np.intp]:
    """Return the cells of a lattice: intp [n], positions in the flattened grid, in coding order.

    Args:
        lattice: 0: row + column is even; 1: it is odd; 2: both are even; 3: both are odd.
        grid_h: Rows of the grid.
        grid_w: Columns of the grid.
    """
    rows, columns = np.indices((grid_h, grid_w))
    odd = (rows + columns) % 2 == 1
    members = (~odd, odd, ~odd & (rows % 2 == 0), ~odd & (rows % 2 == 1))
    cells = np.flatnonzero(members[lattice])
    cells.setflags(write=False)
    return cells


def check_values(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Check type, shape and range of one tensor.

    Raises:
        WeightsError: One of them is wrong.
    """
    usual = (np.int8, _INT8_VALUES) if name.endswith("weight") else (np.int32, _INT32_VALUES)
    dtype, (lowest, highest) = _VALUES.get(name, usual)
    if array.dtype != dtype or array.shape != shape:
        msg = f"entropy {name} is {array.dtype} {array.shape}, expected {np.dtype(dtype)} {shape}"
        raise WeightsError(msg)
    if array.size and not lowest <= array.min() <= array.max() <= highest:
        msg = f"entropy {name} has values {array.min()} to {array.max()}, must be {lowest} to {highest}"
        raise WeightsError(msg)


def check_sums(tensors: EntropyTensors) -> None:
    """Check the largest possible sum of each output channel of each layer.

    Raises:
        WeightsError: A sum could exceed its bound.
    """
    hidden = np.tile(_absolute_sums(tensors.feature_weight, 3), (*tensors.feature_bias.shape[:2], 1))
    hidden[:, 1:] += _absolute_sums(tensors.context_weight, 3)
    state = KNOWN_BIT * (_absolute_sums(tensors.state_in_weight, 3) + _absolute_sums(tensors.state_weight, 1))
    state += ACCUMULATOR_MAX * _absolute_sums(tensors.accumulator_input_weight, 1)
    output = FEATURE_MAX * _absolute_sums(tensors.output_weight, 1)
    output[1:] += ACCUMULATOR_MAX * _absolute_sums(tensors.accumulator_output_weight, 1)
    # Over all iterations: each adds to an accumulator by one table or the other.
    accumulator = _absolute_sums(tensors.accumulator_weight, 1).max(axis=1).sum(axis=0)
    for name, largest in (
        ("state", _absolute_sums(tensors.state_in_bias, 0) + state),
        ("hidden", _absolute_sums(tensors.feature_bias, 0) + KNOWN_BIT * hidden),
        ("output", _absolute_sums(tensors.output_bias, 0) + output),
        ("accumulator", accumulator),
    ):
        if largest.size and largest.max() > LARGEST_SUM:
            msg = f"entropy {name} sums can reach {largest.max()}, must be at most {LARGEST_SUM}"
            raise WeightsError(msg)


def _absolute_sums(terms: NDArray[np.signedinteger[Any]], axes: int) -> NDArray[np.int64]:
    """Return the sums of absolute values over the last axes, the largest sums for inputs of magnitude 1."""
    magnitudes = np.abs(terms.astype(np.int16 if terms.dtype == np.int8 else np.int64))
    sums: NDArray[np.int64] = magnitudes.sum(axis=tuple(range(-axes, 0)), dtype=np.int64)
    return sums
