"""Images other than photographs, to train on: ``python -m pillow_rnc.training.graphics FOLDER``.

Pages of text, scanned pages, line art, charts, screens, and drawings without smoothed edges, each with colours, sizes
and fonts of its own. Their energy lies in frequencies and blocks that photographs hardly have, so a schedule and an
entropy network that have never seen them spend too many bits on them.

The images depend on the seed, on Pillow and on the fonts alone. None is drawn as those of ``research.synthetic`` are,
which evaluation uses.
"""

from __future__ import annotations

import argparse
import string
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
    Colour = tuple[int, int, int]

SIZE = (640, 480)
_LETTERS = string.ascii_lowercase * 4 + string.ascii_uppercase + string.digits + ".,;:-()"
_SMOOTHING = 3  # line art is drawn at so many times its size
_PAPER: Colour = (255, 255, 255)


class Pen(NamedTuple):
    """What draws an image: random numbers, and the font files to choose from; none means Pillow's own font."""

    rng: np.random.Generator
    fonts: Sequence[Path]

    def font(self, smallest: int = 9, largest: int = 34) -> Font:
        """Return a font of some size; small ones are more frequent."""
        size = int(smallest + (largest - smallest) * self.rng.random() ** 2)
        if not self.fonts:
            return ImageFont.load_default(size)
        return ImageFont.truetype(self.fonts[int(self.rng.integers(len(self.fonts)))], size)

    def text(self, words: int) -> str:
        """Return random words."""
        lengths = self.rng.integers(1, 11, words)
        return " ".join("".join(self.rng.choice(list(_LETTERS), n)) for n in lengths)

    def colour(self, darkest: int = 0, lightest: int = 255) -> Colour:
        """Return a colour whose channels lie between two values."""
        red, green, blue = (int(value) for value in self.rng.integers(darkest, lightest + 1, 3))
        return red, green, blue

    def ink_and_paper(self) -> tuple[Colour, Colour]:
        """Return colours that differ clearly: mostly dark on light, one time in four light on dark."""
        grey = self.rng.random() < 0.5
        ink = (int(self.rng.integers(0, 90)),) * 3 if grey else self.colour(0, 130)
        paper = _PAPER if self.rng.random() < 0.6 else self.colour(200, 255)
        return (paper, ink) if self.rng.random() < 0.25 else (ink, paper)

    def place(self) -> tuple[int, int]:
        """Return a point of the image."""
        return int(self.rng.integers(SIZE[0])), int(self.rng.integers(SIZE[1]))


def _paragraph(draw: ImageDraw.ImageDraw, pen: Pen, box: tuple[int, int, int, int], ink: Colour) -> None:
    """Fill a box, (left, top, right, bottom), with lines of text."""
    left, top, right, bottom = box
    font = pen.font()
    height = int(draw.textbbox((0, 0), "Hg", font=font)[3] * 1.15) + 1
    while top + height < bottom:
        line = pen.text(24)
        while line and draw.textlength(line, font=font) > right - left:
            line = line[: len(line) * 3 // 4]
        draw.text((left, top), line, fill=ink, font=font)
        top += height


def _text_page(pen: Pen) -> Image.Image:
    ink, paper = pen.ink_and_paper()
    page = Image.new("RGB", SIZE, paper)
    draw = ImageDraw.Draw(page)
    columns = int(pen.rng.integers(1, 4))
    width = SIZE[0] // columns
    for column in range(columns):
        top = int(pen.rng.integers(4, 40))
        middle = int(pen.rng.integers(120, 360))
        for box in ((top, middle), (middle + 10, SIZE[1])):
            _paragraph(draw, pen, (column * width + 8, box[0], (column + 1) * width - 4, box[1]), ink)
    return page


def _scanned_page(pen: Pen) -> Image.Image:
    page = _text_page(pen).rotate(pen.rng.normal(0, 1.5), Image.Resampling.BICUBIC, fillcolor=pen.colour(215, 250))
    page = page.filter(ImageFilter.GaussianBlur(pen.rng.uniform(0.3, 1.2)))
    across = np.linspace(1, pen.rng.uniform(0.8, 1), SIZE[0])[None, :, None]
    grain = pen.rng.normal(0, pen.rng.uniform(1, 5), (SIZE[1], SIZE[0], 1))
    return Image.fromarray(np.clip(np.asarray(page) * across + grain, 0, 255).astype(np.uint8))


def _curves(pen: Pen, scale: int) -> Image.Image:
    ink, paper = pen.ink_and_paper()
    drawn = Image.new("RGB", (SIZE[0] * scale, SIZE[1] * scale), paper)
    draw = ImageDraw.Draw(drawn)
    for _ in range(int(pen.rng.integers(15, 70))):
        colour = ink if pen.rng.random() < 0.7 else pen.colour()
        width = int(pen.rng.integers(1, 4)) * scale
        (x, y), (x2, y2) = ((a * scale, b * scale) for a, b in (pen.place(), pen.place()))
        kind, radius = pen.rng.integers(4), int(pen.rng.integers(3, 110)) * scale
        if kind == 0:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=width)
        elif kind == 1:
            draw.arc((x - radius, y - radius, x + 2 * radius, y + radius), 0, 250, fill=colour, width=width)
        elif kind == 2:
            corners = [(int(a), int(b)) for a, b in np.array((x, y)) + pen.rng.integers(-radius, radius, (5, 2))]
            draw.polygon(corners, fill=pen.colour() if pen.rng.random() < 0.4 else None, outline=colour)
        else:
            draw.line((x, y, x2, y2), fill=colour, width=width)
    return drawn


