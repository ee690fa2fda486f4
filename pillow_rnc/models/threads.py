"""How many threads compute at a time: a limit on NumPy's matrix products, for as long as somebody needs it.

Products are small here, and one works ahead of the other anyway: more threads for each product take more of the
processor and, measured, more time as well. So by default there is one for each.
The number belongs to the whole process, so a limit holds for whatever else multiplies matrices in NumPy meanwhile.
Afterwards it is as it was. In a program that sets the number of OpenBLAS by threadpoolctl itself, that number holds.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Protocol

from pillow_rnc.models.fork_safety import ForkLock, importing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class _Library(Protocol):
    """A library of matrix products."""

    def get_num_threads(self) -> int: ...

    def set_num_threads(self, num_threads: int) -> None: ...


@cache
def _libraries() -> Sequence[_Library]:
    with importing:
        import numpy as np  # noqa: F401 -- its library must be there to be found
        from threadpoolctl import ThreadpoolController

    found: Sequence[_Library] = ThreadpoolController().select(user_api="blas").lib_controllers
    return found


class _Limit:
    """Who needs which limit at the moment, and what held before."""

    def __init__(self) -> None:
        self._lock = ForkLock()
        self._needed: list[int] = []
        self._found: list[int] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._restart)

    def add(self, threads: int) -> None:
        with self._lock:
            if not self._needed:
                self._found = [library.get_num_threads() for library in _libraries()]
            self._needed.append(threads)
            self._apply()

    def remove(self, threads: int) -> None:
        with self._lock:
            self._needed.remove(threads)
            self._apply()

    def _apply(self) -> None:
        # From a thread that ends: of those that live, threadpoolctl lets only the first one set OpenBLAS, for ever.
        setter = threading.Thread(target=self._set)
        setter.start()
        setter.join()

    def _set(self) -> None:
        for library, found in zip(_libraries(), self._found, strict=True):
            library.set_num_threads(min([found, *self._needed]))

    def _restart(self) -> None:
        """Lift all limits in a forked child, where the threads that needed them do not exist."""
        if self._needed:
            self._needed = []
            self._apply()


_limit = _Limit()


def for_products(max_threads: int) -> int:
    """Return how many of some threads are left for each product, when one works ahead; 0 stands for two threads."""
    return max(1, max_threads - 1)


@contextmanager
def at_most(max_threads: int) -> Iterator[None]:
    """Within this block, compute with so many threads in all; 0 for as many as are of use, which are two."""
    threads = for_products(max_threads)
    _limit.add(threads)
    try:
        yield
    finally:
        _limit.remove(threads)
