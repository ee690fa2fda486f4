"""Small random entropy networks that keep all rules: enough to test every path in milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pillow_rnc.entropy_model import EntropyModel
from pillow_rnc.entropy_reference import place_bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

Passes = tuple[tuple[int, int, int], ...]

FIVE_PASSES: Passes = ((2, 0, 2), (3, 0, 2), (1, 0, 2), (0, 2, 4), (1, 2, 4))
"""Passes of every lattice."""


def passes_of(channels: int, groups: int) -> Passes:
    """Return 2 * groups passes: the even cells of a group of channels, the odd ones, the next group."""
    step = channels // groups
    return tuple((lattice, step * n, step * (n + 1)) for n in range(groups) for lattice in (0, 1))


def tiny_tensors(
    seed: int = 0,
    *,
    passes: Passes = FIVE_PASSES,
    state: int = 8,
    hidden: int = 8,
    tallies: int = 6,
    iterations: int = 4,
    spread: float = 40.0,
) -> dict[str, NDArray[Any]]:
    """Return legal random tensors; a great spread saturates tables, a small one stays in their middle."""
    random = np.random.default_rng(seed)
    t, p, c = iterations, len(passes), max(stop for _, _, stop in passes)
    g = passes[0][2] - passes[0][1]

    def weight(*shape: int) -> NDArray[np.int8]:
        return np.clip(np.rint(random.normal(0, spread, shape)), -127, 127).astype(np.int8)

    def bias(size: int, *shape: int) -> NDArray[np.int32]:
        return random.integers(-size, size + 1, shape).astype(np.int32)

    # Equal amounts, for half of those that are not 0, too: so tallies often stay 0 or return to it.
    moves = np.rint(random.normal(0, 5 * spread, (tallies, 1))) * random.integers(-1, 2, (t - 1, 2, tallies, c))
    moves[:, 1, ::2] = np.rint(random.normal(0, 5 * spread, moves[:, 1, ::2].shape))
    return {
        "entropy.state_in.weight": weight(t - 1, 2 * state, c, 3, 3),
        "entropy.state_in.bias": bias(20000, t - 1, 2 * state),
        "entropy.state.weight": weight(2 * state, state),
        "entropy.feature.weight": weight(hidden, state, 3, 3),
        "entropy.feature.bias": bias(9000, t, p, hidden),
        "entropy.context.weight": weight(t, p - 1, hidden, c, 3, 3),
        "entropy.output.weight": weight(t, p, g, hidden),
        "entropy.output.bias": bias(9000, t, p, g),
        "entropy.tally.weight": moves.astype(np.int16),
        "entropy.tally.scale": random.integers(20, 300, t - 1).astype(np.int32),
        "entropy.tally_input.weight": weight(2 * state, 2 * tallies),
        "entropy.tally_output.weight": weight(t - 1, p, g, 3 * tallies),
    }


def tiny_model(seed: int = 0, *, passes: Passes = FIVE_PASSES, iterations: int = 4) -> EntropyModel:
    """Return a legal random network of 4 code channels and 5 passes unless told otherwise."""
    return EntropyModel.from_tensors(tiny_tensors(seed, passes=passes, iterations=iterations), passes)


def likely_codes(model: EntropyModel, seed: int, iterations: int, grid_h: int, grid_w: int) -> NDArray[np.uint8]:
    """Return codes [iterations, C, h, w] drawn from what the model expects, so that coding them pays."""
    random, state = np.random.default_rng(seed), model.start(grid_h, grid_w)
    codes = np.zeros((iterations, model.code_channels, grid_h, grid_w), dtype=np.uint8)
    for iteration, plane in enumerate(codes):
        state.begin(iteration, codes[iteration - 1] if iteration else None)
        for index, one in enumerate(model.passes):
            k = state.probabilities(index)
            bits = (random.random(k.size) * 65536 < k).astype(np.uint8)
            state.reveal(index, bits)
            place_bits(plane, one, bits)
    return codes
