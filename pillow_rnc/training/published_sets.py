"""``python -m pillow_rnc.training.published_sets KIND SOURCE OUT``: the two published training sets, from any folder.

``small``: every image scaled to 32x32. ``high-entropy``: of the non-overlapping 32x32 tiles of every image, the 100
that PNG compresses worst.

The paper takes the tiles from images of 1280x720, 100 of 880; scale larger photographs down for a comparable set.
Source: Toderici et al. 2017, on training sets.
"""

from __future__ import annotations

import argparse
import io
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pillow_rnc.training.data import read_pixels, source_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Images = list[NDArray[np.uint8]]

_log = logging.getLogger(__name__)
TILE_PX = 32
TILES_PER_IMAGE = 100


def small(pixels: NDArray[np.uint8]) -> Images:
    """Return the image scaled to 32x32, without keeping its aspect ratio: uint8 [32, 32, 3]."""
    return [np.asarray(Image.fromarray(pixels).resize((TILE_PX, TILE_PX), Image.Resampling.LANCZOS))]


def png_bytes(pixels: NDArray[np.uint8]) -> int:
    """Return the size of an image, uint8 [H, W, 3], as PNG, at zlib's default effort."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return len(file.getvalue())


def high_entropy(pixels: NDArray[np.uint8], count: int = TILES_PER_IMAGE) -> Images:
    """Return the tiles uint8 [32, 32, 3] that PNG compresses worst, worst first; all, if there are no more.

    Tiles lie on a grid that begins at the top left; what is left over at the right and bottom is not used.
    """
    rows, columns = pixels.shape[0] // TILE_PX, pixels.shape[1] // TILE_PX
    whole = pixels[: rows * TILE_PX, : columns * TILE_PX]
    tiles = whole.reshape(rows, TILE_PX, columns, TILE_PX, 3).swapaxes(1, 2).reshape(-1, TILE_PX, TILE_PX, 3)
    worst_first = sorted(range(len(tiles)), key=lambda index: -png_bytes(tiles[index]))
    return [tiles[index] for index in worst_first[:count]]


KINDS: dict[str, Callable[[NDArray[np.uint8]], Images]] = {"small": small, "high-entropy": high_entropy}


def write_set(kind: str, source: Path, out: Path) -> tuple[int, int]:
    """Write a set as PNG files; return how many images it has and how many source files were no images.

    Raises:
        FileNotFoundError: The source holds no image.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = skipped = 0
    for file in source_files(source):
        pixels = read_pixels(file)
        if pixels is None:
            skipped += 1
            continue
        stem = f"{Path(file.name).stem}-{written:07d}"
        tiles = KINDS[kind](pixels)
        for index, tile in enumerate(tiles):
            Image.fromarray(tile).save(out / f"{stem}-{index:03d}.png")
        written += len(tiles)
    if not written:
        msg = f"{source}: no image, {skipped} files skipped"
        raise FileNotFoundError(msg)
    return written, skipped


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m pillow_rnc.training.published_sets", description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("source", type=Path, help="folder of photographs, or a pack of one")
    parser.add_argument("out", type=Path, help="folder to write PNG files to")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    written, skipped = write_set(args.kind, args.source, args.out)
    print(f"{args.out}: {written} images of {TILE_PX}x{TILE_PX}, {skipped} files skipped")


if __name__ == "__main__":
    main()
