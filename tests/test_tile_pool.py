"""Tiles are worked on in threads: results and errors in the order of the tiles, and no thread is left."""

from __future__ import annotations

import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import pillow_rnc
from pillow_rnc.codec import decoder, encoder, pool
from pillow_rnc.codec.execution import ExecutionOptions
from pillow_rnc.codec.pool import TilePool, pool_threads
from pillow_rnc.container import reader
from pillow_rnc.container.records import DEFAULT_TILE_SIZE, RncFile
from pillow_rnc.entropy.kernel import library
from pillow_rnc.errors import CorruptError
from pillow_rnc.models import weights
from pillow_rnc.models.config import EmbeddedConfig
from pillow_rnc.models.embedded.kernel_network import KernelTiles
from pillow_rnc.models.runtime import network_kernel
from pillow_rnc.plugin import rate_control

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

STEPS = 3


def doubled(task: int) -> Generator[None, None, int]:
    for _ in range(STEPS):
        yield
    return 2 * task


@pytest.mark.parametrize("threads", [1, 2, 3, 9])
def test_results_come_in_order_and_every_step_is_told_of_here(threads: int) -> None:
    told: list[int] = []
    results = TilePool(doubled, threads, lambda: told.append(threading.get_ident())).results(range(40))

    assert list(results) == list(range(0, 80, 2))
    assert told == [threading.get_ident()] * STEPS * 40


def test_as_many_threads_work_as_are_allowed() -> None:
    meeting = threading.Barrier(3)

    def work(_task: int) -> Generator[None, None, int]:
        meeting.wait(10)
        yield
        return threading.get_ident()

    found = list(TilePool(work, 3, lambda: None).results(range(3)))

    assert len(set(found)) == 3
    assert threading.get_ident() in found


@pytest.mark.parametrize("threads", [1, 3])
def test_the_error_of_the_first_tile_is_raised(threads: int) -> None:
    def work(task: int) -> Generator[None, None, int]:
        yield
        if task in {3, 4}:
            raise CorruptError(f"tile {task}")
        return task

    results = TilePool(work, threads, lambda: None).results(range(9))

    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(CorruptError, match="tile 3"):
        next(results)


def test_leaving_early_ends_all_threads_with_their_step() -> None:
    before, ended = threading.active_count(), threading.Event()

    def work(_task: int) -> Generator[None, None, int]:
        while not ended.wait(0.001):
            yield
        return 0

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), closing(TilePool(work, 3, interrupt).results(range(9))) as results:
        next(results)
    assert threading.active_count() == before


def test_without_threads_all_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)

    assert list(TilePool(doubled, 4, lambda: None).results(range(9))) == list(range(0, 18, 2))


def test_without_a_second_thread_what_waits_for_the_first_one_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    start, threads = threading.Thread.start, []

    def fail_second(thread: threading.Thread) -> None:
        threads.append(thread)
        if len(threads) > 1:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail_second)

    assert list(TilePool(doubled, 4, lambda: None).results(range(9))) == list(range(0, 18, 2))
    assert len(threads) == 2
    start(threads[0])  # which has come too late
    threads[0].join(10)
    assert not threads[0].is_alive()


def test_a_child_that_a_callback_forks_does_all_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    process = os.getpid()
    results = TilePool(doubled, 2, lambda: None).results(range(9))
    first = next(results)
    monkeypatch.setattr(os, "getpid", lambda: process + 1)

    assert [first, *results] == list(range(0, 18, 2))


def test_memory_and_tiles_limit_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, tile = [(64, 64)] * 5, 64 * 64 * 96 + (1 << 20)

    assert pool_threads(sizes, ExecutionOptions(max_threads=3)) == 3
    assert pool_threads(sizes, ExecutionOptions(max_threads=9)) == 5
    assert pool_threads(sizes, ExecutionOptions(max_threads=9, max_memory=2 * tile)) == 2
    assert pool_threads(sizes, ExecutionOptions(max_threads=9, max_memory=1)) == 1
    assert pool_threads([], ExecutionOptions()) == 1
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 5}, raising=False)
    assert pool_threads(sizes, ExecutionOptions()) == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert pool_threads(sizes, ExecutionOptions()) == 1


def test_four_tiles_of_the_usual_size_are_within_the_default_memory() -> None:
    sizes = [(DEFAULT_TILE_SIZE,) * 2] * 9

    assert pool_threads(sizes, ExecutionOptions(max_threads=9)) == 4
    assert pool_threads(sizes, ExecutionOptions(max_threads=9, max_memory=128 << 20)) == 2
    assert pool_threads(sizes, ExecutionOptions(max_threads=9, max_memory=512 << 20)) == 9


