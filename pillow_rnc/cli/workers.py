"""Who executes the tasks of a run over a folder: this process, processes of this machine, or a Dask cluster.

All three are executors of `concurrent.futures`, and know nothing of images.
"""

from __future__ import annotations

import os
import signal
import threading
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context, parent_process, resource_tracker
from typing import TYPE_CHECKING, Any, NamedTuple

from pillow_rnc.cli.stopping import Stopped, end_on_signals, end_process, is_ending, wait_if_ending
from pillow_rnc.errors import RncOptionError
from pillow_rnc.plugin.file_io import not_halved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Set how many threads torch and numpy use in a process; the first one also those of the native kernel."""
_TASKS_PER_JOB = 2
_TASKS_ON_CLUSTER = 10_000  # enough for an adaptive cluster to see the amount of work, and grow


class Workers(NamedTuple):
    """An executor, and how many tasks should be in flight at a time."""

    executor: Executor
    tasks: int


@contextmanager
def open_workers(jobs: int, dask: str | None = None) -> Iterator[Workers]:
    """Provide the workers of a run and end them with the block; tasks that have not begun by then are cancelled.

    Args:
        jobs: Processes of this machine; 0 for one on each core; 1 for a thread of this process.
        dask: Address of a Dask scheduler, to use its cluster instead.

    Raises:
        RncOptionError: Dask is not installed, or the address is malformed.
        OSError: No scheduler answers.
    """
    if dask is not None:
        with _cluster(dask) as executor:
            yield Workers(executor, _TASKS_ON_CLUSTER)
        return
    jobs = jobs or os.cpu_count() or 1
    executor = ThreadPoolExecutor(1) if jobs == 1 else ResilientProcessPool(jobs)
    wait = True
    try:
        yield Workers(executor, _TASKS_PER_JOB * jobs)
    except Stopped:
        wait = False  # the process ends at once, with its workers
        raise
    finally:
        executor.shutdown(wait=wait, cancel_futures=True)


def share_cores(jobs: int) -> None:
    """Limit the threads of each of several jobs to its share of the cores, unless the user has set a number.

    The libraries read this when they are loaded, which is later, the native kernel's pool when it begins with an image;
    child processes inherit it.
    """
    for variable in THREAD_VARIABLES:
        os.environ.setdefault(variable, str(max(1, (os.cpu_count() or 1) // jobs)))


class ResilientProcessPool(Executor):
    """Processes of this machine, any of which may die: of a lack of memory, or a fault in a library.

    That breaks a pool of `concurrent.futures`, with all its tasks. Each of these is then executed again, alone in a
    process of its own, so that only the task at fault fails, with a `BrokenExecutor`.
    """

    def __init__(self, jobs: int) -> None:
        share_cores(jobs)
        self._jobs = jobs
        self._pool = _processes(jobs)
        self._retries = ThreadPoolExecutor(1)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 -- of any task
        """Start a task as soon as a process is free."""
        outcome: Future[Any] = Future()

        def finish(attempt: Future[Any]) -> None:
            if not attempt.cancelled() and isinstance(attempt.exception(), BrokenExecutor):
                try:
                    again = self._retries.submit(retry)
                except RuntimeError as error:  # no more threads; what a callback raises would reach nobody
                    outcome.set_exception(error)
                else:
                    again.add_done_callback(partial(_copy_outcome, outcome=outcome))
            else:
                _copy_outcome(attempt, outcome)

        def retry() -> Any:  # noqa: ANN401 -- of any task
            with _processes(1) as pool:
                return _submit(pool, fn, *args, **kwargs).result()

        try:
            attempt = _submit(self._pool, fn, *args, **kwargs)
        except BrokenExecutor:
            self._pool = _processes(self._jobs)
            attempt = _submit(self._pool, fn, *args, **kwargs)
        attempt.add_done_callback(finish)
        return outcome

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002 -- as its base
        """Wait for the tasks that have begun."""
        self._pool.shutdown(wait=wait, cancel_futures=cancel_futures)
        self._retries.shutdown(wait=wait, cancel_futures=cancel_futures)


def _processes(jobs: int) -> ProcessPoolExecutor:
    # Spawned, because a fork copies locks that other threads may hold.
    with _environment("PYTHONWARNINGS", _QUIET_TRACKER), _terminal_signals_blocked():
        resource_tracker.ensure_running()
    return ProcessPoolExecutor(jobs, get_context("spawn"), _follow_parent)


# The process that removes the semaphores of a pool; if the pool was ended, it does so with a warning.
_QUIET_TRACKER = "ignore::UserWarning:multiprocessing.resource_tracker"


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    old = os.environ.get(name)
    os.environ[name] = value if not old else f"{old},{value}"
    try:
        yield
    finally:
        if old is None:
            del os.environ[name]
        else:
            os.environ[name] = old


def _submit(pool: ProcessPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ANN401 -- of any task
    """Start a task, and a process for it if there is none that is free.

    A process that has only begun to start would answer Ctrl-C, or the end of its parent, with a traceback. So none is
    started once the parent is ending, such as for the tasks of a pool that the end breaks.
    """
    while True:
        with not_halved(), _terminal_signals_blocked():
            if not is_ending():  # asked within the block, for whose end those wait that end the process
                return pool.submit(fn, *args, **kwargs)
        wait_if_ending()


@contextmanager
def _terminal_signals_blocked() -> Iterator[None]:
    """Block what a terminal sends to all processes, in this thread, and in processes that are started in the block."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def _follow_parent() -> None:
    """Leave interrupts to the parent, and end with it even if it is killed: the pool alone would wait for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_on_signals({signal.SIGTERM})
    parent = parent_process()
    assert parent is not None

    def end() -> None:
        parent.join()
        end_process(1)

    threading.Thread(target=end, daemon=True).start()


def _copy_outcome(attempt: Future[Any], outcome: Future[Any]) -> None:
    if attempt.cancelled():
        outcome.cancel()
    elif (error := attempt.exception()) is not None:
        outcome.set_exception(error)
    else:
        outcome.set_result(attempt.result())


@contextmanager
def _cluster(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client
        from distributed.comm import get_address_host_port
    except ModuleNotFoundError as error:
        raise RncOptionError("--dask needs the package distributed: pip install 'pillow-rnc[dask]'") from error
    try:
        get_address_host_port(address)
    except ValueError as error:
        raise RncOptionError(f"--dask {address}: {error}") from error
    with Client(address, set_as_default=False) as client:
        yield client.get_executor(pure=False)
