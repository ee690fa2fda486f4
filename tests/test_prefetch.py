"""Items are computed ahead, in a thread, and nothing is lost when that fails."""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from pillow_rnc.codec.prefetch import prefetch
from pillow_rnc.errors import RncError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


def test_items_come_in_order_and_from_another_thread() -> None:
    threads = set()

    def items() -> Iterator[int]:
        for number in range(20):
            threads.add(threading.get_ident())
            yield number

    assert list(prefetch(items())) == list(range(20))
    assert threading.get_ident() not in threads
    assert len(threads) == 1


def test_the_next_items_are_made_while_one_is_used() -> None:
    made = threading.Semaphore(0)

    def items() -> Iterator[int]:
        for number in range(100):
            made.release()
            yield number

    ahead = prefetch(items())
    next(ahead)

    assert all(made.acquire(timeout=10) for _ in range(1 + 16))
    assert not made.acquire(timeout=0.05), "17 ahead"
    ahead.close()


def test_without_a_thread_nothing_is_computed_ahead() -> None:
    made = []

    def items() -> Iterator[int]:
        for number in range(3):
            made.append((number, threading.get_ident()))
            yield number

    ahead = prefetch(items(), threaded=False)

    assert next(ahead) == 0
    assert made == [(0, threading.get_ident())]
    assert list(ahead) == [1, 2]


def test_an_error_comes_in_the_place_of_its_item() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("two")

    ahead = prefetch(items())

    assert next(ahead) == 1
    with pytest.raises(KeyError, match="two"):
        next(ahead)


def test_leaving_early_leaves_no_thread() -> None:
    before = threading.active_count()
    ahead = prefetch(iter(range(100)))
    next(ahead)
    ahead.close()

    assert threading.active_count() == before


def test_without_threads_items_come_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)

    assert list(prefetch(iter("abc"))) == ["a", "b", "c"]


def at_work_on_the_second() -> tuple[Generator[int], threading.Event]:
    """Return two items, the first taken, while the thread makes the second until the event is set."""
    begun, go_on = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 1
        begun.set()
        assert go_on.wait(10)
        yield 2

    ahead = prefetch(items())
    next(ahead)
    assert begun.wait(10)
    return ahead, go_on


def test_nobody_waits_long_for_an_item_that_is_not_wanted_any_more() -> None:
    ahead, go_on = at_work_on_the_second()
    ahead.close()

    assert not go_on.is_set()
    (worker,) = (thread for thread in threading.enumerate() if thread.name.startswith("pillow-rnc"))
    go_on.set()
    worker.join(10)
    assert not worker.is_alive()


def test_a_child_is_told_that_it_cannot_continue(monkeypatch: pytest.MonkeyPatch) -> None:
    before, process = set(threading.enumerate()), os.getpid()
    ahead = prefetch(iter(range(100)))
    next(ahead)
    with monkeypatch.context() as patched:
        patched.setattr(os, "getpid", lambda: process + 1)
        with pytest.raises(RncError, match="a forked child cannot continue") as caught:
            next(ahead)
    (worker,) = set(threading.enumerate()) - before
    assert worker.is_alive()
    del caught  # which holds the pool, and with it the thread
    worker.join(10)
    ahead = prefetch(iter(range(3)))  # and nothing else is disturbed
    assert list(ahead) == [0, 1, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_forked_child_does_not_hang_and_its_parent_continues() -> None:
    """The thread is at work on the next item when the process is forked."""
    ahead, go_on = at_work_on_the_second()
    child = os.fork()
    if not child:
        signal.alarm(10)  # ends it if it hangs
        try:
            next(ahead)
        except RncError:
            os._exit(5)
        os._exit(6)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
    go_on.set()
    assert list(ahead) == [2]