def _line_art(pen: Pen) -> Image.Image:
    return _curves(pen, _SMOOTHING).resize(SIZE, Image.Resampling.LANCZOS)


def _hard_edges(pen: Pen) -> Image.Image:
    return _curves(pen, 1)


def _chart(pen: Pen) -> Image.Image:
    ink, paper = pen.ink_and_paper()
    chart = Image.new("RGB", SIZE, paper)
    draw = ImageDraw.Draw(chart)
    for y in range(40, SIZE[1] - 40, int(pen.rng.integers(25, 60))):
        draw.line((60, y, SIZE[0] - 20, y), fill=pen.colour(180, 230))
        draw.text((5, y - 8), pen.text(1), fill=ink, font=pen.font(9, 14))
    draw.rectangle((60, 30, SIZE[0] - 20, SIZE[1] - 40), outline=ink)
    for _ in range(int(pen.rng.integers(1, 5))):
        colour, count = pen.colour(0, 220), int(pen.rng.integers(5, 60))
        xs = np.linspace(62, SIZE[0] - 22, count)
        ys = np.clip(240 + np.cumsum(pen.rng.normal(0, 30, count)), 34, SIZE[1] - 42)
        if pen.rng.random() < 0.4:
            for x, y in zip(xs, ys, strict=True):
                draw.rectangle((int(x), int(y), int(x) + 7, SIZE[1] - 41), fill=colour)
        else:
            draw.line([(float(x), float(y)) for x, y in zip(xs, ys, strict=True)], fill=colour, width=2)
    _paragraph(draw, pen, (int(pen.rng.integers(60, 400)), 2, SIZE[0], 30), ink)
    return chart


def _screen(pen: Pen) -> Image.Image:
    first, last = (np.array(pen.colour(), float) for _ in range(2))
    along = np.linspace(0, 1, SIZE[1])[:, None, None] * pen.rng.integers(0, 2)
    ramp = np.broadcast_to(first + (last - first) * along, (SIZE[1], SIZE[0], 3))
    shown = Image.fromarray(ramp.astype(np.uint8))
    draw = ImageDraw.Draw(shown)
    for _ in range(int(pen.rng.integers(3, 9))):
        (x, y), (ink, paper) = pen.place(), pen.ink_and_paper()
        width, height = int(pen.rng.integers(120, 420)), int(pen.rng.integers(60, 300))
        draw.rectangle((x, y, x + width, y + height), fill=paper, outline=pen.colour(60, 200))
        bar = pen.colour()
        draw.rectangle((x, y, x + width, y + 20), fill=bar)
        draw.text(
            (x + 6, y + 3), pen.text(3), fill=tuple(255 * (sum(bar) < 380) for _ in range(3)), font=pen.font(9, 15)
        )
        _paragraph(draw, pen, (x + 8, y + 26, x + width - 30, y + height), ink)
        for icon in range(int(pen.rng.integers(0, 6))):
            left = x + width - 26, y + 26 + 22 * icon
            draw.ellipse((*left, left[0] + 16, left[1] + 16), fill=pen.colour())
    return shown


KINDS: tuple[Callable[[Pen], Image.Image], ...] = (
    _text_page,
    _scanned_page,
    _line_art,
    _hard_edges,
    _chart,
    _screen,
)


def graphic(index: int, fonts: Sequence[Path] = (), seed: int = 0) -> Image.Image:
    """Return image number ``index``, RGB of 640x480 pixels; the kinds take turns."""
    return KINDS[index % len(KINDS)](Pen(np.random.default_rng([seed, index]), fonts))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m pillow_rnc.training.graphics", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the PNG files go")
    parser.add_argument("--count", type=int, default=60, help="of images; default: %(default)s")
    parser.add_argument("--fonts", type=Path, help="folder of .ttf and .otf files; default: the font of Pillow")
    args = parser.parse_args(arguments)
    fonts = sorted(p for p in args.fonts.rglob("*") if p.suffix.lower() in {".ttf", ".otf"}) if args.fonts else []
    args.folder.mkdir(parents=True, exist_ok=True)
    for index in range(args.count):
        graphic(index, fonts).save(args.folder / f"graphic-{index:03}.png")


if __name__ == "__main__":
    main()
