"""Measure the native kernel beside NumPy and AVIF, in one process on one thread, in turns.

Usage: python -m benchmarks.kernel [IMAGE] [--iterations 8] [--rounds 7]

Times are those of the CPU in milliseconds, the least of all rounds: on a machine that others use too, a clock says more
of them. AVIF has the quality at which its file is as long as ours. Without an image, that is a photograph of
scikit-image, of 768x512 pixels.
"""

from __future__ import annotations

import argparse
import io
import os
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from pillow_rnc.codec import decoder, encoder
from pillow_rnc.codec.execution import ExecutionOptions
from pillow_rnc.container.records import RncFile
from pillow_rnc.entropy.kernel import library
from pillow_rnc.models import weights

if TYPE_CHECKING:
    from collections.abc import Callable

_SIZE = (768, 512)
_AVIF_SPEED = 6


def main() -> None:
    """Print times and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    image = image_of(arguments.image)
    pixels = np.asarray(image)
    model, alone = weights.load(weights.DEFAULT), ExecutionOptions(max_threads=1)
    names = ("numpy", *library.supported())
    best: dict[tuple[str, str], float] = {}
    found = {}
    for _ in range(arguments.rounds):
        for name in names:
            os.environ[library.VARIABLE] = "0" if name == "numpy" else name
            header, units = _timed(
                best,
                (name, "encode"),
                lambda: encoder.encode(pixels, model, iterations=arguments.iterations, execution=alone),
            )
            decode = partial(decoder.decode, RncFile(header, units=units), model, execution=alone)
            found[name] = units, _timed(best, (name, "decode"), decode)
    size = sum(len(segment.payload) for unit in found["numpy"][0] for segment in unit)
    quality = _quality(image, size)
    for _ in range(arguments.rounds):
        encoded = _timed(best, ("avif", "encode"), lambda: _avif(image, quality))
        _timed(best, ("avif", "decode"), partial(_load, encoded))
    print(
        f"{pixels.shape[1]}x{pixels.shape[0]}, {arguments.iterations} iterations, {size} bytes, AVIF quality {quality}"
    )
    print(f"{'':8}{'encode':>10}{'':8}{'decode':>10}{'':8}  codes  samples")
    for name in (*names, "avif"):
        columns = [
            f"{1e3 * best[name, what]:7.1f} ms{best['numpy', what] / best[name, what]:7.2f}x"
            for what in ("encode", "decode")
        ]
        print(f"{name:8}{''.join(columns)}", *(_differences(found["numpy"], found[name]) if name in found else ()))


def _timed(best: dict[tuple[str, str], float], key: tuple[str, str], work: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Return what work returns, and note its time."""
    start = time.process_time()
    result = work()
    best[key] = min(best.get(key, float("inf")), time.process_time() - start)
    return result


def image_of(path: Path | None) -> Image.Image:
    """Return the image to measure: that of a file, or a photograph of scikit-image, 768x512."""
    if path is not None:
        return Image.open(path).convert("RGB")
    from skimage import data

    coffee: Any = data.coffee  # type: ignore[no-untyped-call, unused-ignore]
    return Image.fromarray(coffee()).resize(_SIZE, Image.Resampling.LANCZOS)


def _avif(image: Image.Image, quality: int) -> bytes:
    encoded = io.BytesIO()
    image.save(encoded, "AVIF", quality=quality, speed=_AVIF_SPEED, max_threads=1)
    return encoded.getvalue()


def _load(encoded: bytes) -> None:
    Image.open(io.BytesIO(encoded)).load()


def _quality(image: Image.Image, size: int) -> int:
    """Return the lowest quality at which AVIF takes so many bytes."""
    low, high = 0, 100
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if len(_avif(image, middle)) >= size else (middle + 1, high)
    return low


def _differences(reference: Any, found: Any) -> tuple[str, str]:  # noqa: ANN401
    """Return whether the segments are equal, and by how much samples differ."""
    most = np.abs(reference[1].astype(np.int16) - found[1]).max()
    return "  equal" if reference[0] == found[0] else "  differ", f"within {most}"


if __name__ == "__main__":
    main()
