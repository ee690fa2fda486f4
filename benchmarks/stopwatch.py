"""Seconds and bytes of memory, of functions here and of programs in fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Stopwatch:
    """Measures the best of several runs.

    Attributes:
        repeat: How many runs.
        cpu: Measure CPU time of all threads instead of wall time: on a busy machine it is the better measure of the
            work, but it does not show the gain from a second core.
    """

    repeat: int = 3
    cpu: bool = False

    def seconds(self, function: Callable[[], object]) -> float:
        """Return the seconds of the best run."""
        clock = time.process_time if self.cpu else time.perf_counter
        best = float("inf")
        for _ in range(self.repeat):
            start = clock()
            function()
            best = min(best, clock() - start)
        return best

    def program_seconds(self, *program: str | Path) -> float:
        """Return the seconds of the best run of a fresh Python process: a program, and its arguments."""
        return min(process_times(*program)[0 if self.cpu else 1] for _ in range(self.repeat))


def process_times(*program: str | Path) -> tuple[float, float]:
    """Return CPU time and wall time of a fresh Python process, of a program and its arguments; on Unix only."""
    import resource

    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "-c", *map(str, program)], check=True)  # noqa: S603 -- our own
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


_TELL_PEAK = """
from pathlib import Path
print(int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) << 10)
"""


def peak_of_program(*program: str | Path) -> float:
    """Return the peak memory in MiB of a fresh Python process that prints nothing: a program, and its arguments."""
    source, *arguments = map(str, program)
    command = [sys.executable, "-c", source + _TELL_PEAK, *arguments]
    result = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 -- our own program
    return int(result.stdout) / _MIB


def machine() -> Mapping[str, str]:
    """Return facts about the machine."""
    model = "unknown"
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return {
        "CPU": model,
        "cores": str(os.cpu_count()),
        "threads of matrix products": os.environ.get("OMP_NUM_THREADS", "all"),
        "Python": sys.version.split()[0],
        "load average": load,
    }
