"""How many threads compute at a time: a limit on NumPy's matrix products, for as long as it is needed.

Products are small here, and network and entropy coder run side by side anyway: more threads for each product occupy
more of the CPU and, measured, take more time as well. So by default there is one for each. The number belongs to the
whole process, so a limit holds for whatever else multiplies matrices in NumPy meanwhile; afterwards it is restored. In
a program that sets the number of OpenBLAS by threadpoolctl itself, that number holds.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Protocol

from pillow_rnc.fork_safety import importing
from pillow_rnc.models.process_settings import ProcessSetting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class _Library(Protocol):
    """A library of matrix products."""

    def get_num_threads(self) -> int: ...

    def set_num_threads(self, num_threads: int) -> None: ...


@cache
def _libraries() -> Sequence[_Library]:
    with importing:
        import numpy as np  # noqa: F401 -- its library must be loaded to be found
        from threadpoolctl import ThreadpoolController

    found: Sequence[_Library] = ThreadpoolController().select(user_api="blas").lib_controllers
    return found


def _read(found: list[int] | None) -> list[int]:
    return [library.get_num_threads() for library in _libraries()] if found is None else found


def _apply(found: list[int], limits: Sequence[int]) -> None:
    def set_all() -> None:
        for library, number in zip(_libraries(), found, strict=True):
            library.set_num_threads(min([number, *limits]))

    # From a thread that ends: of those that live, threadpoolctl lets only the first one set OpenBLAS, for ever.
    setter = threading.Thread(target=set_all)
    try:
        setter.start()
    except RuntimeError:  # no memory for another thread, or the interpreter is ending
        set_all()
    else:
        setter.join()


_blas_threads = ProcessSetting(_read, _apply)


def threads_per_product(max_threads: int) -> int:
    """Return how many of some threads are left for each product while the other stage runs; 0 stands for two."""
    return max(1, max_threads - 1)


@contextmanager
def limit_threads(max_threads: int) -> Iterator[None]:
    """Within this block, compute with at most this many threads in all; 0 stands for two, the most that are useful."""
    with _blas_threads.override(threads_per_product(max_threads)):
        yield
