"""A lock that a forked child can take.

A fork copies locks as they stand, but only one thread: what another thread held, nobody in the child would give back.
"""

from __future__ import annotations

import os
import threading


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
