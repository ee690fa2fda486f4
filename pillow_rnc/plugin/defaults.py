"""Options that apply where neither ``save`` nor ``open`` sets them: for the process, or for a block of code.

The settings of a block live in a context variable, so threads and tasks do not see each other's. A thread that is
started in a block begins with its settings if `sys.flags.thread_inherit_context` is set, as in free-threaded Python.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from pillow_rnc.codec.execution import ExecutionOptions
from pillow_rnc.container.records import MAX_ITERATIONS
from pillow_rnc.errors import RncOptionError
from pillow_rnc.fork_safety import ForkLock

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEFAULT_ITERATIONS = 8


@dataclass(frozen=True, slots=True)
class Defaults:
    """Defaults of ``save`` and ``open``.

    Attributes:
        iterations: Iterations to store when no rate is given.
        keep_metadata: Carry over EXIF, XMP, comment and resolution of an image; its colour profile always is.
        max_work: Most pixels times iterations to decode, or None for the environment variable or `MAX_WORK`.
        execution: How the codec computes.
    """

    iterations: int = DEFAULT_ITERATIONS
    keep_metadata: bool = True
    max_work: int | None = None
    execution: ExecutionOptions = field(default_factory=ExecutionOptions)

    def changed(self, options: Mapping[str, Any]) -> Defaults:
        """Return these defaults with some validated options, by name, in place of what they were."""
        own = {name: value for name, value in options.items() if name not in EXECUTION_OPTIONS}
        return replace(self, **own, execution=changed_execution(self.execution, options))


EXECUTION_OPTIONS = frozenset(each.name for each in fields(ExecutionOptions))

MAX_WORK = MAX_ITERATIONS * 89_478_485
"""All iterations of the largest image that Pillow opens without a warning."""
MAX_WORK_VARIABLE = "PILLOW_RNC_MAX_WORK"
"""Name of the environment variable that sets another limit."""

_lock = ForkLock()
_process = [Defaults()]
_block: ContextVar[Defaults | None] = ContextVar("pillow_rnc_defaults", default=None)


def current_defaults() -> Defaults:
    """Return the defaults that apply in this thread or task now."""
    return _block.get() or _process[0]


def changed_execution(execution: ExecutionOptions, options: Mapping[str, Any]) -> ExecutionOptions:
    """Return execution options with those among some validated options, by name, in place of what they were."""
    return replace(execution, **{name: options[name] for name in EXECUTION_OPTIONS & options.keys()})


def default_max_work() -> int:
    """Return the most pixels times iterations that may be decoded: of the defaults, the environment, or `MAX_WORK`.

    Raises:
        RncOptionError: The environment variable is not an integer of at least 1.
    """
    limit = current_defaults().max_work
    if limit is not None:
        return limit
    text = os.environ.get(MAX_WORK_VARIABLE, str(MAX_WORK))
    if not (text.isascii() and text.isdigit() and int(text)):
        msg = f"environment variable {MAX_WORK_VARIABLE} is {text!r}, give an integer of at least 1"
        raise RncOptionError(msg)
    return int(text)


def set_for_process(defaults: Defaults) -> None:
    """Replace the defaults that apply wherever a block does not set its own."""
    with _lock:
        _process[0] = defaults


@contextmanager
def set_for_block(defaults: Defaults) -> Iterator[None]:
    """Replace the defaults of this thread or task until the block ends."""
    token = _block.set(defaults)
    try:
        yield
    finally:
        _block.reset(token)
