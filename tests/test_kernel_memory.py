"""Threads keep the memory of tiles for those that follow, and nothing is kept beyond that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pillow_rnc.entropy.kernel import library, memory
from pillow_rnc.entropy.tile_coder import TileDecoder, TileEncoder
from pillow_rnc.models import weights
from pillow_rnc.models.runtime import runtime

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Tile:
    def __init__(self, size: int) -> None:
        self.memory = memory.memory_for(self, size)


def test_a_tile_gets_the_smallest_memory_that_is_large_enough() -> None:
    kept: list[NDArray[np.uint8]] = []
    with memory.memory_kept_in(kept):
        one, other = Tile(100), Tile(300)
        first, second = one.memory, other.memory
        del one, other
        assert [len(array) for array in kept] == [100, 300]
        one = Tile(90)
        assert one.memory is first
        other = Tile(90)
        assert other.memory is second
        third = Tile(400)
        assert len(third.memory) == 400
        del one, other, third
        assert [len(array) for array in kept] == [300, 400]  # the largest ones
    outside = Tile(90)
    assert len(outside.memory) == 90
    del outside
    assert [len(array) for array in kept] == [300, 400]


@pytest.mark.skipif(not library.supported(), reason="the kernel was not built")
def test_what_was_in_the_memory_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(library.VARIABLE, raising=False)
    model, kept, found = weights.load(weights.DEFAULT), [np.empty(0, np.uint8)], []
    pixels = np.random.default_rng(1).integers(0, 256, (1, 80, 48, 3), np.uint8)
    with memory.memory_kept_in(kept):
        for content in (0, 255, 126):
            for array in kept:
                array[...] = content
            found.append(_coded(model, pixels))

    assert len(kept) == 2
    assert found[0] == found[1] == found[2]


def _coded(model: weights.Weights, pixels: NDArray[np.uint8]) -> list[bytes]:
    network, shape = runtime(model, "cpu")(1, 80, 48), (10, 6)
    encoder, decoder = TileEncoder(model.entropy_model, *shape), TileDecoder(model.entropy_model, *shape)
    network.set_target(pixels)
    found = []
    for _ in range(6):
        (plane,) = network.encode()
        segment = encoder.encode_next(plane)
        decoded = decoder.decode_next(segment)
        assert decoded is not None
        found += [segment.payload, decoded.tobytes(), network.pixels().tobytes()]
    return found
