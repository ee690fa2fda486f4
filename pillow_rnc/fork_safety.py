"""Locks that a forked child finds free, whoever held them in its parent.

A child has only the thread that forked, so a lock that another thread held would never be released in it.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_IMPORT_SECONDS = 60.0
"""Longest time that a fork waits for an import, such as that of torch from a slow disk."""


class ForkLock:
    """A lock for ``with``, free again in every forked child; not to be forked while held by the same thread.

    It lives as long as its process, so it is for modules, not for objects that come and go.
    """

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_error: object) -> None:
        self._lock.release()


_renewing = ForkLock()


class ObjectLock:
    """A reentrant lock for objects that come and go, free in forked children; the thread that holds it may fork."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._process = os.getpid()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock in this block."""
        with self._current():
            yield

    def _current(self) -> Any:  # noqa: ANN401 -- the type of an RLock has no public name
        if self._process != os.getpid():
            with _renewing:
                if self._process != os.getpid():
                    self._lock = threading.RLock()
                    self._process = os.getpid()
        return self._lock


class _ImportGuard:
    """Postpones forks during imports: a child waits for ever for a module that another thread was importing."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._postponed = False
        self._registered = False

    def _register(self) -> None:
        # What is registered last comes first before a fork. These two take locks there that an import may need, so
        # they must come after: otherwise the import would wait for the fork, which waits for the import.
        import concurrent.futures.thread  # noqa: F401
        import logging  # noqa: F401

        if not self._registered and hasattr(os, "register_at_fork"):
            self._registered = True
            os.register_at_fork(before=self._before, after_in_parent=self._after, after_in_child=self._renew)

    def _before(self) -> None:
        self._postponed = self._lock.acquire(timeout=_IMPORT_SECONDS)

    def _after(self) -> None:
        if self._postponed:
            self._postponed = False
            self._lock.release()

    def _renew(self) -> None:
        self._postponed = False
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()
        if not self._registered:
            self._register()

    def __exit__(self, *_error: object) -> None:
        self._lock.release()


importing = _ImportGuard()
"""For ``with`` around every import inside a function."""
