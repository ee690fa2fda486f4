"""Registration with Pillow, and the defaults that a program sets once.

Importing `pillow_rnc` registers the format already; an explicit call is one that no linter removes as unused.
"""

from __future__ import annotations

import mimetypes as mimetypes_of_python
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pillow_rnc.plugin.defaults import Defaults, current_defaults, set_for_block, set_for_process
from pillow_rnc.plugin.format_names import EXTENSION, MIME_TYPE
from pillow_rnc.plugin.handlers import register
from pillow_rnc.plugin.validation import validated

if TYPE_CHECKING:
    from collections.abc import Iterator


def register_rnc_opener(
    *,
    iterations: int | None = None,
    device: str = "cpu",
    keep_metadata: bool = True,
    max_work: int | None = None,
    max_memory: int | None = None,
    max_threads: int | None = None,
    mimetypes: bool = False,
) -> None:
    """Register the format with Pillow and set the defaults of this process; may be called again at any time.

    Args:
        iterations: What ``save`` stores when no rate is given, 1 to 32; 8 when None.
        device: What runs the network: "cpu", or a device of torch such as "cuda".
        keep_metadata: Carry over EXIF, XMP, comment and resolution of an image; its colour profile always is.
        max_work: Most pixels times iterations to decode of one file; if None, the value of the environment variable
            PILLOW_RNC_MAX_WORK, or all iterations of the largest image that Pillow opens without a warning.
        max_memory: Bytes that the tiles at work may take together; a single tile may take more. If None, 256 MiB with
            the native kernel, 128 MiB otherwise.
        max_threads: Threads that compute at a time, process-wide while a file is encoded or decoded. If None or 0: with
            the native kernel, one per tile, up to the number of cores (or the environment variable OMP_NUM_THREADS) and
            of tiles that `max_memory` holds (four of 768 pixels by default); two with NumPy; torch's own default with
            torch. A large number leaves NumPy's BLAS threads as they are.
        mimetypes: Register the media type with Python's `mimetypes` too, which may know the extension as RELAX NG.

    Raises:
        RncOptionError: A value is not allowed.
    """
    options = validated(
        keep_metadata=keep_metadata,
        iterations=iterations,
        device=device,
        max_work=max_work,
        max_memory=max_memory,
        max_threads=max_threads,
    )
    register()
    if mimetypes:
        mimetypes_of_python.add_type(MIME_TYPE, EXTENSION)
    set_for_process(Defaults().changed(options))


@contextmanager
def use_options(
    *,
    iterations: int | None = None,
    device: str | None = None,
    keep_metadata: bool | None = None,
    max_work: int | None = None,
    max_memory: int | None = None,
    max_threads: int | None = None,
) -> Iterator[None]:
    """Use other defaults within this block, in this thread or task; None leaves a default as it is.

    Args:
        iterations: As for `register_rnc_opener`.
        device: As for `register_rnc_opener`.
        keep_metadata: As for `register_rnc_opener`.
        max_work: As for `register_rnc_opener`.
        max_memory: As for `register_rnc_opener`.
        max_threads: As for `register_rnc_opener`.

    Raises:
        RncOptionError: A value is not allowed.
    """
    options = validated(
        keep_metadata=keep_metadata,
        iterations=iterations,
        device=device,
        max_work=max_work,
        max_memory=max_memory,
        max_threads=max_threads,
    )
    with set_for_block(current_defaults().changed(options)):
        yield
