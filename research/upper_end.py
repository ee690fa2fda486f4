"""``python -m research.upper_end DIR``: PSNR of the last iterations, and what JPEG 4:4:4 needs for it.

Whole files are counted. JPEG has optimized Huffman tables; its size at a PSNR is interpolated between quality settings,
linear in the logarithm of the bytes, on each image. ``--tiny`` measures squares of 1 to 32 pixels of the first image
in place of whole images.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from pillow_rnc.evaluation.arguments import iteration_counts
from pillow_rnc.evaluation.markdown_table import number, table
from pillow_rnc.evaluation.metrics import psnr
from research.model_arguments import chosen_images, chosen_weights, model_parser

if TYPE_CHECKING:
    from collections.abc import Sequence

_QUALITIES = (10, 20, 30, 40, 50, 60, 70, 75, 80, 84, 87, 90, 92, 94, 95, 96, 97, 98, 99, 100)
TINY_PX = (1, 2, 3, 4, 7, 8, 12, 16, 24, 32)
_TINY_SQUARES = 6


class Size(NamedTuple):
    """A whole file: its bytes, and PSNR in dB over the three channels."""

    file_bytes: int
    psnr_db: float


def our_sizes(image: Image.Image, model: str, iterations: Sequence[int]) -> list[Size]:
    """Return the files of some iteration counts."""
    whole = io.BytesIO()
    image.save(whole, "RNC", model=model, iterations=max(iterations))
    found = []
    for count in iterations:
        cut = io.BytesIO()
        with Image.open(whole) as opened:
            opened.save(cut, "RNC", iterations=count)
        found.append(_measured(image, cut))
    return found


def jpeg_bytes_at(image: Image.Image, wanted_db: Sequence[float]) -> list[float]:
    """Return the bytes that JPEG 4:4:4 needs for some values of PSNR; nan where it does not reach them."""
    curve = []
    for quality in _QUALITIES:
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality, subsampling="4:4:4", optimize=True)
        curve.append(_measured(image, file))
    rising = sorted(curve, key=lambda size: size.psnr_db)
    logs = np.interp(
        wanted_db,
        [size.psnr_db for size in rising],
        [math.log(size.file_bytes) for size in rising],
        left=math.nan,
        right=math.nan,
    )
    return [float(value) for value in np.exp(logs)]


def whole_images(images: Sequence[Image.Image], model: str, iterations: Sequence[int]) -> str:
    """Return a table of means over images: bpp, PSNR, and our bytes relative to JPEG's at equal PSNR."""
    ours = [our_sizes(image, model, iterations) for image in images]
    jpeg = [jpeg_bytes_at(image, [size.psnr_db for size in own]) for image, own in zip(images, ours, strict=True)]
    rows = []
    for index, count in enumerate(iterations):
        sizes = [own[index] for own in ours]
        rates = [8 * size.file_bytes / math.prod(image.size) for size, image in zip(sizes, images, strict=True)]
        ratios = [size.file_bytes / need[index] - 1 for size, need in zip(sizes, jpeg, strict=True)]
        known = [ratio for ratio in ratios if not math.isnan(ratio)]
        rows.append(
            (
                str(count),
                number(float(np.mean(rates)), 3),
                number(float(np.mean([size.psnr_db for size in sizes])), 2),
                f"{100 * float(np.mean(known)):+.1f} %" if known else "-",
            )
        )
    return table(["Iterations", "bpp", "PSNR", "Bytes against JPEG 4:4:4 at equal PSNR"], rows)


def tiny_images(image: Image.Image, model: str, iterations: Sequence[int]) -> str:
    """Return a table of the lowest PSNR over squares of an image, by side and iteration count."""
    rng = np.random.default_rng(0)
    rows = []
    for side in TINY_PX:
        corners = rng.integers(0, (image.width - side, image.height - side), (_TINY_SQUARES, 2)).tolist()
        squares = [image.crop((x, y, x + side, y + side)) for x, y in corners]
        sizes = [our_sizes(square, model, iterations) for square in squares]
        lowest = [min(own[index].psnr_db for own in sizes) for index in range(len(iterations))]
        rows.append((f"{side}x{side}", *(number(value, 1) for value in lowest)))
    return table(["Size", *(f"{count} iterations" for count in iterations)], rows)


def _measured(image: Image.Image, file: io.BytesIO) -> Size:
    with Image.open(file) as opened:
        return Size(len(file.getvalue()), psnr(np.asarray(image), np.asarray(opened.convert("RGB"))))


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = model_parser("research.upper_end", __doc__)
    parser.add_argument("--iterations", type=iteration_counts, default=(16, 20, 23, 26, 29), metavar="1,2,...")
    parser.add_argument("--tiny", action="store_true", help="measure squares of 1 to 32 pixels of the first image")
    args = parser.parse_args(arguments)
    args.limit = 1 if args.tiny else args.limit
    model, images = chosen_weights(args).model_id.hex(), list(chosen_images(args))
    show = tiny_images(images[0], model, args.iterations) if args.tiny else whole_images(images, model, args.iterations)
    print(show)


if __name__ == "__main__":
    main()
