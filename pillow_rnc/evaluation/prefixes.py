"""A drawing that explains the format: prefixes of a file, and the image that each of them shows."""

from __future__ import annotations

import argparse
import io
import sys
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image, ImageDraw, ImageFont

import pillow_rnc
from pillow_rnc.evaluation.arguments import iteration_counts
from pillow_rnc.evaluation.photographs import load_photograph, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

_ITERATIONS = (2, 4, 8, 16)
_PANEL_PX = (400, 300)
_GAP_PX = 20
_BAR_PX = 22
_FONT_PX = 24
_QUALITY = 92  # of the WebP; its losses are invisible beside the differences between iterations
_BACKGROUND, _INK, _FAINT = "white", "#1c1d1f", "#63666b"
_REST, _THERE = "#dcdde0", "#0b62c4"


class Prefix(NamedTuple):
    """The first bytes of a file, and the image in them."""

    iterations: int
    bytes_: int
    picture: Image.Image


def main(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        image = load_photograph(options.photo) if options.photo else _cat()
        file = io.BytesIO()
        chosen = {"model": options.model} if options.model else {}
        image.save(file, "RNC", iterations=max(options.iterations), **chosen)
        drawn = explain(file.getvalue(), options.iterations)
        drawn.save(options.out, quality=_QUALITY)
    except (OSError, ValueError, pillow_rnc.RncError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.out}: {options.out.stat().st_size} bytes")
    return 0


def prefixes(file: bytes, iterations: Sequence[int]) -> list[Prefix]:
    """Return the image in the first bytes of a file, as many as hold each number of iterations."""
    ends = iteration_ends(file)
    found = []
    for count in iterations:
        # The very first bytes, not a file that was cut with care.
        with pillow_rnc.open(io.BytesIO(file[: ends[count - 1]]), allow_truncated=True) as im:
            im.load()
            found.append(Prefix(im.iterations, ends[count - 1], im.convert("RGB")))
    return found


def iteration_ends(file: bytes) -> list[int]:
    """Return how many bytes of a file hold 1, 2, ... iterations."""
    said = pillow_rnc.info(io.BytesIO(file))
    return list(accumulate(said["bytes_per_iteration"], initial=said["bytes_before_iterations"]))[1:]


def explain(file: bytes, iterations: Sequence[int]) -> Image.Image:
    """Return a drawing: an image for each prefix, over a bar that shows how much of the file it takes.

    Args:
        file: A whole `.rnc` file.
        iterations: Counts to show, at most those that the file holds.
    """
    ends = iteration_ends(file)
    shown = prefixes(file, iterations)
    width = _GAP_PX + len(shown) * (_PANEL_PX[0] + _GAP_PX)
    height = _PANEL_PX[1] + _BAR_PX + 2 * _FONT_PX + 4 * _GAP_PX
    drawing = Image.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(drawing)
    font = ImageFont.load_default(_FONT_PX)
    for index, prefix in enumerate(shown):
        left, top = _GAP_PX + index * (_PANEL_PX[0] + _GAP_PX), _GAP_PX
        drawing.paste(_panel(prefix.picture), (left, top))
        top += _PANEL_PX[1] + _GAP_PX
        _draw_bar(draw, (left, top), ends, prefix.bytes_)
        top += _BAR_PX + _GAP_PX // 2
        draw.text((left, top), f"the first {prefix.bytes_} bytes of {ends[-1]}", fill=_INK, font=font)
        plural = "s" * (prefix.iterations != 1)
        draw.text((left, top + _FONT_PX + 10), f"{prefix.iterations} iteration{plural}", fill=_FAINT, font=font)
    return drawing


def _draw_bar(draw: ImageDraw.ImageDraw, corner: tuple[int, int], ends: Sequence[int], filled: int) -> None:
    """Draw the file as a bar with a notch at the end of each iteration, filled up to a number of bytes."""
    left, top = corner
    scale = _PANEL_PX[0] / ends[-1]
    draw.rectangle((left, top, left + _PANEL_PX[0] - 1, top + _BAR_PX), fill=_REST)
    draw.rectangle((left, top, left + round(filled * scale) - 1, top + _BAR_PX), fill=_THERE)
    for end in ends[:-1]:
        draw.line((left + end * scale, top, left + end * scale, top + _BAR_PX), fill=_BACKGROUND, width=2)


def _panel(picture: Image.Image) -> Image.Image:
    """Return the middle of an image at the size of a panel, as it is or scaled so that it fills it."""
    factor = max(_PANEL_PX[0] / picture.width, _PANEL_PX[1] / picture.height)
    if factor > 1:
        picture = picture.resize((round(picture.width * factor), round(picture.height * factor)))
    left, top = (picture.width - _PANEL_PX[0]) // 2, (picture.height - _PANEL_PX[1]) // 2
    return picture.crop((left, top, left + _PANEL_PX[0], top + _PANEL_PX[1]))


def _cat() -> Image.Image:
    """Return the cat Chelsea, 451x300; CC0 by the photographer, Stefan van der Walt."""
    from skimage import data

    return plain(Image.fromarray(data.chelsea()))  # type: ignore[no-untyped-call]  # it has no types


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pillow_rnc.evaluation prefixes",
        description="Draw the images that growing prefixes of a file show.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="the drawing, such as docs/one-file.webp")
    parser.add_argument(
        "photo", type=Path, nargs="?", metavar="PHOTO", help="an image file (default: the cat of scikit-image)"
    )
    parser.add_argument(
        "--iterations",
        type=iteration_counts,
        default=_ITERATIONS,
        metavar="1,2,...",
        help="iteration counts (default: 2,4,8,16)",
    )
    parser.add_argument("--model", metavar="NAME", help="model to save with (default: the plugin's)")
    return parser
