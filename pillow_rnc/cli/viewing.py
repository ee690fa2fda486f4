"""`rnc view`: a page with `.rnc` files and their decoder, opened in the browser of the system."""

from __future__ import annotations

import sys
import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from pillow_rnc.cli.destinations import STANDARD_STREAM
from pillow_rnc.evaluation import view
from pillow_rnc.plugin.file_io import atomic_replace

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from pillow_rnc.cli.reporting import Record


def run(arguments: argparse.Namespace) -> Record:
    """Write the page of some files; without ``--page``, to the folder for temporary files, and open it.

    Raises:
        OSError: A file cannot be read, or the page cannot be written.
        RncError: As of `view.write_page`.
    """
    page = arguments.page
    if page is None:
        # It stays: the browser reads it after this process has ended.
        page = Path(tempfile.mkdtemp(prefix="rnc-view-")) / "view.html"
    with atomic_replace(page) as temporary, temporary.open("wb") as out:
        page_bytes = view.write_page(_contents(arguments.files), out)
    record = {"page": str(page), "images": len(arguments.files), "page_bytes": page_bytes}
    if arguments.page is None and not webbrowser.open(page.resolve().as_uri()):
        record["warning"] = "no browser could be started"
    return record


def _contents(files: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    for path in files:
        if path == STANDARD_STREAM:
            yield "standard input", sys.stdin.buffer.read()
        else:
            yield path.name, path.read_bytes()
