"""An iterator that works ahead: while one item is used, a thread makes the next.

The network and the entropy network of a tile need each other's results in one direction only, and both spend their
time in matrix products, beside Python's lock: so one of them runs here and the other where the items are used.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

_Item = TypeVar("_Item")
_END = object()
_PATIENCE_S = 0.1  # for the item that is being made when nobody wants it any more, as after Ctrl-C


def work_ahead(items: Iterator[_Item], *, alone: bool = False) -> Generator[_Item]:
    """Yield the items, each made while the one before is used; what making one raises is raised for it.

    Alone, without a thread, each is made when it is asked for.

    Close the generator when it is left early. The thread then ends with the item that it is making.
    """
    if alone:
        yield from items
        return
    worker = ThreadPoolExecutor(1, "pillow-rnc")
    coming: Future[object] | None = None
    try:
        try:
            coming = worker.submit(next, items, _END)
        except RuntimeError:  # there are no threads here, or no more of them
            yield from items
            return
        while (item := coming.result()) is not _END:
            coming = worker.submit(next, items, _END)
            yield cast("_Item", item)
    finally:
        worker.shutdown(wait=coming is None or bool(wait([coming], _PATIENCE_S).done))
