"""Codes of whole images by the kernel and by NumPy, bit for bit: python fuzz/kernel_bits.py --data DIR

Each image is encoded and decoded by both. Planes and payloads must be equal, and pixels within 1.

    --data DIR        images, in any format of Pillow
    --iterations N    of each, 16 by default
    --seconds N       begin no further image after that time
    --model NAME      the default model otherwise

A release compares 10^8 coded bits.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
from PIL import Image

from pillow_rnc.codec import decoder, encoder
from pillow_rnc.container.records import RncFile
from pillow_rnc.entropy.kernel import library
from pillow_rnc.entropy.significance import coded_mask
from pillow_rnc.entropy.tile_coder import decode_tile
from pillow_rnc.models import weights


def compare(pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], model: weights.Weights, iterations: int) -> int:
    """Return how many coded bits of an image both agree on.

    Raises:
        SystemExit: They differ.
    """
    found = {}
    for path in ("0", "1"):
        with patch.dict(os.environ, {library.VARIABLE: path}):
            header, units = encoder.encode(pixels, model, iterations=iterations)
            found[path] = units, decoder.decode(RncFile(header, units=units), model).astype(np.int16)
    if found["0"][0] != found["1"][0]:
        raise SystemExit("payloads differ")
    if np.abs(found["0"][1] - found["1"][1]).max() > 1:
        raise SystemExit("pixels differ by more than 1")
    bits = 0
    for index, tile in enumerate(header.grid):
        shape = header.code_shape(tile)
        segments = [unit[index] for unit in units]
        planes = {}
        for path in ("0", "1"):
            with patch.dict(os.environ, {library.VARIABLE: path}):
                planes[path] = decode_tile(segments, model.entropy_model, shape[1:])
        if not np.array_equal(planes["0"], planes["1"]):
            raise SystemExit(f"codes of tile {index} differ")
        coded = model.entropy_model.coded_bits(*shape[1:])
        for plane in planes["0"]:
            bits += int(np.count_nonzero(coded_mask(coded, plane)))
            coded.finish(plane)
    return bits


def main() -> int:
    """Print the bits of each image and of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--iterations", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--model", default=weights.DEFAULT)
    arguments = parser.parse_args()
    model, total, count, start = weights.load(arguments.model), 0, 0, time.monotonic()
    for path in sorted(arguments.data.iterdir()):
        if time.monotonic() - start > arguments.seconds:
            break
        with Image.open(path) as im:
            bits = compare(np.asarray(im.convert("RGB")), model, arguments.iterations)
        total, count = total + bits, count + 1
        print(f"{path.name}: {bits} bits equal", flush=True)
    print(f"{count} images, {total} coded bits, no difference, kernel {library.supported()[-1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
