"""Small random entropy networks that are valid: enough to test every path in milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pillow_rnc.entropy.model import EntropyModel
from pillow_rnc.entropy.tile_coder import TileEncoder, code_plane

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pillow_rnc.container.records import Segment

Passes = tuple[tuple[int, int, int], ...]

FIVE_PASSES: Passes = ((2, 0, 2), (3, 0, 2), (1, 0, 2), (0, 2, 4), (1, 2, 4))
"""Passes of every lattice, where all bits are coded."""
PAIR_PASSES: Passes = ((2, 0, 4), (3, 0, 4), (1, 0, 4))
"""Passes of four pairs."""
IDLE = 1e6
PAIRS: tuple[list[tuple[int, float, float]], ...] = (
    [(0, 1, 400), (0, 2, 400), (0, 3, 400), (64, 1, 300)],
    [(0, 1, 200), (9, 1, 100), (9, 2, 100), (0, IDLE, 0)],
    [(9, 1, 50), (0, IDLE, 0), (0, 1, 100), (64, 1, 150)],
    [(0, IDLE, 0), (64, 1, 75), (9, 1, 25), (9, 2, 25)],
)
"""Pairs of each iteration as (coefficient, level, step): several levels, also of coefficients that may be significant
already, coefficients that come again, idle pairs."""


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
    accumulators: int = 6,
    iterations: int = 4,
    spread: float = 40.0,
) -> dict[str, NDArray[Any]]:
    """Return valid random tensors; a great spread saturates tables, a small one stays near their centre."""
    random = np.random.default_rng(seed)
    t, p, c = iterations, len(passes), max(stop for _, _, stop in passes)
    g = passes[0][2] - passes[0][1]

    def weight(*shape: int) -> NDArray[np.int8]:
        return np.clip(np.rint(random.normal(0, spread, shape)), -127, 127).astype(np.int8)

    def bias(size: int, *shape: int) -> NDArray[np.int32]:
        return random.integers(-size, size + 1, shape).astype(np.int32)

    # Equal amounts, also for half of the accumulators that are not 0, so these often stay 0 or return to it.
    moves = np.rint(random.normal(0, 5 * spread, (accumulators, 1))) * random.integers(
        -1, 2, (t - 1, 2, accumulators, c)
    )
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
        "entropy.accumulator.weight": moves.astype(np.int16),
        "entropy.accumulator.scale": random.integers(20, 300, t - 1).astype(np.int32),
        "entropy.accumulator_input.weight": weight(2 * state, accumulators),
        "entropy.accumulator_output.weight": weight(t - 1, p, g, 2 * accumulators),
    }


def pair_tables() -> dict[str, NDArray[Any]]:
    """Return the tables of `PAIRS`."""
    tables = np.array(PAIRS, np.float32)
    names = ("coefficient", "level", "step")
    return {f"network.quantizer.{name}": np.ascontiguousarray(tables[..., at]) for at, name in enumerate(names)}


def tiny_model(seed: int = 0, *, passes: Passes = FIVE_PASSES, iterations: int = 4) -> EntropyModel:
    """Return a valid random network, by default of 4 code channels and 5 passes."""
    return EntropyModel.from_tensors(tiny_tensors(seed, passes=passes, iterations=iterations), passes)


def pair_model(seed: int = 0) -> EntropyModel:
    """Return a valid random network of four pairs, some of whose bits are inferred."""
    return EntropyModel.from_tensors(tiny_tensors(seed, passes=PAIR_PASSES) | pair_tables(), PAIR_PASSES)


def drawn_codes(
    model: EntropyModel,
    iterations: int,
    grid_h: int,
    grid_w: int,
    draw: Callable[[NDArray[np.uint16]], NDArray[np.uint8]],
) -> NDArray[np.uint8]:
    """Return codes [iterations, C, h, w], whose coded bits are drawn given p1_q16 of the model."""
    state, coded_bits, previous = model.start(grid_h, grid_w), model.coded_bits(grid_h, grid_w), None
    codes = np.zeros((iterations, model.code_channels, grid_h, grid_w), dtype=np.uint8)
    for iteration, plane in enumerate(codes):
        state.start_iteration(iteration, previous)
        code_plane(model.passes, state, coded_bits, plane, lambda p1_q16, _: draw(p1_q16))
        previous = coded_bits.finish(plane)
    return codes


def likely_codes(model: EntropyModel, seed: int, iterations: int, grid_h: int, grid_w: int) -> NDArray[np.uint8]:
    """Return codes [iterations, C, h, w] drawn with the probabilities of the model, so that coding saves bits."""
    random = np.random.default_rng(seed)
    return drawn_codes(
        model, iterations, grid_h, grid_w, lambda p1_q16: (random.random(p1_q16.size) * 65536 < p1_q16).astype(np.uint8)
    )


def noise_codes(model: EntropyModel, seed: int, iterations: int, grid_h: int, grid_w: int) -> NDArray[np.uint8]:
    """Return codes [iterations, C, h, w] whose coded bits are drawn with probability one half."""
    random = np.random.default_rng(seed)
    return drawn_codes(model, iterations, grid_h, grid_w, lambda p1_q16: random.integers(0, 2, p1_q16.size, np.uint8))


def encode_tile(codes: NDArray[np.uint8], model: EntropyModel) -> list[Segment]:
    """Return the segment of each iteration of codes [iterations, C, h, w]."""
    encoder = TileEncoder(model, *codes.shape[2:])
    return [encoder.encode_next(plane) for plane in codes]
