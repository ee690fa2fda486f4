"""Memory of tiles, which a thread keeps from one tile to the next.

Fresh memory costs a page fault for each page of it, a tenth of the time of a tile; and threads that get and return it
wait for each other in the system. Each thread has its own, so there are no locks, and a forked child has that of the
thread that forked.
"""

from __future__ import annotations

import threading
import weakref
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Memory = NDArray[np.uint8]

_MOST_KEPT = 2  # of a tile: its coder and its network


class _Current(threading.local):
    """Where this thread keeps memory, None if it is not to keep any."""

    kept: list[Memory] | None = None


_current = _Current()


def keep_memory() -> None:
    """Keep the memory of tiles until this thread ends."""
    _current.kept = []


@contextmanager
def memory_kept_in(kept: list[Memory]) -> Iterator[None]:
    """Keep the memory of this thread's tiles in a list, and take it from there."""
    before, _current.kept = _current.kept, kept
    try:
        yield
    finally:
        _current.kept = before


def memory_for(tile: object, size: int) -> Memory:
    """Return memory of at least so many bytes for a tile, with any content; it may be kept when the tile is gone."""
    memory = _take(_current.kept or [], size)
    weakref.finalize(tile, _keep, memory).atexit = False
    return memory


def _take(kept: list[Memory], size: int) -> Memory:
    """Return the smallest array that is large enough, which is no longer kept then."""
    fitting = [index for index, memory in enumerate(kept) if len(memory) >= size]
    if not fitting:
        return np.empty(size, np.uint8)
    return kept.pop(min(fitting, key=lambda index: len(kept[index])))


def _keep(memory: Memory) -> None:
    """Keep an array, but none beyond the largest ones."""
    if _current.kept is not None:
        _current.kept.append(memory)
        _current.kept.sort(key=len)
        del _current.kept[:-_MOST_KEPT]
