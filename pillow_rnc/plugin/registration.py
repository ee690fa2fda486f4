"""Explicit registration with Pillow, and the defaults that a program sets once.

Importing `pillow_rnc` registers the format already; a call says so in a way that no linter deletes.
"""

from __future__ import annotations

import mimetypes as mimetypes_of_python
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from PIL import Image

from pillow_rnc.container.records import SIGNATURE
from pillow_rnc.errors import RncOptionError
from pillow_rnc.plugin.defaults import Defaults, current_defaults, set_for_block, set_for_process
from pillow_rnc.plugin.encoding import encode_images
from pillow_rnc.plugin.file_io import write_stream
from pillow_rnc.plugin.image_file import EXTENSION, FORMAT, MIME_TYPE, RncImageFile
from pillow_rnc.plugin.validation import (
    check_boolean,
    check_device,
    check_iterations,
    check_max_memory,
    check_max_threads,
    check_max_work,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import IO


def register() -> None:
    """Make Pillow know the format; a second time changes nothing."""
    Image.register_open(FORMAT, RncImageFile, _accept)
    Image.register_save(FORMAT, _save)
    Image.register_save_all(FORMAT, _save_all)
    Image.register_extension(FORMAT, EXTENSION)
    Image.register_mime(FORMAT, MIME_TYPE)


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
    """Make Pillow know the format, and set the defaults of this process; may be called again at any time.

    Args:
        iterations: What ``save`` stores when no rate is given, 1 to 16; 8 when None.
        device: Torch device that runs the network.
        keep_metadata: Carry EXIF, XMP, comment and resolution of an image over; its colour profile always is.
        max_work: Most pixels times iterations that a file may take to decode; when None, what the environment
            variable PILLOW_RNC_MAX_WORK says, or all iterations of the largest picture that Pillow opens unwarned.
        max_memory: Bytes that tiles at work may take together, 128 MiB when None; one alone may take more.
        max_threads: Threads that compute at a time, for all of the process while one file is worked on; when None
            or 0, two, and as many as torch takes by itself; a large number leaves NumPy's products as they are.
        mimetypes: Tell Python's own `mimetypes` about the extension, which it may know as RELAX NG.

    Raises:
        RncOptionError: A value is not allowed.
    """
    defaults = _changed(
        Defaults(),
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
    set_for_process(defaults)


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
    """Within this block, in this thread or task, use other defaults; what is None stays as it is.

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
    defaults = _changed(
        current_defaults(),
        keep_metadata=keep_metadata,
        iterations=iterations,
        device=device,
        max_work=max_work,
        max_memory=max_memory,
        max_threads=max_threads,
    )
    with set_for_block(defaults):
        yield


_CHECKS: dict[str, Callable[[object], object]] = {
    "keep_metadata": partial(check_boolean, "keep_metadata"),
    "iterations": check_iterations,
    "device": check_device,
    "max_work": check_max_work,
    "max_memory": check_max_memory,
    "max_threads": check_max_threads,
}


def _changed(base: Defaults, **values: object) -> Defaults:
    """Return other defaults in which what is not None replaces what was there."""
    checked: dict[str, Any] = {name: _CHECKS[name](value) for name, value in values.items() if value is not None}
    return replace(base, **checked)


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(SIGNATURE)


def _save(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:  # noqa: ARG001 -- Pillow's signature
    # Once, so that an error leaves nothing behind in the stream.
    write_stream(fp, encode_images([im], im.encoderinfo)[0])


def _save_all(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    frames = getattr(im, "n_frames", 1) + len(list(im.encoderinfo.get("append_images") or ()))
    if frames > 1:
        raise RncOptionError(f"save_all of {frames} frames is not possible, RNC holds one")
    _save(im, fp, filename)
