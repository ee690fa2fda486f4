"""While a process ends, what fails because of that is neither reported nor recorded, and no worker is started."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from pillow_rnc.cli import stopping, tasks, workers
from pillow_rnc.cli.manifest import failure
from pillow_rnc.cli.reporting import Reporter
from pillow_rnc.plugin import file_io

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S = 60


class Ending:
    """Stands in for the lock that is taken for good when the process ends, and lets it go on after all."""

    def __init__(self) -> None:
        self._waiting, self._over = threading.Event(), threading.Event()

    def locked(self) -> bool:
        return not self._over.is_set()

    def __enter__(self) -> None:
        self._waiting.set()
        assert self._over.wait(PATIENCE_S)

    def __exit__(self, *_error: object) -> None:
        pass

    def holds_up(self, work: Callable[[], object], happened: Callable[[], object]) -> object:
        """Return what the work returns, having checked that it waited before something happened."""
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(work)
            assert self._waiting.wait(PATIENCE_S)
            assert not happened()
            assert not file_io._not_halved  # for which the end would wait
            self._over.set()
            return future.result(PATIENCE_S)


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> Ending:
    ending = Ending()
    monkeypatch.setattr(stopping, "_ending", ending)
    return ending


def test_a_failure_is_not_recorded(ending: Ending, monkeypatch: pytest.MonkeyPatch) -> None:
    result, recorded = tasks.Result(failure("a.png", "a.rnc", "the temporary file is gone", "OSError")), list[object]()
    monkeypatch.setattr(tasks, "_execute", lambda _task: result)

    ending.holds_up(lambda: recorded.append(tasks.execute(None)), recorded.copy)  # type: ignore[arg-type]
    assert recorded == [result]


def test_nothing_is_reported(ending: Ending, capsys: pytest.CaptureFixture[str]) -> None:
    report = Reporter(as_json=False, quiet=False, to_stderr=False)

    ending.holds_up(lambda: report({"file": "a.png", "error": "is gone"}), lambda: capsys.readouterr().err)
    assert capsys.readouterr().err == "rnc: a.png: is gone\n"


def test_no_process_is_started(ending: Ending) -> None:
    submitted: list[object] = []

    class Pool:
        def submit(self, fn: Callable[..., object], *_: object) -> Future[object]:
            submitted.append(fn)
            return Future()

    assert isinstance(ending.holds_up(lambda: workers._submit(Pool(), len), submitted.copy), Future)  # type: ignore[arg-type]
    assert submitted == [len]
