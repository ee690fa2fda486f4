"""Entropy network: only valid weights, equal implementations, probabilities that depend on known bits alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_models import (
    FIVE_PASSES,
    PAIR_PASSES,
    Passes,
    pair_model,
    pair_tables,
    passes_of,
    tiny_model,
    tiny_tensors,
)

from pillow_rnc.entropy import fast, matmul, model
from pillow_rnc.entropy.fast import FastState
from pillow_rnc.entropy.model import EntropyModel, EntropyState
from pillow_rnc.entropy.operands import FastTensors
from pillow_rnc.entropy.reference import ReferenceState
from pillow_rnc.entropy.tables import PROBABILITY
from pillow_rnc.entropy.tensors import EntropyTensors, Pass, cells_of
from pillow_rnc.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


Floats = NDArray[np.float32]
Values = NDArray[np.int8]
Plane = NDArray[np.int64]

PASSES = FIVE_PASSES
LAYOUTS: tuple[Passes, ...] = (
    PASSES,
    passes_of(4, 2),
    passes_of(4, 1),
    passes_of(6, 3),
    ((1, 4, 8), (0, 0, 4), (0, 4, 8), (1, 0, 4)),  # an order of its own
    ((0, 0, 2), (0, 2, 4), (1, 0, 2), (1, 2, 4)),  # one half of the cells before the other
    ((3, 0, 1), (1, 1, 2), (2, 1, 2), (0, 2, 3), (1, 0, 1), (3, 1, 2), (2, 0, 1), (1, 2, 3)),
    ((2, 0, 4), (3, 0, 4), (1, 0, 4)),
)


def _planes(seed: int, *shape: int) -> Values:
    return np.random.default_rng(seed).integers(-1, 2, shape, dtype=np.int8)


def _of_pass(plane: Values, one: Pass) -> Values:
    """Return the values of a pass of a plane [M, h, w], [G, n]."""
    return plane.reshape(len(plane), -1)[one.first : one.stop, cells_of(one.lattice, *plane.shape[1:])]


def _probabilities(state: EntropyState, values: Values, passes: tuple[Pass, ...]) -> list[list[int]]:
    """Supply values [T, M, h, w] and return the probabilities of each pass."""
    said: list[list[int]] = []
    for iteration, plane in enumerate(values):
        state.start_iteration(iteration, values[iteration - 1] if iteration else None)
        for index, one in enumerate(passes):
            said.append(state.probabilities(index).ravel().tolist())
            state.update(index, _of_pass(plane, one))
    return said


def _both(tensors: EntropyTensors, grid_h: int, grid_w: int) -> tuple[FastState, ReferenceState]:
    return FastState(FastTensors(tensors), grid_h, grid_w), ReferenceState(tensors, grid_h, grid_w)


@settings(max_examples=60)
@given(
    st.integers(0, 2**32),
    st.integers(1, 12),
    st.integers(1, 12),
    st.sampled_from(LAYOUTS),
    st.sampled_from((2.0, 15.0, 60.0, 500.0)),
)
def test_fast_state_equals_the_reference(seed: int, grid_h: int, grid_w: int, passes: Passes, spread: float) -> None:
    tensors = EntropyTensors.from_mapping(tiny_tensors(seed, passes=passes, spread=spread), passes)
    codes = _planes(seed, 4, tensors.context_coded_channels, grid_h, grid_w)
    fast, reference = _both(tensors, grid_h, grid_w)

    assert _probabilities(fast, codes, tensors.passes) == _probabilities(reference, codes, tensors.passes)


@settings(max_examples=30)
@given(
    st.integers(0, 2**32), st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(-1, 1)), max_size=12)
)
def test_channels_that_are_the_same_in_all_cells_count_as_any_other(
    seed: int, same: list[tuple[int, int, int]]
) -> None:
    tensors = EntropyTensors.from_mapping(tiny_tensors(seed, spread=15), PASSES)
    codes = _planes(seed, 4, 4, 5, 6)
    for iteration, channel, value in same:
        codes[iteration, channel] = value
    fast, reference = _both(tensors, 5, 6)

    assert _probabilities(fast, codes, tensors.passes) == _probabilities(reference, codes, tensors.passes)


@pytest.mark.parametrize("first", [(3, 0, 2, 0, 1, 2), (2, 3, 1, 3, 1, 1), (3,) * 6], ids=str)
def test_accumulators_may_be_added_to_for_the_first_time_in_any_iteration(first: tuple[int, ...]) -> None:
    tensors = tiny_tensors(4, spread=15)
    tensors["entropy.accumulator.weight"][...] = np.random.default_rng(4).integers(-50, 51, (3, 2, 6, 4))
    for accumulator, iteration in enumerate(first):
        tensors["entropy.accumulator.weight"][:iteration, :, accumulator] = 0
    checked = EntropyTensors.from_mapping(tensors, PASSES)
    codes = _planes(4, 4, 4, 5, 6)
    fast, reference = _both(checked, 5, 6)

    assert _probabilities(fast, codes, checked.passes) == _probabilities(reference, codes, checked.passes)


@pytest.mark.parametrize("passes", LAYOUTS, ids=str)
def test_fast_state_equals_the_reference_in_every_order_of_passes(passes: Passes) -> None:
    """A neighbour may be known in some cells of a pass and not in others."""
    tensors = EntropyTensors.from_mapping(tiny_tensors(9, passes=passes, spread=15), passes)
    codes = _planes(9, 4, tensors.context_coded_channels, 6, 7)
    fast, reference = _both(tensors, 6, 7)

    assert _probabilities(fast, codes, tensors.passes) == _probabilities(reference, codes, tensors.passes)


@pytest.mark.parametrize("cells", [1, 7, 20])
@pytest.mark.parametrize("grid", [(9, 7), (8, 10), (13, 1)])
def test_fast_state_equals_the_reference_in_blocks_of_any_size(
    cells: int, grid: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, "_BLOCK_CELLS", cells)
    tensors = EntropyTensors.from_mapping(tiny_tensors(10, spread=15), PASSES)
    codes = _planes(10, 4, 4, *grid)
    state, reference = _both(tensors, *grid)

    assert _probabilities(state, codes, tensors.passes) == _probabilities(reference, codes, tensors.passes)


def test_fast_state_equals_the_reference_at_real_size_and_over_several_blocks() -> None:
    passes = passes_of(32, 2)
    tensors = EntropyTensors.from_mapping(
        tiny_tensors(5, passes=passes, state=64, hidden=64, iterations=2, spread=25), passes
    )
    codes = _planes(5, 2, 32, 41, 40)
    fast, reference = _both(tensors, 41, 40)

    assert _probabilities(fast, codes, tensors.passes) == _probabilities(reference, codes, tensors.passes)


@pytest.mark.parametrize("sign", [1, -1])
def test_fast_state_is_exact_at_the_largest_valid_sums(sign: int) -> None:
    """All weights as far as they go and biases that fill the bound up to 2^24 - 1 exactly."""
    tensors = tiny_tensors(0)
    for name, array in tensors.items():
        if name.endswith("weight"):  # of accumulators, 3 * 4 * 32767
            array[...] = np.iinfo(array.dtype).max * sign
    tensors["entropy.accumulator.scale"][...] = 65535
    state = 127 * 127 * (9 * 4 + 8 + 6)
    hidden = 127 * 127 * 9 * 8
    context = 127 * 127 * 9 * 4
    tensors["entropy.state_in.bias"][...] = sign * (2**24 - 1 - state)
    tensors["entropy.feature.bias"][:, 0] = sign * (2**24 - 1 - hidden)
    tensors["entropy.feature.bias"][:, 1:] = sign * (2**24 - 1 - hidden - context)
    output = 255 * 127 * 8
    tensors["entropy.output.bias"][0] = sign * (2**24 - 1 - output)
    tensors["entropy.output.bias"][1:] = sign * (2**24 - 1 - output - 127 * 127 * 12)
    checked = EntropyTensors.from_mapping(tensors, PASSES)
    half = _planes(3, 4, 4, 5, 7)
    half[:, 1:3] = [[[1]], [[-1]]]
    for codes in (np.ones((4, 4, 5, 7), dtype=np.int8), _planes(3, 4, 4, 5, 7), half):
        fast, reference = _both(checked, 5, 7)

        assert _probabilities(fast, codes, checked.passes) == _probabilities(reference, codes, checked.passes)


@pytest.mark.parametrize("fast", [True, False])
def test_accumulators_are_sums_over_all_iterations_scaled_and_clamped(fast: bool) -> None:
    """One pass sees one accumulator alone, so the definition can be followed by hand."""
    passes = ((0, 0, 1), (1, 0, 1))
    tensors = {name: np.zeros_like(array) for name, array in tiny_tensors(passes=passes, accumulators=1).items()}
    tensors["entropy.accumulator.weight"][:, :, 0, 0] = ((1000, 9), (7, -300), (9, 5))
    tensors["entropy.accumulator.scale"][...] = (100, 90, 65535)
    tensors["entropy.accumulator_output.weight"][:, 1, 0] = (50, 0)
    checked = EntropyTensors.from_mapping(tensors, passes)
    codes = np.array([1, -1, -1, 1], dtype=np.int8)[:, None, None, None] * np.ones((1, 1, 2), dtype=np.int8)
    said = _probabilities(_both(checked, 1, 2)[0 if fast else 1], codes, checked.passes)

    # q is 1000, 1300 and 1295; times the scale over 1024 that is 97, 114 and beyond 127.
    counts = [50 * v >> 7 for v in (97, 114, 127)]
    assert [said[2 * t + 1] for t in range(4)] == [[PROBABILITY[128 + min(v, 127)]] for v in (0, *counts)]
    assert [said[2 * t] for t in range(4)] == [[PROBABILITY[128]]] * 4


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(
    ("bits", "seen"),
    [
        ([(1, 1), (1, -1), (-1, 1)], (60, 90, 60)),
        ([(0, 0), (1, -1), (1, 1)], (0, 0, 60)),
        ([(1, 1), (-1, -1), (0, 0)], (60, 0, 0)),
    ],
    ids=["known at once", "known late", "0 anew"],
)
def test_an_accumulator_that_is_0_has_a_table_of_its_own(
    bits: list[tuple[int, int]], seen: tuple[int, ...], fast: bool
) -> None:
    passes = ((0, 0, 2), (1, 0, 2))
    tensors = {name: np.zeros_like(array) for name, array in tiny_tensors(passes=passes, accumulators=1).items()}
    tensors["entropy.accumulator.weight"][:, :, 0] = ((30, 30), (45, 15))
    tensors["entropy.accumulator.scale"][...] = 1024
    tensors["entropy.accumulator_output.weight"][..., 0] = 127
    checked = EntropyTensors.from_mapping(tensors, passes)
    codes = np.array([*bits, (0, 0)], dtype=np.int8)[..., None, None]
    said = _probabilities(_both(checked, 1, 1)[0 if fast else 1], codes, checked.passes)

    assert said[::2] == [[PROBABILITY[128 + (127 * v >> 7)]] * 2 for v in (0, *seen)]


CELLS = [(y, x) for y in range(4) for x in range(5)]
AROUND = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


def _said_of_one_input(name: str, place: int, *, fast: bool) -> tuple[EntropyTensors, list[Plane], Values]:
    """Return what a network says by cell and channel where one weight alone, 127 at each output, is not 0.

    With the codes and the tensors, in which the accumulators are as they were.
    """
    tensors = tiny_tensors(8, spread=60)
    for key, array in tensors.items():
        if not key.startswith("entropy.accumulator."):
            array[...] = 0
    tensors[name][..., place] = 127
    checked = EntropyTensors.from_mapping(tensors, PASSES)
    codes = _planes(8, 4, 4, 4, 5)
    said = _probabilities(_both(checked, 4, 5)[0 if fast else 1], codes, checked.passes)
    planes = []
    for t in range(4):
        plane = np.zeros((4, 4, 5), dtype=np.int64)
        for index, one in enumerate(checked.passes):
            cells, k = cells_of(one.lattice, 4, 5), np.array(said[t * len(checked.passes) + index])
            plane.reshape(4, -1)[one.first : one.stop, cells] = k.reshape(-1, cells.size)
        planes.append(plane)
    return checked, planes, codes


def _accumulator(tensors: EntropyTensors, codes: Values, s: int, cell: tuple[int, int]) -> int:
    """Return an accumulator of a cell after all codes."""
    accumulator = 0
    for weight, values in zip(tensors.accumulator_weight, codes[:, :, cell[0], cell[1]], strict=False):
        accumulator += int((weight[int(accumulator != 0), s].astype(int) * values.astype(int)).sum())
    return accumulator


def _scaled(tensors: EntropyTensors, t: int, value: int) -> int:
    return min(max(math.floor(value * int(tensors.accumulator_scale[t - 1]) / 1024), -127), 127)


@pytest.mark.parametrize("fast", [True, False])
def test_surroundings_are_the_mean_of_magnitudes_around_a_cell(fast: bool) -> None:
    s = 4
    tensors, said, codes = _said_of_one_input("entropy.accumulator_output.weight", 6 + s, fast=fast)
    found = set()
    for t in (1, 2, 3):
        v = {cell: abs(_scaled(tensors, t, _accumulator(tensors, codes[:t], s, cell))) for cell in CELLS}
        for y, x in CELLS:
            mean = sum(v.get((y + dy, x + dx), 0) for dy, dx in AROUND) // 8
            found.add(mean)

            assert said[t][:, y, x].tolist() == [PROBABILITY[128 + (127 * mean >> 7)]] * 4
    assert len(found) > 20


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("name", list(tiny_tensors()))
def test_every_tensor_matters(name: str, fast: bool) -> None:
    tensors = tiny_tensors(3, spread=15)
    codes = _planes(3, 4, 4, 4, 4)
    said = []
    for change in (False, True):
        if change:
            tensors[name] = tensors[name] // 2
        checked = EntropyTensors.from_mapping(tensors, PASSES)
        said.append(_probabilities(_both(checked, 4, 4)[0 if fast else 1], codes, checked.passes))

    assert said[0] != said[1]


@pytest.mark.parametrize("grid", [(1, 1), (1, 6), (6, 1), (3, 5), (4, 4)])
def test_lattices_are_as_specified(grid: tuple[int, int]) -> None:
    cells = [divmod(n, grid[1]) for n in range(grid[0] * grid[1])]
    expected = (
        [y * grid[1] + x for y, x in cells if (y + x) % 2 == 0],
        [y * grid[1] + x for y, x in cells if (y + x) % 2 == 1],
        [y * grid[1] + x for y, x in cells if y % 2 == 0 and x % 2 == 0],
        [y * grid[1] + x for y, x in cells if y % 2 == 1 and x % 2 == 1],
    )

    assert [cells_of(lattice, *grid).tolist() for lattice in range(4)] == list(expected)


@given(st.integers(0, 2**32), st.integers(0, 3), st.sampled_from(LAYOUTS))
@settings(max_examples=20)
def test_probabilities_depend_only_on_bits_already_known(seed: int, iteration: int, passes: Passes) -> None:
    model = EntropyModel.from_tensors(tiny_tensors(seed, passes=passes), passes)
    index = seed % len(passes)
    codes = _planes(seed, iteration + 1, model.code_channels, 5, 6)
    other = codes.copy()
    for one in model.passes[index:]:
        flat = other[iteration].reshape(model.code_channels, -1)
        flat[one.first : one.stop, cells_of(one.lattice, 5, 6)] = (_of_pass(other[iteration], one) + 2) % 3 - 1
    at = iteration * len(passes) + index
    first = _probabilities(model.start(5, 6), codes, model.passes)[at]

    assert _probabilities(model.start(5, 6), other, model.passes)[at] == first


def test_probabilities_stay_within_the_table() -> None:
    model = tiny_model(7)
    said = np.concatenate(_probabilities(model.start(8, 8), _planes(7, 4, 4, 8, 8), model.passes))

    assert said.min() >= 32
    assert said.max() <= 65504
    assert len(np.unique(said)) > 20


def test_iterations_must_come_in_order() -> None:
    fast, reference = _both(EntropyTensors.from_mapping(tiny_tensors(), PASSES), 2, 2)
    for state in (fast, reference):
        with pytest.raises(ValueError, match="expected 0"):
            state.start_iteration(1, None)


def test_a_model_knows_what_it_can_code() -> None:
    model = tiny_model(passes=passes_of(6, 3), iterations=3)

    assert (model.code_channels, model.iterations, len(model.passes)) == (6, 3, 6)


def test_tensors_of_other_networks_are_ignored() -> None:
    model = EntropyModel.from_tensors({**tiny_tensors(), "encoder.weight": np.zeros(3)}, PASSES)
    alone = EntropyModel.from_tensors(tiny_tensors(), PASSES)

    for one in ("code_channels", "iterations", "passes"):
        assert getattr(model, one) == getattr(alone, one)


def _zeros() -> dict[str, NDArray[Any]]:
    """Return valid tensors that are all zero."""
    tensors = {key: np.zeros_like(array) for key, array in tiny_tensors().items()}
    tensors["entropy.accumulator.scale"][...] = 1
    return tensors


def _replace(name: str, array: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
    tensors = tiny_tensors()
    del tensors[name]
    return tensors if array is None else {**tensors, name: array}


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        (_replace("entropy.state.weight", None), "expected"),
        ({**tiny_tensors(), "entropy.more": np.zeros(1, dtype=np.int8)}, "entropy tensors"),
        (_replace("entropy.state.weight", np.zeros((16, 8), dtype=np.float32)), "float32"),
        (_replace("entropy.output.bias", np.zeros((4, 5, 2), dtype=np.int64)), "int64"),
        (_replace("entropy.output.bias", np.zeros((4, 5, 3), dtype=np.int32)), "expected int32"),
        (_replace("entropy.state.weight", np.zeros(16, dtype=np.int8)), "dimensions"),
        (_replace("entropy.state.weight", np.zeros((0, 0), dtype=np.int8)), "at least 1"),
        (_replace("entropy.state.weight", np.full((16, 8), -128, dtype=np.int8)), "-128"),
        (_replace("entropy.accumulator.weight", np.zeros((3, 2, 6, 4), dtype=np.int8)), "expected int16"),
        (_replace("entropy.accumulator.weight", np.full((3, 2, 6, 4), -32768, dtype=np.int16)), "-32768"),
        (_replace("entropy.accumulator.weight", np.zeros((3, 2, 0, 4), dtype=np.int16)), "at least 1"),
        (_replace("entropy.accumulator.weight", np.zeros((3, 6, 4), dtype=np.int16)), "dimensions"),
        (
            _replace("entropy.accumulator.weight", np.zeros((3, 1, 6, 4), dtype=np.int16)),
            r"expected int16 \(3, 2, 6, 4\)",
        ),
        (
            _replace("entropy.accumulator.weight", np.zeros((4, 2, 6, 4), dtype=np.int16)),
            r"expected int16 \(3, 2, 6, 4\)",
        ),
        (_replace("entropy.accumulator.scale", np.ones(4, dtype=np.int32)), r"expected int32 \(3,\)"),
        (_replace("entropy.accumulator.scale", np.zeros(3, dtype=np.int32)), "must be 1 to 65535"),
        (_replace("entropy.accumulator.scale", np.full(3, 65536, dtype=np.int32)), "must be 1 to 65535"),
        (_replace("entropy.accumulator_input.weight", np.zeros((16, 12), dtype=np.int8)), r"\(16, 6\)"),
        (_replace("entropy.accumulator_output.weight", np.full((3, 5, 2, 12), -128, dtype=np.int8)), "-128"),
        (_replace("entropy.accumulator_output.weight", np.zeros((3, 5, 2, 6), dtype=np.int8)), r"\(3, 5, 2, 12\)"),
    ],
    ids=[
        *("missing", "unknown", "float", "int64", "shape", "dimensions", "empty", "-128"),
        *("accumulator type", "accumulator -32768", "no accumulator", "accumulator dimensions"),
        *("one table", "accumulator of the last", "scale of the last", "scale 0", "scale 65536"),
        *("input shape", "output -128", "no surroundings"),
    ],
)
def test_invalid_tensors_are_rejected(tensors: dict[str, NDArray[Any]], message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        EntropyModel.from_tensors(tensors, PASSES)


@pytest.mark.parametrize(
    "passes",
    [
        (),
        PASSES[:4],
        (*PASSES, PASSES[0]),
        (*PASSES, (0, 0, 2)),
        ((0, 0, 4), (1, 0, 2), (1, 2, 4)),
        ((0, 0, 4), (4, 0, 4)),
        ((0, 0, 4), (-3, 0, 4)),
        ((0, 0, 4), (2, 0, 4)),
        ((2, 0, 4), (1, 0, 4)),
        ((0, 1, 4), (1, 1, 4)),
    ],
    ids=["none", "missing", "twice", "covered", "unequal", "lattice 4", "lattice -3", "overlap", "no lattice 3", "gap"],
)
def test_passes_that_do_not_code_every_bit_once_are_rejected(passes: Passes) -> None:
    with pytest.raises(WeightsError, match="passes"):
        EntropyModel.from_tensors(tiny_tensors(), passes)


@pytest.mark.parametrize("name", ["state_in", "feature", "output"])
@pytest.mark.parametrize("sign", [1, -1])
def test_a_sum_of_2_to_the_24_is_rejected(name: str, sign: int) -> None:
    tensors = _zeros()
    bias = tensors[f"entropy.{name}.bias"]
    bias[-1, ..., -1] = sign * (2**24 - 1)
    EntropyModel.from_tensors(tensors, PASSES)
    bias[-1, ..., -1] = sign * 2**24

    with pytest.raises(WeightsError, match="16777216"):
        EntropyModel.from_tensors(tensors, PASSES)


def test_every_weight_counts_in_the_bound() -> None:
    for name, bias, limit in (
        ("state_in.weight", "state_in.bias", 127),
        ("state.weight", "state_in.bias", 127),
        ("feature.weight", "feature.bias", 127),
        ("context.weight", "feature.bias", 127),
        ("output.weight", "output.bias", 255),
        ("accumulator_input.weight", "state_in.bias", 127),
        ("accumulator_output.weight", "output.bias", 127),
    ):
        tensors = _zeros()
        tensors[f"entropy.{bias}"][...] = 2**24 - 1 - limit
        tensors[f"entropy.{name}"][...] = 0
        tensors[f"entropy.{name}"].reshape(-1)[-1] = -1
        EntropyModel.from_tensors(tensors, PASSES)
        tensors[f"entropy.{name}"].reshape(-1)[-1] = 2

        with pytest.raises(WeightsError, match="sums can reach"):
            EntropyModel.from_tensors(tensors, PASSES)


def test_an_accumulator_of_2_to_the_24_is_rejected() -> None:
    """Over all iterations, of each the table with the larger sum."""
    passes = passes_of(256, 1)
    tensors = tiny_tensors(passes=passes, state=1, hidden=1, spread=0)
    weight = tensors["entropy.accumulator.weight"]
    weight[...] = 0
    weight[0, :, -1] = [[-32767], [32766]]
    weight[1, :, -1] = [[32766], [-32767]]
    weight[2, 1, -1, -1] = 2**24 - 1 - 512 * 32767
    EntropyModel.from_tensors(tensors, passes)
    weight[2, 1, -1, -1] += 1

    with pytest.raises(WeightsError, match="accumulator sums can reach 16777216, must be at most 16777215"):
        EntropyModel.from_tensors(tensors, passes)


@pytest.mark.parametrize("scale", [1, 15, 1000, 65535])
def test_fast_state_is_exact_where_products_with_the_scale_are_rounded(scale: int) -> None:
    """float32 does not represent a large accumulator times a large scale exactly, and need not."""
    passes = passes_of(256, 1)
    tensors = tiny_tensors(6, passes=passes, state=2, hidden=4, spread=8)
    random = np.random.default_rng(6)
    tensors["entropy.accumulator.weight"][...] = random.integers(-21844, 21845, (3, 2, 6, 256))
    tensors["entropy.accumulator.scale"][...] = scale
    checked = EntropyTensors.from_mapping(tensors, passes)
    codes = _planes(6, 4, 256, 4, 5)
    largest = np.stack([np.sign(tensors["entropy.accumulator.weight"][t, int(t > 0), 0]) for t in range(3)])
    codes[:3, :, 1, 1], codes[:3, :, 1, 2] = largest, -largest
    fast, reference = _both(checked, 4, 5)

    assert _probabilities(fast, codes, checked.passes) == _probabilities(reference, codes, checked.passes)


@pytest.fixture
def _forgetful() -> Iterator[None]:
    """Forget the result of the known-answer test and the warning, before and after."""
    caches = (matmul.products_are_exact, model._warn_once)
    for one in caches:
        one.cache_clear()
    yield
    for one in caches:
        one.cache_clear()


@pytest.mark.usefixtures("_forgetful")
def test_products_are_exact_on_this_machine() -> None:
    assert matmul.products_are_exact()
    assert isinstance(tiny_model().start(3, 3), FastState)


def _nearly_right(left: Floats, right: Floats, out: Floats | None = None) -> Floats:
    """Compute sums as inexactly as a Winograd convolution would."""
    product: Floats = np.multiply(np.matmul(left, right), np.float32(1 + 2**-22), out=out)
    return product


def _half_precision(left: Floats, right: Floats, out: Floats | None = None) -> Floats:
    """Compute sums with less precision than float32."""
    halves = np.matmul(left, right).astype(np.float16)
    product: Floats = np.add(halves.astype(np.float32), np.float32(0), out=out)
    return product


@pytest.mark.usefixtures("_forgetful")
@pytest.mark.parametrize("broken", [_nearly_right, _half_precision])
def test_inexact_products_are_detected_and_replaced_with_one_warning(
    broken: Callable[..., Floats], monkeypatch: pytest.MonkeyPatch
) -> None:
    codes = _planes(2, 4, 4, 6, 5)
    expected = _probabilities(tiny_model(2).start(6, 5), codes, tiny_model().passes)
    matmul.products_are_exact.cache_clear()
    monkeypatch.setattr(matmul, "matmul", broken)
    with pytest.warns(RuntimeWarning, match="slower integer arithmetic"):
        state = tiny_model(2).start(6, 5)
    again = tiny_model(2).start(6, 5)  # warnings are errors in this suite

    assert isinstance(state, ReferenceState)
    assert isinstance(again, ReferenceState)
    assert _probabilities(state, codes, tiny_model().passes) == expected


@pytest.mark.usefixtures("_forgetful")
@pytest.mark.parametrize(("name", "value"), [("_UPDATE", fast._UPDATE[::-1].copy()), ("ACCUMULATOR_MAX", 20)])
def test_a_fault_outside_the_products_is_detected_too(
    name: str, value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fast, name, value)
    with pytest.warns(RuntimeWarning):
        state = tiny_model().start(3, 3)

    assert isinstance(state, ReferenceState)


@pytest.mark.usefixtures("_forgetful")
@pytest.mark.parametrize(
    "shapes",
    [
        ((4, 4), (9, 4, 16)),
        ((4, 4), (2, 4, 6)),
        ((4, 50), (50, 16)),
        ((4, 6), (6, 4)),
        ((4, 72), (72, 8)),
        ((4, 8), (8, 2)),
    ],
    ids=["fold", "accumulators", "state", "accumulator output", "features", "output"],
)
def test_products_of_every_shape_are_self_tested(
    shapes: tuple[object, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault in products of one shape only passes the known-answer test but not the self-test."""
    right, met = matmul.matmul, []

    def wrong(left: Floats, factor: Floats, out: Floats | None = None) -> Floats:
        product = right(left, factor, out=out)
        if (left.shape, factor.shape) == shapes:
            met.append(shapes)
            product += 40
        return product

    assert matmul.products_are_exact()
    monkeypatch.setattr(matmul, "matmul", wrong)
    with pytest.warns(RuntimeWarning):
        assert isinstance(tiny_model().start(3, 3), ReferenceState)
    assert met


