"""The save handlers: images to streams, all bytes in one call."""

from __future__ import annotations

import os
from contextlib import suppress
from io import BufferedRandom
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pillow_rnc.errors import RncOptionError
from pillow_rnc.plugin.encoding import encode_images
from pillow_rnc.plugin.file_io import write_stream
from pillow_rnc.plugin.frames import UNREADABLE, frame_count

if TYPE_CHECKING:
    from PIL import Image


def save(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    """Write an image to a stream that Pillow has opened, or the program."""
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


def save_all(im: Image.Image, fp: IO[bytes], filename: str | bytes) -> None:
    """Write an image that has a single frame.

    Raises:
        RncOptionError: There are more, or they cannot be counted.
    """
    try:
        count = frame_count(im)
    except UNREADABLE as error:
        raise RncOptionError(f"save_all is not possible, frames behind the first cannot be read: {error}") from error
    frames = count + len(list(im.encoderinfo.get("append_images") or ()))
    if frames > 1:
        raise RncOptionError(f"save_all of {frames} frames is not possible, RNC holds one")
    save(im, fp, filename)
