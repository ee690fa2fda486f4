"""Registration with Pillow, and the defaults that a program sets once.

Importing `pillow_rnc` registers the format already; an explicit call is one that no linter removes as unused.
"""

from __future__ import annotations

import mimetypes as mimetypes_of_python
import os
from contextlib import contextmanager, suppress
from io import BufferedRandom
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from pillow_rnc.container.records import SIGNATURE
from pillow_rnc.errors import RncOptionError
from pillow_rnc.plugin.defaults import Defaults, current_defaults, set_for_block, set_for_process
from pillow_rnc.plugin.encoding import encode_images
from pillow_rnc.plugin.file_io import write_stream
from pillow_rnc.plugin.image_file import EXTENSION, FORMAT, MIME_TYPE, RncImageFile
from pillow_rnc.plugin.validation import validated

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO


def register() -> None:
    """Register the format with Pillow; calling it again changes nothing."""
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
    """Register the format with Pillow and set the defaults of this process; may be called again at any time.

    Args:
        iterations: What ``save`` stores when no rate is given, 1 to 32; 8 when None.
        device: What runs the network: "cpu", or a device of torch such as "cuda".
        keep_metadata: Carry over EXIF, XMP, comment and resolution of an image; its colour profile always is.
        max_work: Most pixels times iterations to decode of one file; if None, the value of the environment variable
            PILLOW_RNC_MAX_WORK, or all iterations of the largest image that Pillow opens without a warning.
        max_memory: Bytes that the tiles of a batch may take together, 128 MiB if None; a single tile may take more.
        max_threads: Threads that compute at a time, process-wide while a file is encoded or decoded. If None or 0, two
            for NumPy, and for torch its own default. A large number leaves NumPy's BLAS threads as they are.
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


def _accept(prefix: bytes) -> bool:
    return prefix.startswith(SIGNATURE)


def _save(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    try:
        data = encode_images([im], im.encoderinfo)[0]
    except BaseException as error:
        if not isinstance(error, Exception):  # such as KeyboardInterrupt
            _remove_empty(fp, filename)
        raise
    # In one call, so that an error leaves nothing behind in the stream.
    write_stream(fp, data)


def _remove_empty(fp: IO[bytes], filename: str | bytes) -> None:
    """Remove the file that Pillow has opened for a save, and emptied; it does so itself after errors only."""
    # Pillow opens for reading and writing; a file that the program has opened is usually another kind of object.
    if type(fp) is BufferedRandom and fp.name == filename:
        target = Path(os.fsdecode(filename))
        with suppress(OSError):
            if target.is_file() and not target.is_symlink() and target.stat().st_size == 0:
                fp.close()
                target.unlink()


def _save_all(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    frames = getattr(im, "n_frames", 1) + len(list(im.encoderinfo.get("append_images") or ()))
    if frames > 1:
        raise RncOptionError(f"save_all of {frames} frames is not possible, RNC holds one")
    _save(im, fp, filename)