def _with_schedule(changes: dict[str, Any]) -> dict[str, NDArray[Any]]:
    """Return the tensors of a model of pairs with another schedule; None removes a table."""
    tables = pair_tables()
    for name, table in changes.items():
        tables[f"network.quantizer.{name}"] = table
    return tiny_tensors(passes=PAIR_PASSES) | {name: table for name, table in tables.items() if table is not None}


def test_a_model_of_pairs_has_a_sign_for_each_magnitude() -> None:
    assert pair_model().code_channels == 8


@pytest.mark.parametrize(
    ("changes", "passes", "message"),
    [
        ({"level": None}, PAIR_PASSES, r"must be three float32 tensors of shape \(4, 4\)"),
        (
            {"coefficient": np.zeros((4, 3), np.float32)},
            PAIR_PASSES,
            r"must be three float32 tensors of shape \(4, 4\)",
        ),
        ({"step": np.ones((3, 4), np.float32)}, PAIR_PASSES, r"must be three float32 tensors of shape \(4, 4\)"),
        ({"level": np.ones((4, 4))}, PAIR_PASSES, r"must be three float32 tensors of shape \(4, 4\)"),
        ({"level": np.full((4, 4), 2, np.float32)}, PAIR_PASSES, "iteration 0 is not a valid schedule"),
        ({}, FIVE_PASSES, "each must code all magnitudes of its cells"),
    ],
    ids=["one missing", "too few pairs", "too few iterations", "float64", "no first level", "a cell in two parts"],
)
def test_invalid_schedules_are_rejected(changes: dict[str, Any], passes: Passes, message: str) -> None:
    tensors = _with_schedule(changes) | tiny_tensors(passes=passes)

    with pytest.raises(WeightsError, match=message):
        EntropyModel.from_tensors(tensors, passes)
