"""How ``rnc`` ends when it is told to stop: at once, without leaving partial outputs, temporary files or workers.

A thread waits for the signals, because the main thread may be busy in a library for seconds. It does not raise an
exception there, which would wait for other threads and reach code that does not expect it. It removes what is
unfinished and ends the process.
Must not load Pillow, torch or numpy.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from pillow_rnc.plugin.file_io import remove_unfinished

if TYPE_CHECKING:
    from collections.abc import Iterable
    from multiprocessing.process import BaseProcess

STOP_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
"""The signals that ask a command to stop."""

BROKEN_PIPE_STATUS = 128 + 13
"""Exit status if nobody reads the output any more: as if by the signal SIGPIPE."""

_WORKERS_S = 0.8  # for workers to remove what they have not finished
_CLEANUP_S = 1.5
_ending = threading.Lock()


class Stopped(BaseException):
    """Ends a command early with an exit status; not an `Exception`, so handlers of file errors do not catch it."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def end_on_signals(signals: Iterable[int] = STOP_SIGNALS) -> None:
    """Let signals end this process with the status 128 + signal, as a shell would say; call it in the main thread.

    Signals that are ignored, such as SIGHUP below nohup, still are.
    """
    receiver, sender = socket.socketpair()
    sender.settimeout(0)
    signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    handled = {number for number in signals if signal.getsignal(number) != signal.SIG_IGN}
    for number in handled:
        signal.signal(number, _do_nothing)

    def wait() -> None:
        _keep_open = sender
        while received := receiver.recv(1):
            if received[0] in handled:
                end_process(128 + received[0])

    threading.Thread(target=wait, name="rnc-signals", daemon=True).start()


def _do_nothing(_signal: int, _frame: object) -> None:
    """Be a handler, without which Python would not wake the thread."""


def is_ending() -> bool:
    """Return whether nothing should be begun any more; for a moment also while a thread is in `wait_if_ending`."""
    return _ending.locked()


def wait_if_ending() -> None:
    """Wait for the end of this process, if it is ending.

    Call it before something is reported or recorded: while unfinished files are removed, whatever writes them fails.
    """
    with _ending:
        pass


def end_process(status: int) -> None:
    """End this process and its workers within two seconds, and remove what is unfinished. Does not return."""
    _ending.acquire()  # for good: a second thread waits here for the end
    cleanup = threading.Thread(target=_clean_up, daemon=True)
    with suppress(RuntimeError):  # the interpreter is ending, or there are no more threads
        cleanup.start()
        cleanup.join(_CLEANUP_S)
    os._exit(status)


def _clean_up() -> None:
    workers = _workers()
    for worker in workers:
        with suppress(Exception):
            worker.terminate()
    remove_unfinished()
    end = time.monotonic() + _WORKERS_S
    for worker in workers:
        with suppress(Exception):
            worker.join(max(0.0, end - time.monotonic()))
    for worker in workers:
        with suppress(Exception):
            worker.kill()
    remove_unfinished()


def _workers() -> list[BaseProcess]:
    if "multiprocessing" not in sys.modules:
        return []
    from multiprocessing import active_children

    return active_children()
