"""Items are made ahead, in a thread, and nothing is lost when that goes wrong."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from pillow_rnc.codec.prefetch import work_ahead

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_items_come_in_order_and_from_another_thread() -> None:
    threads = set()

    def items() -> Iterator[int]:
        for number in range(20):
            threads.add(threading.get_ident())
            yield number

    assert list(work_ahead(items())) == list(range(20))
    assert threading.get_ident() not in threads
    assert len(threads) == 1


def test_the_next_items_are_made_while_one_is_used() -> None:
    made = threading.Semaphore(0)

    def items() -> Iterator[int]:
        for number in range(100):
            made.release()
            yield number

    ahead = work_ahead(items())
    next(ahead)

    assert all(made.acquire(timeout=10) for _ in range(1 + 16))
    assert not made.acquire(timeout=0.05), "17 ahead"
    ahead.close()


def test_alone_nothing_is_made_ahead_and_no_thread_is_there() -> None:
    made = []

    def items() -> Iterator[int]:
        for number in range(3):
            made.append((number, threading.get_ident()))
            yield number

    ahead = work_ahead(items(), alone=True)

    assert next(ahead) == 0
    assert made == [(0, threading.get_ident())]
    assert list(ahead) == [1, 2]


def test_an_error_comes_in_the_place_of_its_item() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("two")

    ahead = work_ahead(items())

    assert next(ahead) == 1
    with pytest.raises(KeyError, match="two"):
        next(ahead)


def test_leaving_early_leaves_no_thread() -> None:
    before = threading.active_count()
    ahead = work_ahead(iter(range(100)))
    next(ahead)
    ahead.close()

    assert threading.active_count() == before


def test_without_threads_items_come_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)

    assert list(work_ahead(iter("abc"))) == ["a", "b", "c"]


def test_nobody_waits_long_for_an_item_that_is_not_wanted_any_more() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        yield 1
        begun.set()
        assert go_on.wait(10)
        yield 2

    ahead = work_ahead(items())
    next(ahead)
    assert begun.wait(10)
    ahead.close()

    assert not go_on.is_set()
    (worker,) = (thread for thread in threading.enumerate() if thread.name.startswith("pillow-rnc"))
    go_on.set()
    worker.join(10)
    assert not worker.is_alive()
