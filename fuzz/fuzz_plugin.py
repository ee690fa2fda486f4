"""Any bytes open and load in Pillow, or are rejected with a documented error."""

from __future__ import annotations

import io
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import model
from PIL import Image, ImageFile, UnidentifiedImageError

import pillow_rnc
from pillow_rnc.errors import RncFileError, RncOptionError, RncWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

model.tiny()
REJECTIONS = RncFileError, UnidentifiedImageError, Image.DecompressionBombError
MAX_PIXELS = 1 << 15
MAX_WORK = 1 << 16
"""Keeps a run at a millisecond; more pixels would only run the same code more often."""


def test_one_input(data: bytes) -> None:
    """The last byte selects the entry point and its options."""
    options = data[-1] if data else 0
    data = bytes(data[:-1])
    with pillow_rnc.use_options(max_work=MAX_WORK), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        warnings.simplefilter("ignore", RncWarning)
        try:
            ENTRY_POINTS[options % len(ENTRY_POINTS)](data, options // len(ENTRY_POINTS))
        except REJECTIONS:
            return


@contextmanager
def _never_rejected() -> Iterator[None]:
    """Files derived from an accepted file are accepted as well."""
    try:
        yield
    except REJECTIONS as error:
        raise AssertionError("a file derived from a valid file is rejected") from error


def _pillow(data: bytes, _choice: int) -> None:
    with Image.open(io.BytesIO(data), formats=["RNC"]) as im:
        if im.width * im.height <= MAX_PIXELS:
            im.load()
            assert len(im.tobytes()) == im.width * im.height * len(im.getbands())


def _tolerant(data: bytes, choice: int) -> None:
    """The complete iterations of a truncated file show the image of a file with fewer iterations."""
    im = pillow_rnc.open(io.BytesIO(data), allow_truncated=True, max_pixels=MAX_PIXELS, iterations=1 + choice % 16)
    im.load()
    with _never_rejected():
        shorter = io.BytesIO()
        pillow_rnc.truncate(io.BytesIO(data), shorter, iterations=im.iterations)
        assert pillow_rnc.open(shorter).tobytes() == im.tobytes()


def _region(data: bytes, choice: int) -> None:
    complete = pillow_rnc.open(io.BytesIO(data), max_pixels=MAX_PIXELS)
    box = (
        complete.width * (choice % 4) // 4,
        complete.height * (choice // 4 % 4) // 4,
        complete.width,
        complete.height,
    )
    part = pillow_rnc.open(io.BytesIO(data), region=box, max_pixels=MAX_PIXELS)
    assert part.tobytes() == complete.crop(box).tobytes()


def _progressive(data: bytes, _choice: int) -> None:
    *_, last = pillow_rnc.progressive(io.BytesIO(data), max_pixels=MAX_PIXELS)
    with _never_rejected():
        assert last.tobytes() == pillow_rnc.open(io.BytesIO(data)).tobytes()


def _pieces(data: bytes, choice: int) -> None:
    """A parser that is fed in pieces gives the same result as the file."""
    step = 1 + (7 + 5 * choice) * len(data) // 100  # everything before is opened again with each piece
    try:
        with ImageFile.Parser() as parser:
            for start in range(0, len(data), step):
                parser.feed(data[start : start + step])
            im = parser.close()
    except OSError:
        _rejected(data)
        return
    with _never_rejected():
        assert im.tobytes() == Image.open(io.BytesIO(data)).tobytes()


def _rejected(data: bytes) -> None:
    try:
        im = Image.open(io.BytesIO(data))
        im.load()
    except (OSError, Image.DecompressionBombError):
        return
    raise AssertionError("only the parser rejects this")


def _verify(data: bytes, choice: int) -> None:
    """`check` and `verify` agree; a file truncated to a size has at most that size."""
    limit, shorter = 1 + len(data) * (choice % 8) // 7, io.BytesIO()
    with suppress(*REJECTIONS, RncOptionError):  # damaged in the kept part, or longer with one iteration
        kept = pillow_rnc.truncate(io.BytesIO(data), shorter, target_size=limit)
        with _never_rejected():
            assert len(shorter.getvalue()) <= limit
            assert pillow_rnc.info(shorter)["iterations"] == kept
    pillow_rnc.verify(io.BytesIO(data))
    with _never_rejected(), Image.open(io.BytesIO(data)) as im:
        im.verify()


def _truncate(data: bytes, choice: int) -> None:
    """Saving an unchanged image truncates its file."""
    im = pillow_rnc.open(io.BytesIO(data), max_pixels=MAX_PIXELS)
    iterations = 1 + choice % im.iterations
    cut = io.BytesIO()
    im.save(cut, "RNC", iterations=iterations)
    with _never_rejected():
        again = pillow_rnc.open(cut)
        assert again.iterations == iterations
        assert pillow_rnc.info(io.BytesIO(cut.getvalue()))["iterations_stored"] == iterations


def _draft(data: bytes, _choice: int) -> None:
    with Image.open(io.BytesIO(data), formats=["RNC"]) as im:
        if im.width * im.height <= MAX_PIXELS:
            im.thumbnail((8, 8))


ENTRY_POINTS = (_pillow, _tolerant, _region, _progressive, _pieces, _verify, _truncate, _draft)


if __name__ == "__main__":
    import engine

    engine.run("fuzz_plugin")
