"""The warnings that work on one file gives, collected for the record of that file.

Libraries warn through `warnings`, which knows no files; but a file is worked on in one thread.
"""

from __future__ import annotations

import sys
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from PIL import Image

from pillow_rnc.cli.option_names import in_terms_of_command_line
from pillow_rnc.errors import RncWarning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class _Collector(threading.local):
    """The texts that this thread collects, or None."""

    texts: list[str] | None = None


_collector = _Collector()


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Provide the texts of the warnings that this thread gives in the block, each once."""
    _install()
    outer, _collector.texts = _collector.texts, []
    try:
        yield _collector.texts
    finally:
        _collector.texts = outer


class _Show:
    """Takes the place of `warnings.showwarning`."""

    def __init__(self, other: Callable[..., None]) -> None:
        self._other = other

    def __call__(  # noqa: PLR0917 -- as what it stands for
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        """Collect a warning, or show it as before if this thread works on no file."""
        if _collector.texts is None or file is not None:
            self._other(message, category, filename, lineno, file, line)
            return
        text = in_terms_of_command_line(str(message).strip())
        if text not in _collector.texts:
            _collector.texts.append(text)


def _install() -> None:
    """Collect from now on; nothing happens if that is so already."""
    if isinstance(warnings.showwarning, _Show):
        return
    warnings.showwarning = _Show(warnings.showwarning)
    if not sys.warnoptions:  # nobody asked for something else
        # For every file anew; Python would only show the first one of a line of code.
        warnings.filterwarnings("always", category=UserWarning, module=r"PIL\.")
        warnings.simplefilter("always", Image.DecompressionBombWarning)
        warnings.simplefilter("always", RncWarning)
