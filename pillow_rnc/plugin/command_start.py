"""What the command ``rnc`` needs before the rest of the package is imported, which takes half a second.

Ctrl-C in that time ends it as any other program, without a traceback; `pillow_rnc.cli` then takes care of signals.
Nothing happens in other programs.
"""

from __future__ import annotations

import os
import sys


def is_command() -> bool:
    """Return whether this process is ``rnc`` or ``python -m pillow_rnc``."""
    name = os.path.basename(sys.argv[0] if sys.argv else "")  # noqa: PTH119 -- pathlib takes as long as all the rest
    return name.rpartition(".")[0] == "rnc" or name == "rnc" or sys.orig_argv[1:3] == ["-m", "pillow_rnc"]


def end_on_interrupt() -> None:
    """Let Ctrl-C end this process at once, if it is the command."""
    if not is_command():
        return
    import signal
    import threading

    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, signal.SIG_DFL)


end_on_interrupt()
