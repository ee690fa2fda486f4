"""An iterator that works ahead: while one item is used, a thread makes the next ones.

The network and the entropy network of a tile need each other's results in one direction only, and both spend their
time in matrix products, beside Python's lock: so one of them runs here and the other where the items are used.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_Item = TypeVar("_Item")
_END = object()
_AHEAD = 16  # items: all iterations of a tile, as the network takes its time for the last of the tile before
_PATIENCE_S = 0.1  # for the item that is being made when nobody wants it any more, as after Ctrl-C


def work_ahead(items: Iterator[_Item], *, alone: bool = False) -> Generator[_Item]:
    """Yield the items, made while those before are used, so many ahead; what making one raises is raised for it.

    Alone, without a thread, each is made when it is asked for.

    Close the generator when it is left early. The thread then ends with the item that it is making.
    """
    if alone:
        yield from items
        return
    worker = ThreadPoolExecutor(1, "pillow-rnc")
    coming: deque[Future[object]] = deque()
    try:
        try:
            coming.append(worker.submit(next, items, _END))
        except RuntimeError:  # there are no threads here, or no more of them
            yield from items
            return
        coming.extend(worker.submit(next, items, _END) for _ in range(_AHEAD - 1))
        while (item := coming.popleft().result()) is not _END:
            coming.append(worker.submit(next, items, _END))
            yield cast("_Item", item)
    finally:
        worker.shutdown(wait=False, cancel_futures=True)
        if not wait([future for future in coming if not future.cancelled()], _PATIENCE_S).not_done:
            worker.shutdown()
