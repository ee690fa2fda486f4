"""A page that shows `.rnc` files at every iteration, for ``rnc view``; torch is not needed."""

from __future__ import annotations

from contextlib import suppress
from io import BytesIO
from itertools import accumulate
from typing import IO, TYPE_CHECKING

from PIL import ImageOps

import pillow_rnc
from pillow_rnc.evaluation.browser_decoder import can_decode
from pillow_rnc.evaluation.page import OURS, PageWriter, Record, prefix_points, source_record
from pillow_rnc.plugin.data_uri import lossless_data_uri

if TYPE_CHECKING:
    from collections.abc import Iterable

_TURNING = range(5, 9)  # orientations of Exif that exchange width and height
_ORIENTATION = 0x0112


def write_page(files: Iterable[tuple[str, bytes]], out: IO[bytes]) -> int:
    """Write a page that holds `.rnc` files and decodes them, and return its length in bytes.

    Of files of recurrent models, which browsers do not decode, it holds the image after each iteration.

    Args:
        files: Names and contents; truncated files are shown as far as they go.
        out: Binary stream.

    Raises:
        OSError: The page cannot be written.
        RncError: A file is damaged, its model is not installed, the decoder is missing, or the page becomes too long.
    """
    page = PageWriter(out, "rnc view")
    for name, data in files:
        try:
            record = _record(name, data)
        except pillow_rnc.RncFileError as error:
            raise type(error)(f"{name}: {error}") from error
        page.picture(record)
    about = {"codecs": {OURS: "RNC"}, "metrics": {}, "versions": {"pillow-rnc": pillow_rnc.__version__}}
    return page.finish(about)


def _record(name: str, data: bytes) -> Record:
    info = pillow_rnc.info(BytesIO(data))
    stored = info["iterations_stored"]
    if not stored:
        raise pillow_rnc.TruncatedError
    ends = list(accumulate(info["bytes_per_iteration"], initial=info["bytes_before_iterations"]))[1:]
    with suppress(pillow_rnc.TruncatedError):  # of a truncated file, the complete iterations are shown
        pillow_rnc.verify(BytesIO(data[: ends[-1]]))  # without bytes that follow the image
    with pillow_rnc.open(BytesIO(data), allow_truncated=True) as opened:
        width, height = opened.size
        if opened.getexif().get(_ORIENTATION) in _TURNING:
            width, height = height, width
    points = prefix_points(enumerate(ends, 1), width * height)
    record: Record = {"name": name, "width": width, "height": height, "full_size": (width, height), "files": {}}
    record["steps"] = [{OURS: {"point": point}} for point in points]
    model_id = bytes.fromhex(info["model"])
    if can_decode(model_id):
        return record | {"sources": {OURS: source_record(data[: ends[-1]], model_id)}, "copies": []}
    images = pillow_rnc.progressive(BytesIO(data), iterations=stored, allow_truncated=True)
    for image, step in zip(images, record["steps"], strict=True):
        step[OURS]["file"] = f"{OURS} {step[OURS]['point']['setting']}"
        record["files"][step[OURS]["file"]] = lossless_data_uri(ImageOps.exif_transpose(image))
    return record | {"sources": {}, "copies": [name]}
