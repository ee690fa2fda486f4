"""What `import pillow_rnc` adds to `import PIL.Image`: `python -m benchmarks.import_time`.

Fresh processes in turns; the median of the differences. CPU time depends less on what else the machine does, and in an
import, which waits for nothing, it is the time that a user sees.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import NamedTuple

from benchmarks.stopwatch import process_times

LIMIT_MS = 25.0
_BASE = "import PIL.Image"
_WITH = "import PIL.Image, pillow_rnc"


class Added(NamedTuple):
    """Milliseconds that an import adds, medians over pairs of processes."""

    cpu_ms: float
    wall_ms: float
    base_cpu_ms: float


def measure(pairs: int, base: str = _BASE, program: str = _WITH) -> Added:
    """Return what a program takes longer than another; both are run once for nothing, to compile modules."""
    process_times(base)
    process_times(program)
    runs = [(process_times(base), process_times(program)) for _ in range(pairs)]
    cpu = statistics.median(long[0] - short[0] for short, long in runs)
    wall = statistics.median(long[1] - short[1] for short, long in runs)
    return Added(1e3 * cpu, 1e3 * wall, 1e3 * statistics.median(short[0] for short, _ in runs))


def main() -> int:
    """Measure, print, and return 1 if the import takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=31, help="pairs of processes (default: %(default)s)")
    parser.add_argument("--limit", type=float, default=LIMIT_MS, metavar="MS", help="default: %(default)s")
    options = parser.parse_args()
    added = measure(options.pairs)
    print(
        f"import pillow_rnc adds {added.cpu_ms:.1f} ms of CPU time ({added.wall_ms:.1f} ms on the clock) "
        f"to import PIL.Image; Python with the latter takes {added.base_cpu_ms:.1f} ms"
    )
    return int(added.cpu_ms > options.limit)


if __name__ == "__main__":
    sys.exit(main())
