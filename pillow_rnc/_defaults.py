"""What holds where neither ``save`` nor ``open`` says otherwise: for the process, or for a block of code.

The block's settings live in a context variable, so threads and tasks do not see each other's.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Defaults:
    """Defaults of ``save`` and ``open``.

    Attributes:
        iterations: Iterations to store, or None for the format's own default.
        device: Torch device that runs the network.
        keep_metadata: Carry EXIF, XMP, comment and resolution of an image over; its colour profile is always.
    """

    iterations: int | None = None
    device: str = "cpu"
    keep_metadata: bool = True


_lock = threading.Lock()
_process = [Defaults()]
_block: ContextVar[Defaults | None] = ContextVar("pillow_rnc_defaults", default=None)


def current() -> Defaults:
    """Return what holds here and now."""
    return _block.get() or _process[0]


def set_for_process(defaults: Defaults) -> None:
    """Replace what holds wherever no block says otherwise."""
    with _lock:
        _process[0] = defaults


@contextmanager
def set_for_block(defaults: Defaults) -> Iterator[None]:
    """Replace what holds in this thread or task until the block ends."""
    token = _block.set(defaults)
    try:
        yield
    finally:
        _block.reset(token)
