"""The entropy network exactly as the specification states it: legal weights, and int64 arithmetic.

Everything here is written to be read beside the specification, not to be fast. The fast path is held
equal to it, and it takes over where the fast path cannot be trusted. It knows nothing of payloads.

Source: spec, section "Entropy network".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from pillow_rnc.entropy_bounds import FEATURE_MAX, KNOWN_BIT, TALLY_MAX, check_sums, check_values
from pillow_rnc.errors import WeightsError
from pillow_rnc.tables import PROBABILITY, SIGMOID, TANH

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

UPDATE_SHIFT, CANDIDATE_SHIFT, FEATURE_SHIFT, LOGIT_SHIFT, TALLY_SHIFT = 8, 7, 6, 7, 10
AROUND_SHIFT = 3
TABLE_CENTRE = 128

_PREFIX = "entropy."


class Pass(NamedTuple):
    """The bits coded at one go: channels [first, stop) at the cells of a lattice; see `cells_of`."""

    lattice: int
    first: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EntropyTensors:
    """Checked integers of one entropy network, in the names and shapes of the weights file.

    M modelled channels, K state channels, F hidden channels, S tallies, P passes of G channels, T iterations.

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
        tally_weight: int16 [T-1, 2, S, M], for tallies that are 0 and for others.
        tally_scale: int32 [T-1].
        tally_input_weight: int8 [2K, S].
        tally_output_weight: int8 [T-1, P, G, 2S].
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
    tally_weight: NDArray[np.int16]
    tally_scale: NDArray[np.int32]
    tally_input_weight: NDArray[np.int8]
    tally_output_weight: NDArray[np.int8]

    @classmethod
    def from_mapping(cls, tensors: Mapping[str, NDArray[Any]], passes: Iterable[Sequence[int]]) -> EntropyTensors:
        """Return the tensors named `entropy.*`, checked.

        Args:
            tensors: Contents of a weights file; other names are left alone.
            passes: (lattice, first channel, stop channel) of each pass.

        Raises:
            WeightsError: A tensor is missing, unknown or of another type or shape, the passes do not
                code every bit once, or a sum could leave its bound.
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
    def modelled_channels(self) -> int:
        """M, the channels of a code plane that have probabilities of their own."""
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
    def tallies(self) -> int:
        """S, the sums of codes over all iterations that are kept of each cell."""
        return int(self.tally_weight.shape[2])

    @property
    def iterations(self) -> int:
        """T, the iterations that the network can code."""
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
            msg = f"passes {[tuple(one) for one in self.passes]} do not code every bit once in equal parts"
            raise WeightsError(msg)

    def _check_layout(self) -> None:
        dimensions = {"state_weight": 2, "feature_weight": 4, "feature_bias": 3, "tally_weight": 4}
        if any(getattr(self, name).ndim != count for name, count in dimensions.items()):
            msg = "entropy tensors have the wrong number of dimensions"
            raise WeightsError(msg)
        m, k, f, s = self.modelled_channels, self.state_channels, self.hidden_channels, self.tallies
        p, t, g = len(self.passes), self.iterations, self.group
        if min(t, k, f, s) < 1:
            msg = f"entropy network of sizes T {t}, K {k}, F {f}, S {s}, expected at least 1 of each"
            raise WeightsError(msg)
        shapes = (
            (t - 1, 2 * k, m, 3, 3), (t - 1, 2 * k), (2 * k, k), (f, k, 3, 3),
            (t, p, f), (t, p - 1, f, m, 3, 3), (t, p, g, f), (t, p, g),
            (t - 1, 2, s, m), (t - 1,), (2 * k, s), (t - 1, p, g, 2 * s),
        )  # fmt: skip
        for name, shape in zip(_TENSOR_FIELDS, shapes, strict=True):
            check_values(name, getattr(self, name), shape)


# The lattices that make up a lattice and do not overlap.
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


class ReferenceState:
    """The network at work on one tile, in int64: slow, and right on every machine."""

    def __init__(self, tensors: EntropyTensors, grid_h: int, grid_w: int) -> None:
        self._tensors = tensors
        self._shape = (tensors.modelled_channels, grid_h, grid_w)
        self._iteration = -1
        self._state = np.zeros((tensors.state_channels, grid_h, grid_w), dtype=np.int64)
        self._tally = np.zeros((tensors.tallies, grid_h, grid_w), dtype=np.int64)
        self._seen: NDArray[np.int64] | None = None
        self._feature: NDArray[np.int64] | None = None
        self._known = np.zeros(self._shape, dtype=np.int64)  # values of bits; 0 where unknown

    def begin(self, iteration: int, previous: NDArray[np.int8] | None) -> None:
        """Move on to the next iteration; see `EntropyState.begin`."""
        self._iteration += 1
        if iteration != self._iteration:
            msg = f"iteration {iteration} begun, expected {self._iteration}"
            raise ValueError(msg)
        if previous is not None:
            values = previous.astype(np.int64)
            self._seen = self._count(values)
            self._update_state(KNOWN_BIT * values, self._seen[: self._tensors.tallies])
        self._feature = None
        self._known = np.zeros(self._shape, dtype=np.int64)

    def probabilities(self, index: int) -> NDArray[np.uint16]:
        """Return the probabilities of the bits of one pass; see `EntropyState.probabilities`."""
        tensors, t, one = self._tensors, self._iteration, self._tensors.passes[index]
        if self._feature is None:
            self._feature = _convolve(tensors.feature_weight, self._state)
        z = tensors.feature_bias[t, index][:, None, None] + self._feature
        if index:
            z = z + _convolve(tensors.context_weight[t, index - 1], KNOWN_BIT * self._known)
        hidden = np.clip(z >> FEATURE_SHIFT, 0, FEATURE_MAX)
        logits = tensors.output_bias[t, index][:, None, None] + _mix(tensors.output_weight[t, index], hidden)
        if self._seen is not None:
            logits = logits + _mix(tensors.tally_output_weight[t - 1, index], self._seen)
        k = PROBABILITY[_table_index(logits >> LOGIT_SHIFT)]
        cells = cells_of(one.lattice, *self._shape[1:])
        return k.reshape(len(k), -1)[:, cells]

    def reveal(self, index: int, values: NDArray[np.int8]) -> None:
        """Take note of the bits of one pass; see `EntropyState.reveal`."""
        one = self._tensors.passes[index]
        cells = cells_of(one.lattice, *self._shape[1:])
        self._known.reshape(self._shape[0], -1)[one.first : one.stop, cells] = values

    def _count(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Add the values of the iteration before to the tallies; return what is seen of them, [2S, h, w]."""
        tensors, t = self._tensors, self._iteration
        fresh, known = (_mix(weight, values) for weight in tensors.tally_weight[t - 1])
        self._tally = self._tally + np.where(self._tally == 0, fresh, known)
        v = np.clip((self._tally * int(tensors.tally_scale[t - 1])) >> TALLY_SHIFT, -TALLY_MAX, TALLY_MAX)
        return np.concatenate([np.abs(v), _around(np.abs(v))])

    def _update_state(self, x: NDArray[np.int64], seen: NDArray[np.int64]) -> None:
        tensors, t = self._tensors, self._iteration
        z = tensors.state_in_bias[t - 1][:, None, None] + _convolve(tensors.state_in_weight[t - 1], x)
        z = z + _mix(tensors.state_weight, self._state) + _mix(tensors.tally_input_weight, seen)
        half = tensors.state_channels
        u = SIGMOID[_table_index(z[:half] >> UPDATE_SHIFT)].astype(np.int64)
        n = TANH[_table_index(z[half:] >> CANDIDATE_SHIFT)].astype(np.int64)
        self._state = self._state + ((u * (n - self._state) + 128) >> 8)


