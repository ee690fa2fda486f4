"""Time of a large image by threads, and of its thumbnail.

python -m benchmarks.large_image IMAGE [--models NAME ...] [--repeat 3]

The image is scaled to 12 megapixels. Each figure is the least wall-clock time of some rounds, with the least CPU time
of all threads in brackets. The PSNR of the thumbnail is that against a thumbnail of the whole image decoded.
"""

from __future__ import annotations

import argparse
import io
import time
from functools import partial
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


def least_seconds(*actions: Callable[[], object], repeat: int) -> list[str]:
    """Return the least wall-clock time and the least CPU time of each action, in seconds; they take turns."""
    elapsed: list[list[float]] = [[] for _ in actions]
    spent: list[list[float]] = [[] for _ in actions]
    for _ in range(repeat):
        for index, action in enumerate(actions):
            start = time.perf_counter(), time.process_time()
            action()
            elapsed[index].append(time.perf_counter() - start[0])
            spent[index].append(time.process_time() - start[1])
    return [f"{min(wall):.2f} s ({min(cpu):.2f} s)" for wall, cpu in zip(elapsed, spent, strict=True)]


def psnr_db(one: Image.Image, other: Image.Image) -> float:
    """Return the PSNR of two images of one size, in dB."""
    error = np.mean((np.asarray(one, np.float64) - np.asarray(other, np.float64)) ** 2)
    return float(10 * np.log10(255**2 / error))


def _file(image: Image.Image, model: str, max_threads: int = 0) -> bytes:
    file = io.BytesIO()
    image.save(file, "RNC", model=model, iterations=_ITERATIONS, max_threads=max_threads)
    return file.getvalue()


def _decode(data: bytes, max_threads: int) -> None:
    pillow_rnc.open(io.BytesIO(data), max_threads=max_threads).load()


def main() -> None:
    """Print one line for each number of threads and model, and one for the thumbnail by the first model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path)
    parser.add_argument(
        "--models", nargs="+", default=["auto"], metavar="NAME", help="take turns (default: %(default)s)"
    )
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    with Image.open(arguments.image) as opened:
        image = opened.convert("RGB").resize(_SIZE, Image.Resampling.BICUBIC)
    files = [_file(image, model) for model in arguments.models]
    for threads in (1, 2):
        encoders = [partial(_file, image, model, max_threads=threads) for model in arguments.models]
        decoders = [partial(_decode, data, threads) for data in files]
        encoding, decoding = (least_seconds(*actions, repeat=arguments.repeat) for actions in (encoders, decoders))
        for model, encode, decode in zip(arguments.models, encoding, decoding, strict=True):
            print(f"{model}, {threads} threads: encode {encode}, decode {decode}", flush=True)
    data = files[0]

    def shrink() -> Image.Image:
        small = Image.open(io.BytesIO(data))
        small.thumbnail(_THUMBNAIL)
        return small

    whole = Image.open(io.BytesIO(data))
    whole.load()
    whole.thumbnail(_THUMBNAIL)
    print(
        f"thumbnail {_THUMBNAIL[0]}x{_THUMBNAIL[1]}: {least_seconds(shrink, repeat=arguments.repeat)[0]}, "
        f"{psnr_db(shrink(), whole):.1f} dB"
    )


if __name__ == "__main__":
    main()
