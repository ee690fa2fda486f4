"""`pillow_rnc.open`: the control over decoding that `Image.open` has no arguments for."""

from __future__ import annotations

import os
import warnings
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING

from PIL import Image

from pillow_rnc.errors import SignatureError
from pillow_rnc.plugin.file_io import rewound
from pillow_rnc.plugin.image_file import RncImageFile
from pillow_rnc.plugin.options import LoadOptions
from pillow_rnc.plugin.validation import (
    check_boolean,
    check_callback,
    check_integer,
    check_iterations,
    check_max_memory,
    check_max_threads,
    check_max_work,
    check_region,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL._typing import StrOrBytesPath

    from pillow_rnc.codec.progress import OnProgress
    from pillow_rnc.plugin.validation import Region


def open_image(  # noqa: PLR0913 -- all but one are options
    fp: StrOrBytesPath | IO[bytes],
    *,
    iterations: int | None = None,
    region: Region | None = None,
    device: str | None = None,
    allow_truncated: bool = False,
    max_pixels: int | None = None,
    max_work: int | None = None,
    max_memory: int | None = None,
    max_threads: int | None = None,
    on_iteration: Callable[[int, int, Image.Image], None] | None = None,
    on_progress: OnProgress | None = None,
) -> RncImageFile:
    """Open an `.rnc` file as `Image.open` does, with control over the decoding.

    Args:
        fp: Path or binary file object, which is read from its start wherever it stands.
        iterations: Decode at most this many, 1 to 16, and read no further in the file.
        region: Left, upper, right, lower in pixels; the image is this part, and only its tiles are decoded.
        device: What runs the network: "cpu", or a device of torch such as "cuda"; "cpu" by default.
        allow_truncated: Show the whole iterations of a file that ends too early.
        max_pixels: Largest image to open; `Image.MAX_IMAGE_PIXELS` with its warning when None.
        max_work: Most pixels times iterations to decode; padding and overlap of tiles count.
        max_memory: Bytes that tiles at work may take together; one alone may take more.
        max_threads: Threads that compute at a time, 0 for as many as are of use; see `register_rnc_opener`.
        on_iteration: Called during `load` with the number of iterations done, their total, and the picture so far.
        on_progress: Called during `load` with the number of steps done and their total, from the thread that loads; a
            step is an iteration of a tile. What a callback raises ends `load`, which can be called again.

    Raises:
        RncFileError: The file is damaged, needs something that is not known here, or too much work.
        RncOptionError: An argument is not allowed.
    """
    check_boolean("allow_truncated", allow_truncated)
    if max_pixels is not None:
        check_integer("max_pixels", max_pixels, 1, None)
    if iterations is not None:
        check_iterations(iterations)
    if max_work is not None:
        check_max_work(max_work)
    if max_memory is not None:
        check_max_memory(max_memory)
    if max_threads is not None:
        check_max_threads(max_threads)
    try:
        im = RncImageFile(fp if isinstance(fp, (str, bytes, os.PathLike)) else rewound(fp))
    except SyntaxError as error:
        raise SignatureError(str(error)) from error
    with ExitStack() as unless_returned:
        if im._exclusive_fp:  # noqa: SLF001 -- of our own class
            unless_returned.callback(im.close)
        _check_size(im.size, max_pixels)
        im.restrict(
            LoadOptions(
                iterations=iterations,
                region=None if region is None else check_region(region, im.size),
                device=device,
                allow_truncated=allow_truncated,
                on_iteration=check_callback("on_iteration", on_iteration),
                on_progress=check_callback("on_progress", on_progress),
                max_work=max_work,
                max_memory=max_memory,
                max_threads=max_threads,
            )
        )
        unless_returned.pop_all()
    return im


def _check_size(size: tuple[int, int], max_pixels: int | None) -> None:
    """Raise or warn as `Image.open` does for pictures of unreasonable size."""
    pixels = size[0] * size[1]
    limit = max_pixels
    if limit is None:
        if Image.MAX_IMAGE_PIXELS is None:
            return
        limit = 2 * Image.MAX_IMAGE_PIXELS
        if Image.MAX_IMAGE_PIXELS < pixels <= limit:
            msg = (
                f"image of {pixels} pixels exceeds the limit of {Image.MAX_IMAGE_PIXELS}, could be a decompression bomb"
            )
            warnings.warn(msg, Image.DecompressionBombWarning, stacklevel=3)
    if pixels > limit:
        raise Image.DecompressionBombError(f"image of {pixels} pixels exceeds the limit of {limit}")
