"""Images per second of several workers, each pinned to a core of its own, by the tasks of ``rnc encode DIR -o DIR``.

Command line: ``python -m benchmarks.throughput DIR``. Rounds alternate between the numbers of workers, so that other
load on the machine affects all equally.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pillow_rnc.cli import folders
from pillow_rnc.cli.arguments import conversion_options
from pillow_rnc.cli.parser import argument_parser
from pillow_rnc.cli.storage import LocalFolder
from pillow_rnc.cli.tasks import ImageTask
from pillow_rnc.cli.workers import THREAD_VARIABLES, Workers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from multiprocessing.queues import SimpleQueue

    from psutil import Process

_WARM_UP_PICTURES = 3  # for each worker, to load the model and allocate the memory that it keeps
_SECONDS_PER_HOUR = 3600
_MANY = 10**9


@dataclass(frozen=True, slots=True)
class Round:
    """One pass over the images.

    Attributes:
        workers: How many.
        pictures: How many images.
        seconds: Wall time.
        cpu_seconds: CPU time of all workers.
        input_bytes: Of all inputs.
        output_bytes: Of all outputs.
        peak_bytes: Memory of the largest worker, read after each image.
    """

    workers: int
    pictures: int
    seconds: float
    cpu_seconds: float
    input_bytes: int
    output_bytes: int
    peak_bytes: int


class Crew:
    """Workers that are warmed up, and their processes."""

    def __init__(self, count: int, executor: Executor, before: set[Process]) -> None:
        self.count = count
        self.workers = Workers(executor, 2 * count)
        self._before = before

    @property
    def processes(self) -> set[Process]:
        """Return the processes that were started for this crew."""
        return set(_children()) - self._before

    def run(self, command: str, source: Path, target: Path, *options: str) -> Round:
        """Process all images below a folder.

        Raises:
            OSError: An image failed.
        """
        how = conversion_options(argument_parser("").parse_args([command, str(source), "-o", str(target), *options]))
        folder = LocalFolder(source)
        outputs = folders.plan_folder(folder, how).outputs
        tasks = [ImageTask(how, folder, name, LocalFolder(target), outputs[name]) for name in outputs]
        peak = sum_in = sum_out = 0
        cpu = self._cpu_seconds()
        started = time.perf_counter()
        for line in (result.line for result in folders.run_tasks(tasks, self.workers)):
            if line["error"] is not None:
                raise OSError(f"{line['input']}: {line['error']}")
            sum_in += line["input_bytes"] or 0
            sum_out += line["bytes"] or 0
            peak = max(peak, *(process.memory_info().rss for process in self.processes))
        seconds = time.perf_counter() - started
        return Round(self.count, len(tasks), seconds, self._cpu_seconds() - cpu, sum_in, sum_out, peak)

    def _cpu_seconds(self) -> float:
        times = [process.cpu_times() for process in self.processes]
        return float(sum(each.user + each.system for each in times))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 1 an image failed, 2 bad usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if cores and max(options.workers) > len(cores):
        parser.error(f"{max(options.workers)} workers need as many cores, this process may use {len(cores)}")
    directory = options.directory.absolute()
    how = conversion_options(argument_parser("").parse_args(["encode", str(directory)]))
    names = folders.plan_folder(LocalFolder(directory), how).outputs
    if not names:
        parser.error(f"no images below {directory}")
    pictures = [directory / name for name in names]
    for variable in THREAD_VARIABLES:
        os.environ[variable] = "1"
    start = _cluster if options.dask else _processes
    more = ["--model", options.model] if options.model else []
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        encoded = scratch / "encoded"
        crews = [stack.enter_context(start(count, cores)) for count in options.workers]
        try:
            for crew in crews:
                few = scratch / f"few-{crew.count}"
                _link(pictures, few, _WARM_UP_PICTURES * crew.count)
                crew.run("encode", few, scratch / f"warm-{crew.count}", *more)
            crews[0].run("encode", directory, encoded, *more)
            for command, source in (("encode", directory), ("decode", encoded)):
                rounds = [
                    crew.run(command, source, scratch / f"{command}-{crew.count}-{number}", *more)
                    for number in range(options.rounds)
                    for crew in crews
                ]
                print(table(command, rounds))
        except OSError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
    print(f"each worker on a core of its own: {'yes' if cores else 'not on this system'}", file=sys.stderr)
    return 0


def table(command: str, rounds: Sequence[Round]) -> str:
    """Return rounds as Markdown: medians, and the speed-up over the first number of workers."""
    first = rounds[0].workers
    alone = [each.pictures / each.seconds for each in rounds if each.workers == first]
    lines = [
        f"\n{command}, {rounds[0].pictures} images, {len(alone)} rounds\n",
        "| Workers | Images/s | Times the first | CPU s/image | Core hours for 10^9 | Peak MiB/worker |",
        "|---|---|---|---|---|---|",
    ]
    for workers in dict.fromkeys(each.workers for each in rounds):
        those = [each for each in rounds if each.workers == workers]
        speeds = [each.pictures / each.seconds for each in those]
        gain = statistics.median(speed / base for speed, base in zip(speeds, alone, strict=True))
        cost = statistics.median(each.cpu_seconds / each.pictures for each in those)
        peak = max(each.peak_bytes for each in those) / 2**20
        hours = cost * _MANY / _SECONDS_PER_HOUR
        lines.append(
            f"| {workers} | {statistics.median(speeds):.2f} | {gain:.2f} | {cost:.3f} | {hours:,.0f} | {peak:.0f} |"
        )
    sizes = [total / rounds[0].pictures for total in (rounds[0].input_bytes, rounds[0].output_bytes)]
    lines.append(f"\nbytes per image: {sizes[0]:,.0f} in, {sizes[1]:,.0f} out")
    return "\n".join(lines)


@contextmanager
def _processes(count: int, cores: Sequence[int]) -> Iterator[Crew]:
    before = set(_children())
    context = multiprocessing.get_context("spawn")
    queue: SimpleQueue[int] = context.SimpleQueue()
    for core in cores[:count]:
        queue.put(core)
    with ProcessPoolExecutor(count, context, _pin_next, (queue,) if cores else (None,)) as executor:
        yield Crew(count, executor, before)


@contextmanager
def _cluster(count: int, cores: Sequence[int]) -> Iterator[Crew]:
    from distributed import Client, LocalCluster

    before = set(_children())
    with (
        LocalCluster(n_workers=count, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        for core, address in zip(cores, client.nthreads(), strict=False):
            client.run(_pin, core, workers=[address])
        yield Crew(count, client.get_executor(pure=False), before)


def _pin_next(cores: SimpleQueue[int] | None) -> None:
    if cores is not None:
        _pin(cores.get())


def _pin(core: int) -> None:
    os.sched_setaffinity(0, {core})


def _children() -> list[Process]:
    from psutil import Process

    return list(Process().children(recursive=True))


def _link(pictures: Sequence[Path], target: Path, count: int) -> None:
    """Make a folder of ``count`` links to images, repeating them if there are fewer."""
    target.mkdir()
    for number in range(count):
        picture = pictures[number % len(pictures)]
        (target / f"{number}{picture.suffix}").symlink_to(picture)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput",
        description="Measure how many images of a folder workers encode and decode per second.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="folder of images")
    parser.add_argument(
        "--workers", type=_counts, default=(1, 2), metavar="N,N,...", help="numbers to compare (default: 1,2)"
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="passes of each (default: %(default)s)")
    parser.add_argument("--dask", action="store_true", help="workers of a local Dask cluster, not of a pool")
    parser.add_argument("--model", metavar="NAME", help="name, id, or .safetensors file of a model")
    return parser


def _counts(text: str) -> tuple[int, ...]:
    counts = tuple(int(part) for part in text.split(","))
    if min(counts) < 1:
        raise ValueError
    return counts


if __name__ == "__main__":
    sys.exit(main())
