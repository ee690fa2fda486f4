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
from pillow_rnc.codec import decoder, encoder
from pillow_rnc.codec.execution import ExecutionOptions
from pillow_rnc.codec.pool import TilePool, pool_threads
from pillow_rnc.container import reader
from pillow_rnc.container.records import RncFile
from pillow_rnc.entropy.kernel import library
from pillow_rnc.errors import CorruptError
from pillow_rnc.models import weights
from pillow_rnc.models.embedded.kernel_network import KernelTiles
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


def test_a_child_that_a_callback_forks_does_all_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    process = os.getpid()
    results = TilePool(doubled, 2, lambda: None).results(range(9))
    first = next(results)
    monkeypatch.setattr(os, "getpid", lambda: process + 1)

    assert [first, *results] == list(range(0, 18, 2))


def test_memory_and_tiles_limit_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, tile = [(64, 64)] * 5, 64 * 64 * 80

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


def truncated_bytes(whole: io.BytesIO, target: int) -> bytes:
    """Return the file with as many iterations of another as fit."""
    fp = io.BytesIO()
    pillow_rnc.open(io.BytesIO(whole.getvalue())).save(fp, "RNC", target_size=target)
    return fp.getvalue()
