"""An iterator whose next items are computed in a thread while the current one is used.

Network and entropy coder of a tile depend on each other in one direction only, and both spend their time in matrix
products, which release Python's lock: so one of them runs in the thread, and the other where the items are used.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar, cast

from pillow_rnc.errors import RncError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

_Item = TypeVar("_Item")
_END = object()
_ITEMS_AHEAD = 16  # all iterations of a tile, because the network takes its time for the last ones of the tile before
_MAX_WAIT_S = 0.1  # for an item in the making that nobody wants any more, as after Ctrl-C


def prefetch(items: Iterator[_Item], *, threaded: bool = True) -> Generator[_Item]:
    """Yield the items of an iterator, computed ahead in a thread; an error is raised where its item is due.

    Close the generator when leaving it early: the thread then ends with the item that it is computing.

    Args:
        items: The iterator; only one thread at a time asks it for an item.
        threaded: Whether to use a thread; without one, each item is computed when it is asked for.

    Raises:
        RncError: It is asked for an item in a child that was forked after the first one; the child has no such thread.
    """
    if not threaded:
        yield from items
        return
    process, worker = os.getpid(), ThreadPoolExecutor(1, "pillow-rnc")
    pending: deque[Future[object]] = deque()
    try:
        try:
            pending.append(worker.submit(next, items, _END))
        except RuntimeError:  # this system has no threads, or no more of them
            yield from items
            return
        pending.extend(worker.submit(next, items, _END) for _ in range(_ITEMS_AHEAD - 1))
        while (item := pending.popleft().result()) is not _END:
            pending.append(worker.submit(next, items, _END))
            yield cast("_Item", item)
            if os.getpid() != process:
                raise RncError("a forked child cannot continue what its parent was decoding or encoding")
    finally:
        if os.getpid() == process:
            _end(worker, pending)


def _end(worker: ThreadPoolExecutor, pending: Iterable[Future[object]]) -> None:
    """End the thread, with the item that it is computing if it is soon there."""
    worker.shutdown(wait=False, cancel_futures=True)
    if not wait([future for future in pending if not future.cancelled()], _MAX_WAIT_S).not_done:
        worker.shutdown()
