"""How the codec computes: device, memory, threads and progress. None of it changes what a file holds.

Must not load torch or numpy: options are made before anything is encoded or decoded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

OnProgress = Callable[[int, int], object]
"""Called with the number of steps done and their total; a step is one iteration of one tile."""

DEFAULT_BATCH_MEMORY = 128 << 20
"""Bytes that the tiles of a batch may take together by default."""

DEFAULT_POOL_MEMORY = 256 << 20
"""Bytes that the tiles in the threads of the native kernel may take together by default: four of the usual size."""


@dataclass(frozen=True, slots=True)
class ExecutionOptions:
    """How the codec runs, the same for encoding and decoding.

    Attributes:
        device: What runs the network: "cpu", or a device of torch.
        max_memory: Bytes that the tiles at work may take together, None for the defaults above; a single tile may take
            more.
        max_threads: Threads that compute at a time; 0 chooses as many as are useful.
        on_progress: Called as the work proceeds, from the thread that encodes or decodes; what it raises ends the work.
    """

    device: str = "cpu"
    max_memory: int | None = None
    max_threads: int = 0
    on_progress: OnProgress | None = None

    @property
    def batch_memory(self) -> int:
        """Return how many bytes the tiles of a batch may take together."""
        return DEFAULT_BATCH_MEMORY if self.max_memory is None else self.max_memory

    @property
    def pool_memory(self) -> int:
        """Return how many bytes the tiles in the threads of the native kernel may take together."""
        return DEFAULT_POOL_MEMORY if self.max_memory is None else self.max_memory


class StepCounter:
    """Counts the steps of encoding or decoding, and reports each to a callback.

    Args:
        total: Number of steps in all.
        on_progress: What to call after each step, if anything.
    """

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self._done, self._total = 0, total
        self._on_progress = on_progress

    def add(self, steps: int = 1) -> None:
        """Count steps that are done."""
        self._done += steps
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)
