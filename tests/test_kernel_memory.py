"""Threads keep the memory of tiles for those that follow, and nothing is kept beyond that."""

from __future__ import annotations

import io
import signal
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

import pillow_rnc
from pillow_rnc.entropy.kernel import library, memory
from pillow_rnc.entropy.tile_coder import TileDecoder, TileEncoder
from pillow_rnc.models import weights
from pillow_rnc.models.embedded.kernel_network import KernelTiles
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


def _stored(size: tuple[int, int], **options: int) -> bytes:
    fp = io.BytesIO()
    image = Image.linear_gradient("L").resize(size).convert("RGB")
    image.save(fp, "RNC", **({"iterations": 2, "tile_size": 64, "overlap": 16} | options))
    return fp.getvalue()


@pytest.mark.skipif(not library.supported(), reason="the kernel was not built")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("allowed", [0, 1, 4, 5])
def test_an_allocation_that_fails_is_a_memory_error(
    allowed: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(library.VARIABLE, raising=False)
    data, given, right = _stored((200, 150)), [], memory._take

    def take(kept: list[NDArray[np.uint8]], size: int) -> NDArray[np.uint8]:
        given.append(size)
        if len(given) > allowed:
            raise MemoryError
        return right(kept, size)

    before = threading.active_count()
    im = pillow_rnc.open(io.BytesIO(data), max_threads=threads)
    with monkeypatch.context() as patched:
        patched.setattr(memory, "_take", take)
        with pytest.raises(MemoryError):
            im.load()
    assert threading.active_count() == before
    im.load()  # as if nothing had happened
    assert im.tobytes() == pillow_rnc.open(io.BytesIO(data)).reduce(1).tobytes()


@pytest.mark.skipif(not library.supported(), reason="the kernel was not built")
@pytest.mark.parametrize("threads", [1, 2])
def test_an_interrupt_ends_a_decode_with_the_step_at_hand(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(library.VARIABLE, raising=False)
    data, right, whole = _stored((400, 300), iterations=8), KernelTiles.decode, ThreadPoolExecutor.shutdown
    done: list[KernelTiles] = []
    interrupted_at: list[int] = []

    def decode(tiles: KernelTiles, planes: NDArray[np.uint8]) -> None:
        right(tiles, planes)
        done.append(tiles)
        if threading.current_thread() is threading.main_thread():
            if len(done) >= 10:
                interrupted_at.append(len(done))
                signal.raise_signal(signal.SIGINT)
        elif interrupted_at:
            left.wait(10)  # until the main thread has left the pool: this step is then the last

    def shutdown(pool: ThreadPoolExecutor, **options: Any) -> None:  # noqa: ANN401 -- as what it stands for
        left.set()
        whole(pool, **options)

    before, left = threading.active_count(), threading.Event()
    monkeypatch.setattr(KernelTiles, "decode", decode)
    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", shutdown)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    im = pillow_rnc.open(io.BytesIO(data), max_threads=threads)
    try:
        with pytest.raises(KeyboardInterrupt):
            im.load()
    finally:
        signal.signal(signal.SIGINT, handler)

    assert len(done) <= interrupted_at[0] + threads  # of many more
    assert threading.active_count() == before


def test_memory_grows_by_few_bytes_a_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the tiles at work there is little: the pixels, and a row of tiles as floats."""
    monkeypatch.delenv(library.VARIABLE, raising=False)
    sizes, peaks = ((256, 256), (256, 1280)), []
    for size in sizes:
        data = _stored(size, tile_size=128)
        tracemalloc.start()
        try:
            pillow_rnc.open(io.BytesIO(data), max_threads=2).load()
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()

    grown = (peaks[1] - peaks[0]) / (256 * 1024)
    assert grown < 12  # of 16: the image that Pillow allocates, 4 bytes a pixel, is not counted here


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
