"""How long a run goes on, and how often it saves and reports."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Pace:
    """How long to run and how often to save and report, in seconds; ``sync_steps`` is how often the clock is read.

    Reading it waits for the device. A CPU is waited for anyway; a GPU should work many steps ahead.
    """

    minutes: float
    save_seconds: float = 180.0
    report_seconds: float = 30.0
    validate_seconds: float = 600.0
    sync_steps: int = 1
    start: float = field(default_factory=time.monotonic)
    peak_macs: float | None = None  # multiply-accumulates per second of the device, for the log
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def of_cpu(cls, minutes: float, save_seconds: float = 180.0) -> Pace:
        """Return a pace that counts CPU time, of all threads, from now."""
        return cls(minutes, save_seconds, start=time.process_time(), clock=time.process_time)

    def with_peak(self, peak_macs: float) -> Pace:
        """Return the same pace, with the peak speed of the device for the log."""
        return replace(self, peak_macs=peak_macs)

    @property
    def seconds_left(self) -> float:
        """The time left."""
        return self.start + 60 * self.minutes - self.clock()
