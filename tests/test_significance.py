"""Which bits are coded, and their values for the entropy network, follow the rules of the specification."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_models import IDLE, noise_codes, tiny_model

from pillow_rnc.entropy.schedule import iteration_schedule
from pillow_rnc.entropy.significance import ScheduleCoded, count_set_inferred
from pillow_rnc.entropy.tensors import cells_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Codes = NDArray[np.uint8]
    Mask = NDArray[np.bool_]

G = 4
GRID = 3, 5
ALL_CELLS = np.arange(15)
PAIRS: tuple[list[tuple[int, float, float]], ...] = (
    [(0, 1, 8), (0, 2, 8), (0, 3, 8), (7, 1, 8)],
    [(5, 1, 8), (0, IDLE, 0), (0, 1, 4), (0, 2, 4)],
    [(0, IDLE, 0), (7, 1, 4), (7, 2, 4), (0, 1, 2)],
    [(0, IDLE, 0)] * 4,
    [(7, 1, 2), (0, 1, 1), (0, 2, 1), (5, 1, 4)],
)
"""Pairs as (coefficient, level, step); some have several levels where a coefficient may be significant."""
ITERATIONS = st.integers(0, len(PAIRS) - 1)
SEEDS = st.integers(0, 2**32)


def significant_by_hand(before: Codes, coefficient: int) -> Mask:
    """Return where a coefficient is significant after iterations [t, 2 G, h, w]."""
    found = np.zeros(GRID, np.bool_)
    for pairs, plane in zip(PAIRS, before, strict=False):
        for (other, level, _), ones in zip(pairs, plane, strict=False):  # there are signs as well
            found |= (other == coefficient) & (level == 1) & (ones == 1)
    return found


def coded_by_hand(before: Codes, plane: Codes) -> Mask:
    """Return which bits of a plane [2 G, h, w] are coded."""
    coded = np.zeros(plane.shape, np.bool_)
    for pair, (coefficient, level, _) in enumerate(PAIRS[len(before)]):
        insignificant = ~significant_by_hand(before, coefficient)
        if level == 1:
            coded[pair] = True
            coded[G + pair] = insignificant & (plane[pair] == 1)
        elif level != IDLE:
            coded[pair] = insignificant & (plane[pair - 1] == 1)
    return coded


def values_by_hand(before: Codes, plane: Codes) -> NDArray[np.int8]:
    """Return the values of a plane, [G, h, w]."""
    values, coded = np.zeros((G, *GRID), np.int8), coded_by_hand(before, plane)
    for pair, (coefficient, *_) in enumerate(PAIRS[len(before)]):
        inner = coded[pair] & (plane[pair] == 0) & significant_by_hand(before, coefficient)
        values[pair] = np.where(inner, -1, plane[pair])
    return values


def codes_of(seed: int, iterations: int) -> Codes:
    """Return codes [iterations, 2 G, h, w], drawn with probability one half where they are coded."""
    codes = np.random.default_rng(seed).integers(0, 2, (iterations, 2 * G, *GRID), np.uint8)
    for t in range(iterations):
        for _ in range(G):  # a level depends on the one below
            codes[t] *= coded_by_hand(codes[:t], codes[t])
    return codes


def coded_bits_after(codes: Codes) -> ScheduleCoded:
    """Return the tracker of coded bits after some iterations."""
    schedule = [iteration_schedule(*np.array(pairs, np.float32).T) for pairs in PAIRS]
    coded_bits = ScheduleCoded([one for one in schedule if one is not None], G, ALL_CELLS.size)
    for plane in codes:
        coded_bits.finish(plane)
    return coded_bits


@given(SEEDS, ITERATIONS)
def test_bits_are_coded_according_to_the_rules(seed: int, iteration: int) -> None:
    *_, plane = codes = codes_of(seed, iteration + 1)
    coded_bits, flat = coded_bits_after(codes[:-1]), plane.reshape(2 * G, -1)
    found = np.zeros(flat.shape, np.bool_)
    for channels in coded_bits.rounds(G):
        mask = coded_bits.magnitudes(flat, channels, ALL_CELLS)
        found[channels] = True if mask is ... else mask
    first, found[G:] = coded_bits.signs(flat)

    assert first == G
    assert np.array_equal(found.reshape(plane.shape), coded_by_hand(codes[:-1], plane))


@given(SEEDS, ITERATIONS)
def test_set_inferred_bits_are_counted(seed: int, iteration: int) -> None:
    codes = codes_of(seed, iteration)
    noise = np.random.default_rng(seed).integers(0, 2, (2 * G, *GRID), np.uint8)
    right = codes_of(seed, iteration + 1)[-1]

    assert count_set_inferred(coded_bits_after(codes), noise) == (noise * ~coded_by_hand(codes, noise)).sum()
    assert count_set_inferred(coded_bits_after(codes), right) == 0


@given(SEEDS, ITERATIONS, st.integers(1, 3))
def test_values_are_what_the_rules_say(seed: int, iteration: int, lattice: int) -> None:
    *_, plane = codes = codes_of(seed, iteration + 1)
    coded_bits, cells = coded_bits_after(codes[:-1]), cells_of(lattice, *GRID)
    values = values_by_hand(codes[:-1], plane)

    bits = plane.reshape(2 * G, -1)[:G, cells]
    assert np.array_equal(coded_bits.values(bits, cells), values.reshape(G, -1)[:, cells])
    assert np.array_equal(coded_bits.finish(plane), values)


@pytest.mark.parametrize("iteration", range(len(PAIRS)))
def test_rounds_depend_on_no_bit_of_their_own(iteration: int) -> None:
    """They are as few as can be, in order, and leave idle pairs out."""
    rounds = coded_bits_after(codes_of(0, iteration)).rounds(G)
    levels = [level for _, level, _ in PAIRS[iteration]]

    assert [int(pair) for one in rounds for pair in one] == [pair for pair, level in enumerate(levels) if level != IDLE]
    assert all(levels[pair] == 1 for one in rounds for pair in one[1:])
    assert all(levels[one[0]] > 1 for _, one in pairwise(rounds))


def test_all_bits_are_coded_where_codes_are_learned() -> None:
    model = tiny_model()
    coded_bits, plane = model.coded_bits(*GRID), noise_codes(model, 0, 1, *GRID)[0]
    flat = plane.reshape(G, -1)

    assert [one.tolist() for one in coded_bits.rounds(2)] == [[0, 1]]
    assert coded_bits.magnitudes(flat, np.arange(G), ALL_CELLS) is ...
    assert coded_bits.signs(flat)[0] == G
    assert coded_bits.signs(flat)[1].shape == (0, 15)
    assert np.array_equal(coded_bits.values(flat[1:3, [2, 7]], np.array([2, 7])), 2.0 * flat[1:3, [2, 7]] - 1)
    assert np.array_equal(coded_bits.finish(plane), 2.0 * plane - 1)
    assert count_set_inferred(coded_bits, np.ones_like(plane)) == 0
