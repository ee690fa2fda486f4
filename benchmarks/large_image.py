"""Time of a large image by threads, and of its thumbnail.

python -m benchmarks.large_image IMAGE [--repeat 3]

The image is scaled to 12 megapixels. Each figure is the least wall-clock time of some rounds, with the least CPU time
of all threads in brackets. The PSNR of the thumbnail is that against a thumbnail of the whole image decoded.
"""

from __future__ import annotations

import argparse
import io
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

import pillow_rnc

if TYPE_CHECKING:
    from collections.abc import Callable

_SIZE = 4000, 3000
_ITERATIONS = 8
_THUMBNAIL = 256, 256


def least_seconds(action: Callable[[], object], repeat: int) -> str:
    """Return the least wall-clock time and the least CPU time of an action, in seconds."""
    elapsed, spent = [], []
    for _ in range(repeat):
        start = time.perf_counter(), time.process_time()
        action()
        elapsed.append(time.perf_counter() - start[0])
        spent.append(time.process_time() - start[1])
    return f"{min(elapsed):.2f} s ({min(spent):.2f} s)"


def psnr_db(one: Image.Image, other: Image.Image) -> float:
    """Return the PSNR of two images of one size, in dB."""
    error = np.mean((np.asarray(one, np.float64) - np.asarray(other, np.float64)) ** 2)
    return float(10 * np.log10(255**2 / error))


def main() -> None:
    """Print one line for each number of threads, and one for the thumbnail."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    with Image.open(arguments.image) as opened:
        image = opened.convert("RGB").resize(_SIZE, Image.Resampling.BICUBIC)
    data = io.BytesIO()
    image.save(data, "RNC", iterations=_ITERATIONS)
    for threads in (1, 2):

        def encode(threads: int = threads) -> None:
            image.save(io.BytesIO(), "RNC", iterations=_ITERATIONS, max_threads=threads)

        def decode(threads: int = threads) -> None:
            pillow_rnc.open(io.BytesIO(data.getvalue()), max_threads=threads).load()

        seconds = [least_seconds(action, arguments.repeat) for action in (encode, decode)]
        print(f"{threads} threads: encode {seconds[0]}, decode {seconds[1]}", flush=True)

    def shrink() -> Image.Image:
        small = Image.open(io.BytesIO(data.getvalue()))
        small.thumbnail(_THUMBNAIL)
        return small

    whole = Image.open(io.BytesIO(data.getvalue()))
    whole.load()
    whole.thumbnail(_THUMBNAIL)
    print(
        f"thumbnail {_THUMBNAIL[0]}x{_THUMBNAIL[1]}: {least_seconds(shrink, arguments.repeat)}, "
        f"{psnr_db(shrink(), whole):.1f} dB"
    )


if __name__ == "__main__":
    main()
