"""Signals of a program that a test starts and stops."""

from __future__ import annotations

import signal

STOPS = ["SIGINT", "SIGTERM", "SIGHUP"]


def with_default_signals() -> None:
    """Undo what this process inherited: a shell lets its background jobs ignore SIGINT, and nohup SIGHUP.

    For ``preexec_fn``: it calls nothing that a fork could have locked.
    """
    for name in STOPS:
        signal.signal(getattr(signal, name), signal.SIG_DFL)
