"""Settings that belong to the whole process, overridden for as long as some thread needs it.

NumPy's BLAS and torch hold numbers of threads and precisions that the codec has to change while it computes. Threads
may compute side by side, the host program may change a setting meanwhile, and a child may be forked at any time.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar

from pillow_rnc.fork_safety import ForkLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

FoundT = TypeVar("FoundT")
RequestT = TypeVar("RequestT")


class ProcessSetting(Generic[FoundT, RequestT]):
    """A setting of the process, reference-counted: the last thread that overrides it restores what was found.

    A forked child, where the other threads do not exist, starts with the setting restored. The lock is held only while
    the setting is changed.

    Args:
        read: Returns what is to be restored later, given what was found when the requests that hold began; None if
            there are none.
        apply: Puts the requests that hold into force, none of them if there are none left.
        per_thread: Each thread has the setting for itself and starts with that of the process: only the request of the
            calling thread is applied, and each thread restores its own.
    """

    def __init__(
        self,
        read: Callable[[FoundT | None], FoundT],
        apply: Callable[[FoundT, Sequence[RequestT]], None],
        *,
        per_thread: bool = False,
    ) -> None:
        self._read, self._apply, self._per_thread = read, apply, per_thread
        self._lock = ForkLock()
        self._requests: dict[object, RequestT] = {}
        self._found: list[FoundT] = []  # one item while requests hold
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._restart)  # after that of the lock

    @contextmanager
    def override(self, request: RequestT) -> Iterator[None]:
        """Within this block the request holds."""
        token = object()
        with self._lock:
            self._requests[token] = request
            self._update([request] if self._per_thread else list(self._requests.values()))
        try:
            yield
        finally:
            with self._lock:
                if token in self._requests:  # not in a child that was forked meanwhile
                    del self._requests[token]
                    self._update([] if self._per_thread else list(self._requests.values()))

    def _update(self, applied: Sequence[RequestT]) -> None:
        """Apply some requests; take note of what the host has set first, and forget it with the last request."""
        if self._requests:
            self._found = [self._read(self._found[0] if self._found else None)]
        self._apply(self._found[0], applied)
        if not self._requests:
            self._found = []

    def _restart(self) -> None:
        """Drop all requests in a forked child."""
        found, self._found, self._requests = self._found, [], {}
        if found and not self._per_thread:
            self._apply(found[0], [])
