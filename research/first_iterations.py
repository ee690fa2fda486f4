"""``python -m research.first_iterations OLD NEW -o SHEET``: colours of the first iterations, by two models.

Whole images of the gallery are coded; a part of each is shown after one, two and three iterations, a row for each
model. Printed is how far the colours are off: the mean absolute error of Cb and Cr (BT.601) in levels of 255.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import pillow_rnc
from pillow_rnc.evaluation.markdown_table import number, table
from research.gallery import PICTURES, load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ITERATIONS = (1, 2, 3)
SHOWN = PICTURES[:4]  # the photographs
_GAP_PX, _CAPTION_PX, _FONT_PX, _QUALITY = 4, 18, 13, 90


class Cell(NamedTuple):
    """An image after some iterations: bytes of the file, error of its colours in levels, and the image itself."""

    file_bytes: int
    colour_error: float
    shown: Image.Image


def colour_error(one: Image.Image, other: Image.Image) -> float:
    """Return the mean absolute error of Cb and Cr, in levels of 255."""
    planes = [np.asarray(image.convert("YCbCr"), np.float64)[..., 1:] for image in (one, other)]
    return float(np.abs(planes[0] - planes[1]).mean())


def cells_of(image: Image.Image, model: str) -> Iterator[Cell]:
    """Yield an image after each of `ITERATIONS`, coded by a model."""
    for iterations in ITERATIONS:
        file = io.BytesIO()
        image.save(file, "RNC", model=model, iterations=iterations)
        with Image.open(file) as opened:
            shown = opened.convert("RGB")
        yield Cell(file.tell(), colour_error(image, shown), shown)


def sheet(rows: Sequence[tuple[str, Image.Image, tuple[int, int, int, int], Sequence[Cell]]]) -> Image.Image:
    """Return the sheet: for each row a model, the original, a box of it, and what the model made of that."""
    boxes = [box for _, _, box, _ in rows]
    width = max(right - left for left, _, right, _ in boxes)
    heights = [bottom - top + _CAPTION_PX + _GAP_PX for _, top, _, bottom in boxes]
    drawn = Image.new("RGB", ((len(ITERATIONS) + 1) * (width + _GAP_PX) - _GAP_PX, sum(heights)), "white")
    draw, font = ImageDraw.Draw(drawn), ImageFont.load_default(_FONT_PX)
    y = 0
    for (model, original, box, cells), height in zip(rows, heights, strict=True):
        sizes = [f"after {k}, {cell.file_bytes} bytes" for k, cell in zip(ITERATIONS, cells, strict=True)]
        captions = [f"{model}; original", *sizes]
        for column, (caption, shown) in enumerate(zip(captions, [original, *(c.shown for c in cells)], strict=True)):
            draw.text((column * (width + _GAP_PX), y), caption, fill="black", font=font)
            drawn.paste(shown.crop(box), (column * (width + _GAP_PX), y + _CAPTION_PX))
        y += height
    return drawn


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 2 bad usage."""
    parser = argparse.ArgumentParser(prog="python -m research.first_iterations", description=__doc__)
    parser.add_argument("models", nargs=2, metavar="MODEL", help="old and new")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="SHEET", help="WebP")
    options = parser.parse_args(arguments)
    rows, lines = [], []
    try:
        for picture in SHOWN:
            image = load(picture)
            for model in options.models:
                cells = list(cells_of(image, model))
                rows.append((model, image, picture.box, cells))
                errors = [f"{number(cell.colour_error, 2)} ({cell.file_bytes} bytes)" for cell in cells]
                lines.append([picture.title, model, *errors])
        sheet(rows).save(options.out, "WEBP", quality=_QUALITY, method=6)
    except (OSError, pillow_rnc.RncError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(["Image", "Model", *(f"after {k}" for k in ITERATIONS)], lines))
    return 0


if __name__ == "__main__":
    sys.exit(main())
