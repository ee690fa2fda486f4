"""A pool of threads over tiles: results in the order of the tiles, whatever thread made them.

Only for work whose steps release the interpreter's lock, such as the kernel's calls. The calling thread takes part, so
no more threads compute than are allowed; between its steps it counts those of the others, so callbacks come from it
alone. Threads live as long as one call: nothing is left for a forked child or for the end of the interpreter.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Generic, TypeVar

from pillow_rnc.entropy.kernel.memory import keep_memory, memory_kept_in
from pillow_rnc.errors import RncError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable

    import numpy as np
    from numpy.typing import NDArray

    from pillow_rnc.codec.execution import ExecutionOptions

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

_WAIT_S = 0.02  # between two looks at the steps that other threads have done
_BYTES_PER_PIXEL = 96  # of a tile in the kernel: its coder and network, its codes, and the samples of the one before
_BYTES_PER_TILE = 1 << 20  # beside: what a coder and a network take whatever the size, and the borders of their maps
_TASKS_AHEAD = 2  # for each thread: those at work, and as many that are done or wait


def pool_threads(sizes: Collection[tuple[int, ...]], execution: ExecutionOptions) -> int:
    """Return how many threads to use for tiles, of which there is memory for one at least.

    Args:
        sizes: Padded height and width of each tile in pixels, and perhaps more.
        execution: How to compute; a number of 0 threads stands for all cores that the process may use, or fewer if the
            environment variable OMP_NUM_THREADS has a lower number.
    """
    largest = max((size[0] * size[1] for size in sizes), default=1)
    in_memory = execution.pool_memory // (largest * _BYTES_PER_PIXEL + _BYTES_PER_TILE)
    return max(1, min(execution.max_threads or _cores(), len(sizes), in_memory))


def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    # BLAS and torch obey it too; job queues, Ray, Dask and `rnc -j` set it where several processes share a machine.
    # It may be a list, of one number for each level of nesting.
    limit = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return min(cores, int(limit)) if limit.isdecimal() and int(limit) else cores


class TilePool(Generic[_Task, _Result]):
    """Does one kind of work on many tasks.

    Args:
        work: Takes a task; yields after each step, a few milliseconds apart, and returns the result.
        threads: Threads that compute at a time, that of the caller included.
        on_step: Called after each step of any thread, in the calling thread.
    """

    def __init__(
        self, work: Callable[[_Task], Generator[None, None, _Result]], threads: int, on_step: Callable[[], object]
    ) -> None:
        self._work, self._threads, self._on_step = work, threads, on_step
        self._steps: deque[None] = deque()  # done in other threads and not told of yet
        self._stopped = False

    def results(self, tasks: Iterable[_Task]) -> Generator[_Result]:
        """Yield the result of each task, in their order; an error is raised where its result is due.

        Close the iterator when leaving it early: other threads end with the step that they are at.
        """
        process, waiting = os.getpid(), iter(tasks)
        others = None
        if self._threads > 1:
            others = ThreadPoolExecutor(self._threads - 1, "pillow-rnc", initializer=keep_memory)
        ahead: deque[tuple[_Task, Future[_Result]]] = deque()
        kept: list[NDArray[np.uint8]] = []  # memory of the tiles that this thread works on
        try:
            while True:
                while len(ahead) < _TASKS_AHEAD * self._threads and (task := next(waiting, None)) is not None:
                    future: Future[_Result] = Future()
                    if others is not None:
                        try:
                            future = others.submit(self._beside, task)
                        except RuntimeError:  # this system has no threads, or no more of them
                            others.shutdown(wait=False, cancel_futures=True)
                            others = None
                    ahead.append((task, future))
                if not ahead:
                    return
                with memory_kept_in(kept):
                    result = self._first(ahead, process)
                yield result
        finally:
            self._stopped = True
            if others is not None and os.getpid() == process:
                others.shutdown(cancel_futures=True)

    def _first(self, ahead: deque[tuple[_Task, Future[_Result]]], process: int) -> _Result:
        """Return the result of the first task, and remove it; meanwhile, work on what nobody has begun."""
        while True:
            task, future = ahead[0]
            done = future.done() and not future.cancelled()  # those of a pool that got no further thread are cancelled
            self._tell()  # afterwards, so that all steps of a task that is done are told of
            if os.getpid() != process:  # forked by a callback: the child has none of the other threads
                ahead.popleft()
                return self._here(task)
            if done:
                ahead.popleft()
                return future.result()
            own = next((pair for pair in ahead if pair[1].cancel()), None)
            if own is None:
                wait([future], _WAIT_S)
                continue
            ahead[ahead.index(own)] = own[0], self._outcome(own[0])

    def _outcome(self, task: _Task) -> Future[_Result]:
        """Return the result of a task, or what it raised on purpose, for when it is due."""
        future: Future[_Result] = Future()
        try:
            future.set_result(self._here(task))
        except (RncError, MemoryError) as error:
            future.set_exception(error)
        return future

    def _here(self, task: _Task) -> _Result:
        steps = self._work(task)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: _Result = end.value
                return result
            self._on_step()
            self._tell()

    def _beside(self, task: _Task) -> _Result:
        """Work on a task in another thread."""
        steps = self._work(task)
        while not self._stopped:
            try:
                next(steps)
            except StopIteration as end:
                result: _Result = end.value
                return result
            self._steps.append(None)
        raise CancelledError

    def _tell(self) -> None:
        """Tell of the steps that others have done."""
        while self._steps:
            self._steps.popleft()
            self._on_step()
