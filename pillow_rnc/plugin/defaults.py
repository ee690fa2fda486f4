"""What holds where neither ``save`` nor ``open`` says otherwise: for the process, or for a block of code.

The block's settings live in a context variable, so threads and tasks do not see each other's.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pillow_rnc.codec.batching import MAX_MEMORY
from pillow_rnc.container.records import MAX_ITERATIONS
from pillow_rnc.errors import RncOptionError
from pillow_rnc.models.threads import ForkLock

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Defaults:
    """Defaults of ``save`` and ``open``.

    Attributes:
        iterations: Iterations to store, or None for the format's own default.
        device: What runs the network: "cpu", or a device of torch.
        keep_metadata: Carry EXIF, XMP, comment and resolution of an image over; its colour profile is always.
        max_work: Most pixels times iterations to decode, or None for `max_work` below.
        max_memory: Bytes that tiles at work may take together.
        max_threads: Threads that compute at a time, 0 for as many as are of use.
    """

    iterations: int | None = None
    device: str = "cpu"
    keep_metadata: bool = True
    max_work: int | None = None
    max_memory: int = MAX_MEMORY
    max_threads: int = 0


MAX_WORK = MAX_ITERATIONS * 89_478_485
"""All iterations of the largest picture that Pillow opens without a warning."""
MAX_WORK_VARIABLE = "PILLOW_RNC_MAX_WORK"
"""Name of the environment variable that sets another limit."""

_lock = ForkLock()
_process = [Defaults()]
_block: ContextVar[Defaults | None] = ContextVar("pillow_rnc_defaults", default=None)


def current_defaults() -> Defaults:
    """Return what holds here and now."""
    return _block.get() or _process[0]


def default_max_work() -> int:
    """Return the most pixels times iterations that may be decoded: of the defaults, the environment, or `MAX_WORK`.

    Raises:
        RncOptionError: The environment variable is no number of at least 1.
    """
    limit = current_defaults().max_work
    if limit is not None:
        return limit
    text = os.environ.get(MAX_WORK_VARIABLE, str(MAX_WORK))
    if not (text.isascii() and text.isdigit() and int(text)):
        msg = f"environment variable {MAX_WORK_VARIABLE} is {text!r}, allowed are integers of at least 1"
        raise RncOptionError(msg)
    return int(text)


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
