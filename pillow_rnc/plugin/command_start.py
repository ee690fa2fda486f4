"""What the command ``rnc`` needs before the rest of the package is imported, which takes half a second.

Ctrl-C in that time ends it as any other program, without a traceback; `pillow_rnc.cli` then takes care of signals.
Nothing happens in other programs.
"""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import PurePath


def is_command() -> bool:
    """Return whether this process is ``rnc`` or ``python -m pillow_rnc``."""
    return PurePath(sys.argv[0] if sys.argv else "").stem == "rnc" or sys.orig_argv[1:3] == ["-m", "pillow_rnc"]


def end_on_interrupt() -> None:
    """Let Ctrl-C end this process at once, if it is the command."""
    if (
        is_command()
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, signal.SIG_DFL)


end_on_interrupt()
