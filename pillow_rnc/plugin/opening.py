"""`pillow_rnc.open`: the control over decoding that `Image.open` has no arguments for."""

from __future__ import annotations

import os
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING

from PIL import Image

from pillow_rnc.errors import SignatureError
from pillow_rnc.plugin.file_io import rewound
from pillow_rnc.plugin.image_file import RncImageFile
from pillow_rnc.plugin.options import LoadOptions
from pillow_rnc.plugin.reduction import ITERATIONS_AT
from pillow_rnc.plugin.validation import check_region, validated

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL._typing import StrOrBytesPath

    from pillow_rnc.codec.execution import OnProgress
    from pillow_rnc.container.tile_grid import Region


def open_image(  # noqa: PLR0913 -- all but one are options
    fp: StrOrBytesPath | IO[bytes],
    *,
    iterations: int | None = None,
    region: Region | None = None,
    scale: float | None = None,
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
        iterations: Decode at most this many, 1 to 32, and read no further in the file.
        region: Left, upper, right, lower in pixels; the image is this part, and only its tiles are decoded.
        scale: 1, 1/2, 1/4 or 1/8: decode at this size, rounded up, without making pixels of the whole size; unless
            `iterations` is given, of 8, 6 and 4 iterations at most. The region is in pixels of the whole size, and is
            extended to multiples of 1/scale. Colours are averaged without regard to alpha.
        device: What runs the network: "cpu", which is the default, or a device of torch such as "cuda". At 1/4 and 1/8
            of the size, where an embedded model needs no network, it is neither used nor checked.
        allow_truncated: Decode the complete iterations of a truncated file.
        max_pixels: Largest image to open, in pixels; if None, `Image.MAX_IMAGE_PIXELS` with its warning.
        max_work: Most pixels times iterations to decode; padding and overlap of tiles count.
        max_memory: Bytes that the tiles at work may take together; a single tile may take more.
        max_threads: Threads that compute at a time; 0 chooses as many as are useful; see `register_rnc_opener`.
        on_iteration: Called during `load` with the number of iterations done, their total, and the image so far.
        on_progress: Called during `load` with the number of steps done and their total, in the thread that loads; a
            step is one iteration of one tile. An exception of a callback ends `load`, which can be called again.

    Raises:
        RncFileError: The file is damaged, uses a feature or model that is not available, or takes too much work.
        RncOptionError: An argument is not allowed.
    """
    options = validated(
        iterations=iterations,
        device=device,
        allow_truncated=allow_truncated,
        max_pixels=max_pixels,
        max_work=max_work,
        scale=scale,
        max_memory=max_memory,
        max_threads=max_threads,
        on_iteration=on_iteration,
        on_progress=on_progress,
    )
    max_pixels = options.pop("max_pixels", None)
    try:
        # "" is the name that Image.open gives; Pillow 10.1 would keep None, which Hugging Face Datasets take as a path.
        im = _from_path(fp) if isinstance(fp, (str, bytes, os.PathLike)) else RncImageFile(rewound(fp), "")
    except SyntaxError as error:
        raise SignatureError(str(error)) from error
    with ExitStack() as unless_returned:
        if im._exclusive_fp:  # noqa: SLF001 -- of our own class
            unless_returned.callback(im.close)
        _check_size(im.size, max_pixels)
        if region is not None:
            options["region"] = check_region(region, im.size)
        options["reduction"] = round(1 / options.pop("scale", 1))
        options.setdefault("iterations", ITERATIONS_AT.get(options["reduction"]))
        im.restrict(LoadOptions.from_validated(options))
        unless_returned.pop_all()
    return im


def _from_path(path: StrOrBytesPath) -> RncImageFile:
    """Open the file of a path, which may be a pipe."""
    with ExitStack() as unless_returned:
        file = unless_returned.enter_context(Path(os.fsdecode(path)).open("rb"))
        source = rewound(file)
        im = RncImageFile(source, os.fspath(path))
        im._exclusive_fp = True  # noqa: SLF001 -- of our own class
        if source is file:
            unless_returned.pop_all()
        return im


def _check_size(size: tuple[int, int], max_pixels: int | None) -> None:
    """Raise or warn as `Image.open` does for images of unreasonable size."""
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