def _table_index(values: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.clip(values, -TABLE_CENTRE, TABLE_CENTRE - 1) + TABLE_CENTRE


def _mix(weight: NDArray[np.int8] | NDArray[np.int16], x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the 1x1 convolution [out, h, w] of x [in, h, w] with weight [out, in]."""
    mixed: NDArray[np.int64] = weight.astype(np.int64) @ x.reshape(len(x), -1)
    return mixed.reshape(len(weight), *x.shape[1:])


def _convolve(weight: NDArray[np.int8], x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the 3x3 cross-correlation [out, h, w] of x [in, h, w], with zeros round it."""
    _, grid_h, grid_w = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    total = np.zeros((len(weight), grid_h, grid_w), dtype=np.int64)
    for dy in range(3):
        for dx in range(3):
            total += _mix(weight[:, :, dy, dx], padded[:, dy : dy + grid_h, dx : dx + grid_w])
    return total


def _around(x: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the sum of x [in, h, w] over the eight cells around each, 0 outside the tile, over 8, rounded down."""
    _, grid_h, grid_w = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1)))
    total = -x
    for dy in range(3):
        for dx in range(3):
            total = total + padded[:, dy : dy + grid_h, dx : dx + grid_w]
    around: NDArray[np.int64] = total >> AROUND_SHIFT
    return around
