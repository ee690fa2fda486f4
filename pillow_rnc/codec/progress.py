"""How far a piece of work is, told to whoever wants to know."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    OnProgress = Callable[[int, int], object]


class Progress:
    """Counts steps, each an iteration of a tile.

    Args:
        total: Steps in all.
        tell: Called with the steps done and all of them; what it raises ends the work.
    """

    def __init__(self, total: int, tell: OnProgress | None) -> None:
        self._done, self._total = 0, total
        self._tell = tell

    def add(self, steps: int = 1) -> None:
        """Count steps that are done."""
        self._done += steps
        if self._tell is not None:
            self._tell(self._done, self._total)