@pytest.mark.skipif(not library.supported(), reason="the kernel was not built")
@pytest.mark.parametrize("side", [16, 64, 128, 256, 512, 768, 1024, 4096])
def test_a_tile_takes_no_more_memory_than_is_counted(side: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Coder and network as the kernel reports them, and beside them codes and the samples of the tile before."""
    monkeypatch.delenv(library.VARIABLE, raising=False)
    taken = []
    for release in weights._manifest():
        model = weights.load(release.model_id)
        if not isinstance(model.config, EmbeddedConfig):  # of the recurrent family, tiles are not coded in the pool
            continue
        (ffi, lib), network = library.interface(), network_kernel(model, model.config)
        entropy = model.entropy_model.kernel_tile(1, 1)
        assert network is not None
        assert entropy is not None
        coder, encodes, decodes = ffi.new("size_t *"), ffi.new("size_t *"), ffi.new("size_t *")
        library.check(lib.rnc_entropy_tile_size(entropy._kernel.address, side // 8, side // 8, coder))
        library.check(lib.rnc_network_tile_size(network.address, side // 8, side // 8, 1, encodes))
        library.check(lib.rnc_network_tile_size(network.address, side // 8, side // 8, 0, decodes))
        codes, samples = model.config.code_channels * (side // 8) ** 2, 12 * side**2
        taken.append(coder[0] + codes + max(encodes[0], decodes[0] + samples))

    memory = side**2 * pool._BYTES_PER_PIXEL + pool._BYTES_PER_TILE
    assert memory / 4 < max(taken) <= memory


@pytest.mark.parametrize(
    ("value", "threads"), [("2", 2), ("9", 4), (" 3,1", 3), ("", 4), ("0", 4), ("-1", 4), ("all", 4)]
)
def test_the_environment_limits_the_cores_but_not_what_is_asked_for(
    value: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", value)

    assert pool_threads([(64, 64)] * 5, ExecutionOptions()) == threads
    assert pool_threads([(64, 64)] * 5, ExecutionOptions(max_threads=5)) == 5


def test_files_and_pixels_do_not_depend_on_threads() -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (150, 220, 3), np.uint8)
    model, found = weights.load(weights.DEFAULT), []
    for threads in (1, 2, 5):
        execution = ExecutionOptions(max_threads=threads)
        header, units = encoder.encode(
            pixels, model, iterations=3, tile_size=64, overlap=16, verify=True, execution=execution
        )
        found.append((units, decoder.decode(RncFile(header, units=units), model, execution=execution).tobytes()))

    assert found[0] == found[1] == found[2]


@pytest.mark.skipif(not library.supported(), reason="the kernel was not built")
@pytest.mark.parametrize(("threads", "tile_size", "tiles"), [(1, 64, 15), (3, 64, 15), (1, 256, 1)])
@pytest.mark.parametrize("share", [0, 0.3, 2])
def test_a_target_stops_early_and_gives_the_same_bytes(
    share: float, threads: int, tile_size: int, tiles: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(library.VARIABLE, raising=False)
    smooth = np.add.outer(np.arange(150), np.arange(220)) % 256
    pixels = smooth[..., None] + np.random.default_rng(2).integers(0, 60, (150, 220, 3))
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    options = {"tile_size": tile_size, "overlap": 16, "max_threads": threads}
    whole, found, coded, right = io.BytesIO(), io.BytesIO(), [], KernelTiles.encode
    image.save(whole, "RNC", quality=100, **options)
    whole.seek(0)
    sizes = rate_control.file_sizes(whole, reader.read_head(whole))
    iterations = len(sizes)
    target = max(sizes[0], int(share * sizes[-1]))

    def encode(tiles: KernelTiles) -> NDArray[np.uint8]:
        coded.append(tiles)
        return right(tiles)

    steps: list[tuple[int, int]] = []
    monkeypatch.setattr(KernelTiles, "encode", encode)
    image.save(found, "RNC", target_size=target, on_progress=lambda *told: steps.append(told), **options)

    assert found.getvalue() == truncated_bytes(whole, target)
    fitting = sum(size <= target for size in sizes)
    assert fitting * tiles <= len(coded) <= min(iterations, fitting + (2 if tiles == 1 else iterations)) * tiles
    assert share == 2 or len(coded) < iterations * tiles  # the first tiles do not know what the others will take
    assert steps[-1] == (iterations * tiles, iterations * tiles)


class PausedRate(encoder._Rate):
    """The thread that asks first for the number is slow to use it."""

    def __init__(self) -> None:
        self.asked, self.other = threading.Event(), threading.Event()
        super().__init__(16, 5)

    @property
    def iterations(self) -> int:
        found = self._found
        if not self.asked.is_set():
            self.asked.set()
            self.other.wait(0.1)  # the other thread does not come between if all is well
        return found

    @iterations.setter
    def iterations(self, value: int) -> None:
        self._found = value


def test_no_thread_raises_again_what_another_has_found_enough() -> None:
    """A tile that ended with the lower number has no segments beyond it."""
    rate = PausedRate()
    slow = threading.Thread(target=rate.add, args=(9, 6))
    slow.start()
    assert rate.asked.wait(10)
    rate.add(3, 6)
    rate.other.set()
    slow.join(10)

    assert rate.iterations == 3


def truncated_bytes(whole: io.BytesIO, target: int) -> bytes:
    """Return the file with as many iterations of another as fit."""
    fp = io.BytesIO()
    pillow_rnc.open(io.BytesIO(whole.getvalue())).save(fp, "RNC", target_size=target)
    return fp.getvalue()
