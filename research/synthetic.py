"""Images other than photographs, drawn by a command: ``python -m research.synthetic FOLDER``.

A page of text, a scanned document, line art, and a screen with windows. They are drawn from fixed seeds with Pillow's
own font, so every machine with the same Pillow has the same pixels.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

if TYPE_CHECKING:
    from collections.abc import Callable

SIZE = (600, 304)
_LINE = "The quick brown fox jumps over the lazy dog 0123456789, line {}"


def text_page() -> Image.Image:
    """Return black text on white."""
    page = Image.new("RGB", SIZE, "white")
    _write(ImageDraw.Draw(page), (5, 4), 17, "black", 14)
    return page


def scanned_page() -> Image.Image:
    """Return a page of text as a scanner sees it: turned, blurred, on paper with grain."""
    page = Image.new("RGB", SIZE, (244, 240, 228))
    _write(ImageDraw.Draw(page), (20, 10), 13, (40, 38, 46), 17)
    page = page.rotate(0.7, Image.Resampling.BICUBIC, fillcolor=(244, 240, 228)).filter(ImageFilter.GaussianBlur(0.7))
    grain = np.random.default_rng(1).normal(0, 3, (SIZE[1], SIZE[0], 1))
    return Image.fromarray(np.clip(np.asarray(page) + grain, 0, 255).astype(np.uint8))


def line_art() -> Image.Image:
    """Return thin dark curves and circles on white, smoothed as drawing programs do."""
    rng, scale = np.random.default_rng(2), 4
    drawn = Image.new("RGB", (SIZE[0] * scale, SIZE[1] * scale), "white")
    draw = ImageDraw.Draw(drawn)
    for _ in range(40):
        x, y, radius = (int(value) for value in rng.integers((0, 0, 10), (SIZE[0], SIZE[1], 90)) * scale)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=(20, 20, 60), width=5)
        ends = [int(value) for value in rng.integers(0, (*SIZE, *SIZE)) * scale]
        draw.line(ends, fill=(90, 20, 20), width=6)
    return drawn.resize(SIZE, Image.Resampling.LANCZOS)


def screen() -> Image.Image:
    """Return a screen: coloured windows with sharp edges, titles, a gradient and text."""
    rng = np.random.default_rng(3)
    ramp = np.linspace(60, 150, SIZE[0])
    pixels = np.broadcast_to(np.stack([ramp * 0.4, ramp * 0.8, ramp], 1), (SIZE[1], SIZE[0], 3))
    shown = Image.fromarray(pixels.astype(np.uint8))
    draw = ImageDraw.Draw(shown)
    for _ in range(5):
        x, y = (int(value) for value in rng.integers((0, 0), (SIZE[0] - 200, SIZE[1] - 120)))
        colour = tuple(int(value) for value in rng.integers(40, 220, 3))
        draw.rectangle((x, y, x + 260, y + 150), fill=(250, 250, 250), outline=(90, 90, 90))
        draw.rectangle((x, y, x + 260, y + 18), fill=colour)
        _write(draw, (x + 6, y + 3), 7, (30, 30, 30), 12)
    return shown


IMAGES: dict[str, Callable[[], Image.Image]] = {
    "text": text_page,
    "scan": scanned_page,
    "line-art": line_art,
    "screen": screen,
}


def _write(draw: ImageDraw.ImageDraw, at: tuple[int, int], lines: int, colour: object, size: int) -> None:
    font = ImageFont.load_default(size)
    for index in range(lines):
        draw.text((at[0], at[1] + (size + 3) * index), _LINE.format(index), fill=colour, font=font)  # type: ignore[arg-type]


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m research.synthetic", description=__doc__)
    parser.add_argument("folder", type=Path, help="where the PNG files go")
    folder: Path = parser.parse_args(arguments).folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in IMAGES.items():
        draw().save(folder / f"{name}.png")


if __name__ == "__main__":
    main()
