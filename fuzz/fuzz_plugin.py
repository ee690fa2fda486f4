"""Any bytes open and load in Pillow, or are refused by an error that the documentation names."""

from __future__ import annotations

import io
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import model
from PIL import Image, ImageFile, UnidentifiedImageError

import pillow_rnc
from pillow_rnc.errors import CorruptError, RncFileError, RncOptionError

if TYPE_CHECKING:
    from collections.abc import Iterator

model.tiny()
REFUSALS = RncFileError, UnidentifiedImageError, Image.DecompressionBombError
MAX_PIXELS = 1 << 15
MAX_WORK = 1 << 16
"""So that a run takes a millisecond: what more pixels do is the same code again."""


def test_one_input(data: bytes) -> None:
    """The last byte says through which door, and with which options."""
    options = data[-1] if data else 0
    data = bytes(data[:-1])
    with pillow_rnc.use_options(max_work=MAX_WORK), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            DOORS[options % len(DOORS)](data, options // len(DOORS))
        except REFUSALS:
            return


@contextmanager
def _never_refused() -> Iterator[None]:
    """What comes of a file that was taken is taken as well."""
    try:
        yield
    except REFUSALS as error:
        raise AssertionError("what comes of a sound file is refused") from error


def _pillow(data: bytes, _choice: int) -> None:
    with Image.open(io.BytesIO(data), formats=["RNC"]) as im:
        if im.width * im.height <= MAX_PIXELS:
            im.load()
            assert len(im.tobytes()) == im.width * im.height * len(im.getbands())


def _tolerant(data: bytes, choice: int) -> None:
    """What is whole of a cut file is what a file of fewer iterations shows."""
    im = pillow_rnc.open(io.BytesIO(data), allow_truncated=True, max_pixels=MAX_PIXELS, iterations=1 + choice % 16)
    im.load()
    with _never_refused():
        shorter = io.BytesIO()
        try:
            pillow_rnc.truncate(io.BytesIO(data), shorter, iterations=im.iterations)
        except CorruptError as error:
            if "spare bytes" not in str(error):  # a tolerant decoder passes over them, a cut that keeps all does not
                raise
            return
        assert pillow_rnc.open(shorter).tobytes() == im.tobytes()


def _region(data: bytes, choice: int) -> None:
    whole = pillow_rnc.open(io.BytesIO(data), max_pixels=MAX_PIXELS)
    box = (whole.width * (choice % 4) // 4, whole.height * (choice // 4 % 4) // 4, whole.width, whole.height)
    part = pillow_rnc.open(io.BytesIO(data), region=box, max_pixels=MAX_PIXELS)
    assert part.tobytes() == whole.crop(box).tobytes()


def _progressive(data: bytes, _choice: int) -> None:
    *_, last = pillow_rnc.progressive(io.BytesIO(data), max_pixels=MAX_PIXELS)
    with _never_refused():
        assert last.tobytes() == pillow_rnc.open(io.BytesIO(data)).tobytes()


def _pieces(data: bytes, choice: int) -> None:
    """A parser that is fed in pieces takes what a file of the same bytes is."""
    step = 1 + (7 + 5 * choice) * len(data) // 100  # all that came before is opened again with each piece
    try:
        with ImageFile.Parser() as parser:
            for start in range(0, len(data), step):
                parser.feed(data[start : start + step])
            im = parser.close()
    except OSError:
        _refused(data)
        return
    with _never_refused():
        assert im.tobytes() == Image.open(io.BytesIO(data)).tobytes()


def _refused(data: bytes) -> None:
    try:
        im = Image.open(io.BytesIO(data))
        im.load()
    except (OSError, Image.DecompressionBombError):
        return
    raise AssertionError("only the parser refuses this")


def _verify(data: bytes, choice: int) -> None:
    """What `check` lets pass, `verify` does too; and what is cut to a size has it."""
    limit, shorter = 1 + len(data) * (choice % 8) // 7, io.BytesIO()
    with suppress(*REFUSALS, RncOptionError):  # damaged in what is kept, or longer with one iteration
        kept = pillow_rnc.truncate(io.BytesIO(data), shorter, target_size=limit)
        with _never_refused():
            assert len(shorter.getvalue()) <= limit
            assert pillow_rnc.info(shorter)["iterations"] == kept
    pillow_rnc.verify(io.BytesIO(data))
    with _never_refused(), Image.open(io.BytesIO(data)) as im:
        im.verify()


def _cut(data: bytes, choice: int) -> None:
    """Saving an unchanged picture cuts its file."""
    im = pillow_rnc.open(io.BytesIO(data), max_pixels=MAX_PIXELS)
    iterations = 1 + choice % im.iterations
    cut = io.BytesIO()
    im.save(cut, "RNC", iterations=iterations)
    with _never_refused():
        again = pillow_rnc.open(cut)
        assert again.iterations == iterations
        assert pillow_rnc.info(io.BytesIO(cut.getvalue()))["iterations_stored"] == iterations


def _draft(data: bytes, _choice: int) -> None:
    with Image.open(io.BytesIO(data), formats=["RNC"]) as im:
        if im.width * im.height <= MAX_PIXELS:
            im.thumbnail((8, 8))


DOORS = (_pillow, _tolerant, _region, _progressive, _pieces, _verify, _cut, _draft)


if __name__ == "__main__":
    import engine

    engine.run("fuzz_plugin")
