"""`pillow_rnc.encode_batch` and `decode_batch`: many small images at once.

Images of one size run through the network together, because the matrix products of a single small one are too small to
be efficient.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING, Any

from PIL import Image

from pillow_rnc.errors import RncOptionError
from pillow_rnc.plugin.decoding import decode_together, noted_in_batch
from pillow_rnc.plugin.encoding import encode_images
from pillow_rnc.plugin.image_file import RncImageFile
from pillow_rnc.plugin.opening import open_image

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from PIL._typing import StrOrBytesPath

    from pillow_rnc.codec.execution import OnProgress


def encode_batch(images: Iterable[Image.Image], **params: Any) -> list[bytes]:  # noqa: ANN401 -- as Image.save
    """Return the contents of a file for each image, as ``save`` would write it.

    Of an empty batch, only the values of the keywords are checked, not whether there is such a model.

    Args:
        images: Images of any modes and sizes; those of one size are encoded together. Unchanged ones that were opened
            from `.rnc` files are copied or truncated.
        params: The keywords of ``save``, for all of them; `max_memory` limits how many are encoded at a time.

    Raises:
        RncOptionError: A keyword is not allowed, a target cannot be reached, or these are not several images.
        OSError: A mode cannot be written.
    """
    _check_several("images", images)
    copies: list[bytes | None] = []

    def not_copied() -> Iterator[Image.Image]:
        for index, im in enumerate(images):
            _check_image(index, im)
            copies.append(im.copied(params) if isinstance(im, RncImageFile) else None)
            if copies[-1] is None:
                yield im

    encoded = iter(encode_images(not_copied(), params))
    return [next(encoded) if copy is None else copy for copy in copies]


def decode_batch(
    files: Iterable[StrOrBytesPath | IO[bytes]],
    *,
    iterations: int | None = None,
    device: str | None = None,
    allow_truncated: bool = False,
    max_work: int | None = None,
    max_memory: int | None = None,
    max_threads: int | None = None,
    on_progress: OnProgress | None = None,
) -> list[RncImageFile]:
    """Return the loaded image of each file.

    Args:
        files: Paths or binary file objects; those of one size are decoded together.
        iterations: Decode at most this many of each file; like the other options, as for `pillow_rnc.open`.
        device: What runs the network: "cpu", or a device of torch.
        allow_truncated: Decode the complete iterations of truncated files.
        max_work: Most pixels times iterations to decode of one file.
        max_memory: Bytes that the tiles at work may take together; a single tile may take more.
        max_threads: Threads that compute at a time; 0 chooses as many as are useful.
        on_progress: Called with the number of steps done and their total, over all files.

    Raises:
        RncFileError: A file is damaged, uses a feature or model that is not available, or takes too much work; a note
            (`__notes__`) has its number.
        RncOptionError: An argument is not allowed, or these are not several files.
    """
    _check_several("files", files)
    with ExitStack() as unless_returned:
        images = []
        for index, fp in enumerate(files):
            with noted_in_batch(index):
                im = open_image(
                    fp,
                    iterations=iterations,
                    device=device,
                    allow_truncated=allow_truncated,
                    max_work=max_work,
                    max_memory=max_memory,
                    max_threads=max_threads,
                    on_progress=on_progress,
                )
                images.append(im)
                if im._exclusive_fp:  # noqa: SLF001 -- of our own class
                    unless_returned.callback(im.close)
                im.read_ahead()  # so that only one file is open at a time
        _load_together(images)
        unless_returned.pop_all()
    return images


def _check_several(name: str, value: object) -> None:
    """Raise if a batch is a single path, file or image; iterating over one gives letters, lines, or nothing of use.

    Raises:
        RncOptionError: It is one.
    """
    if isinstance(value, (str, bytes, os.PathLike, Image.Image)) or hasattr(value, "read"):
        msg = f"{name} {value!r:.80} is not allowed, give several, such as a list of one"
        raise RncOptionError(msg)


def _check_image(index: int, value: object) -> None:
    """Raise unless a member of a batch is an image.

    Raises:
        RncOptionError: It is something else, such as the path of one.
    """
    if not isinstance(value, Image.Image):
        msg = f"image {index} of the batch, counted from 0, is {value!r:.80}, give images: Image.open opens files"
        raise RncOptionError(msg)


def _load_together(images: Sequence[RncImageFile]) -> None:
    """Load images that were opened with the same options, have been read ahead, and are neither loaded nor shared.

    Raises:
        RncFileError: Codes of a file are damaged.
    """
    files = [im._read() for im in images]  # noqa: SLF001 -- of our own class
    if images:
        for im, samples in zip(images, decode_together(files, images[0]._options), strict=True):  # noqa: SLF001
            im._set_samples(samples.ravel().data)  # noqa: SLF001
            im.load()
