"""A forked child finds every lock free, whoever held it in the parent."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import pillow_rnc
from pillow_rnc.models.fork_safety import ForkLock

FORK_WHILE_HELD = """
import os, threading
from pillow_rnc.models import runtime, torch_runtime, weights
from pillow_rnc.plugin import defaults
LOCKS = [weights._lock, runtime._lock, defaults._lock, torch_runtime._network_lock]
held, done = threading.Event(), threading.Event()
def hold():
    with LOCKS[0], LOCKS[1], LOCKS[2], LOCKS[3]:
        held.set()
        done.wait()
thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if not child:
    for lock in LOCKS:
        with lock:
            pass
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
done.set()
thread.join()
"""


def test_one_thread_at_a_time_holds_it() -> None:
    lock, entered = ForkLock(), threading.Event()

    def enter() -> None:
        with lock:
            entered.set()

    with lock:
        thread = threading.Thread(target=enter)
        thread.start()
        assert not entered.wait(0.05)
    thread.join(10)
    assert entered.is_set()


def test_an_error_inside_gives_it_back() -> None:
    lock = ForkLock()
    with pytest.raises(KeyError), lock:
        raise KeyError
    with lock:
        pass


def test_a_child_forked_while_another_thread_holds_the_locks_can_take_them() -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(pillow_rnc.__file__).parents[1])}
    command = [sys.executable, "-c", FORK_WHILE_HELD]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    assert result.stdout == "7\n", result.stderr
