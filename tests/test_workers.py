"""Processes may die: what they had begun is done again, and only what kills them fails."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from concurrent.futures import BrokenExecutor, Future
from typing import TYPE_CHECKING

import pytest

from pillow_rnc.cli.workers import ResilientProcessPool, open_workers
from pillow_rnc.errors import RncOptionError

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE_S = 240


def squared(number: int) -> int:
    return number * number


def die(mark: Path | None = None) -> str:
    """Kill the process that runs this; if a mark is given, only the first time."""
    if mark is not None and mark.exists():
        return "alive"
    if mark is not None:
        mark.touch()
    os.kill(os.getpid(), signal.SIGKILL)
    return "never"


@pytest.mark.skipif(sys.platform == "win32", reason="the signal is that of Unix")
def test_a_process_that_dies_costs_no_result(tmp_path: Path) -> None:
    with open_workers(2) as workers:
        futures = [workers.executor.submit(squared, number) for number in range(4)]
        once = workers.executor.submit(die, tmp_path / "mark")
        futures += [workers.executor.submit(squared, number) for number in range(4, 8)]

        assert [future.result(PATIENCE_S) for future in futures] == [number * number for number in range(8)]
        assert once.result(PATIENCE_S) == "alive"
        always = workers.executor.submit(die)  # later: it would end the process of the other with its own
        assert isinstance(always.exception(PATIENCE_S), BrokenExecutor)
        assert workers.executor.submit(squared, 9).result(PATIENCE_S) == 81


@pytest.mark.parametrize("refused", [OSError(errno.ENOMEM, "Cannot allocate memory"), RuntimeError("no thread")])
def test_a_task_that_cannot_be_repeated_fails(refused: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    broken: Future[int] = Future()
    broken.set_exception(BrokenExecutor())
    attempts = [broken]

    def submit(*_: object) -> Future[int]:
        if attempts:
            return attempts.pop()
        raise refused

    monkeypatch.setattr("pillow_rnc.cli.workers._submit", submit)
    with ResilientProcessPool(2) as pool:
        if isinstance(refused, RuntimeError):
            monkeypatch.setattr(pool._retries, "submit", submit)
        assert pool.submit(squared, 3).exception(PATIENCE_S) is refused


def test_tasks_that_have_not_begun_never_do() -> None:
    begun, released = threading.Event(), threading.Event()

    def hold() -> bool:
        begun.set()
        return released.wait(PATIENCE_S)

    with open_workers(1) as workers:
        first = workers.executor.submit(hold)
        others = [workers.executor.submit(squared, number) for number in range(3)]
        others[-1].add_done_callback(lambda _future: released.set())
        assert begun.wait(PATIENCE_S)

    assert first.result()
    assert all(future.cancelled() for future in others)


def test_cores_are_shared_out_unless_the_user_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "so that it is put back")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    with ResilientProcessPool(3):
        assert os.environ["OMP_NUM_THREADS"] == "5"
        assert os.environ["OPENBLAS_NUM_THREADS"] == "2"


@pytest.mark.parametrize(("address", "fault"), [("here", "missing port"), ("post://here:1", "unknown address scheme")])
def test_an_address_that_cannot_be_one_is_refused(address: str, fault: str) -> None:
    with pytest.raises(RncOptionError, match=fault), open_workers(1, address):
        pass


def test_the_package_that_a_cluster_needs_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(RncOptionError, match=r"pip install 'pillow-rnc\[dask\]'"), open_workers(1, "tcp://here:1"):
        pass
