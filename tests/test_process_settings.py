"""Settings of the process are restored by the last thread that overrides them; a forked child finds every lock free."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import pillow_rnc
from pillow_rnc.fork_safety import ForkLock
from pillow_rnc.models.process_settings import ProcessSetting

if TYPE_CHECKING:
    from collections.abc import Sequence

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


class Knob:
    """A number that belongs to the process, or to each thread."""

    def __init__(self, value: int = 8) -> None:
        self.value = value

    def setting(self, *, per_thread: bool = False) -> ProcessSetting[int, int]:
        return ProcessSetting(lambda found: self.value if found is None else found, self._set, per_thread=per_thread)

    def _set(self, found: int, limits: Sequence[int]) -> None:
        self.value = min([found, *limits])


def test_the_lowest_request_holds_and_the_last_to_leave_restores() -> None:
    knob = Knob()
    setting = knob.setting()
    first, second = setting.override(3), setting.override(5)
    first.__enter__()
    second.__enter__()
    assert knob.value == 3
    first.__exit__(None, None, None)
    assert knob.value == 5
    second.__exit__(None, None, None)
    assert knob.value == 8


def test_what_is_restored_is_read_anew_each_time() -> None:
    knob = Knob()
    setting = knob.setting()
    with setting.override(2):
        pass
    knob.value = 6
    with setting.override(2):
        assert knob.value == 2
    assert knob.value == 6


def test_a_setting_of_each_thread_follows_its_own_request() -> None:
    knob = Knob()
    setting = knob.setting(per_thread=True)
    with setting.override(3):
        with setting.override(5):  # as another thread would
            assert knob.value == 5
        assert knob.value == 8, "this thread has its number back"


def test_an_error_inside_restores() -> None:
    knob = Knob()
    with pytest.raises(KeyError), knob.setting().override(1):
        raise KeyError
    assert knob.value == 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is nothing to test without fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_forked_meanwhile_starts_with_what_was_found() -> None:
    knob = Knob()
    setting = knob.setting()
    with setting.override(2):
        child = os.fork()
        if not child:
            restored = knob.value
            with setting.override(4):
                lowered = knob.value
            os._exit((restored, lowered, knob.value) != (8, 4, 8))
        _, status = os.waitpid(child, 0)
        assert knob.value == 2

    assert status == 0
    assert knob.value == 8


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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is nothing to test without fork")
def test_a_child_forked_while_another_thread_holds_the_locks_can_take_them() -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(pillow_rnc.__file__).parents[1])}
    command = [sys.executable, "-c", FORK_WHILE_HELD]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)

    assert result.stdout == "7\n", result.stderr
