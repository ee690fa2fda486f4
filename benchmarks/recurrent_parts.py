"""Where the time of the recurrent codec goes, with NumPy and with the native kernel, beside the default one, in turns.

Usage: python -m benchmarks.recurrent_parts [IMAGE] [--iterations 8] [--rounds 3]

Times are CPU time of one thread in milliseconds, of the fastest round.
Without an image, a photograph of scikit-image is used.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np

from benchmarks.kernel import image_of
from pillow_rnc.codec import decoder, encoder
from pillow_rnc.codec.execution import ExecutionOptions
from pillow_rnc.container.records import RncFile
from pillow_rnc.entropy import tile_coder
from pillow_rnc.entropy.fast import FastState
from pillow_rnc.entropy.kernel import library
from pillow_rnc.models import weights
from pillow_rnc.models.recurrent.numpy_light import LightTiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Work = Callable[[], Any]

MODEL = "recurrent"
_PARTS: tuple[tuple[Any, str, str], ...] = (
    (LightTiles, "encode", "encoder network"),
    (LightTiles, "decode", "decoder network"),
    (LightTiles, "set_target", "transform"),
    (LightTiles, "pixels", "transform"),
    (FastState, "start_iteration", "entropy network"),
    (FastState, "probabilities", "entropy network"),
    (FastState, "update", "entropy network"),
    (tile_coder.TileEncoder, "encode_next", "range coder and the rest of entropy coding"),
    (tile_coder.TileDecoder, "decode_next", "range coder and the rest of entropy coding"),
)
_REST = "tiles, blending, checks"


class Clock:
    """CPU seconds of each part, of those that contain others without them."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._inner: list[float] = []

    def timed(self, name: str, work: Work) -> Any:  # noqa: ANN401
        """Return what work returns, and count its time."""
        start = time.process_time()
        self._inner.append(0.0)
        result = work()
        spent = time.process_time() - start
        self.seconds[name] += spent - self._inner.pop()
        if self._inner:
            self._inner[-1] += spent
        return result

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count the time of each part."""
        with ExitStack() as stack:
            for owner, method, name in _PARTS:
                stack.enter_context(patch.object(owner, method, self._wrapped(getattr(owner, method), name)))
            yield

    def _wrapped(self, work: Callable[..., Any], name: str) -> Callable[..., Any]:
        return lambda *arguments: self.timed(name, lambda: work(*arguments))


def measure(work: Work) -> tuple[dict[str, float], Any]:
    """Return the CPU seconds of each part of some work, and its result."""
    clock = Clock()
    with clock.counting():
        result = clock.timed(_REST, work)
    return dict(clock.seconds), result


def main() -> None:
    """Print the parts of encoding and decoding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    pixels = np.asarray(image_of(arguments.image))
    alone = ExecutionOptions(max_threads=1)
    best: dict[tuple[str, str, str], dict[str, float]] = {}
    ways = list(itertools.product((weights.DEFAULT, MODEL), ("0", *library.supported()[-1:])))
    for _ in range(arguments.rounds):
        for name, path in ways:
            os.environ[library.VARIABLE], model = path, weights.load(name)
            encoded, found = measure(
                partial(encoder.encode, pixels, model, iterations=arguments.iterations, execution=alone)
            )
            file = RncFile(found[0], units=found[1])
            decoded, _ = measure(partial(decoder.decode, file, model, execution=alone))
            for what, seconds in (("encode", encoded), ("decode", decoded)):
                if sum(seconds.values()) < sum(best.get((what, name, path), {_REST: np.inf}).values()):
                    best[what, name, path] = seconds
    for (what, name, path), seconds in sorted(best.items()):
        total = sum(seconds.values())
        ratio = total / sum(best[what, weights.DEFAULT, path].values())
        print(
            f"{what}, {name}, {'NumPy' if path == '0' else path}: {1e3 * total:.0f} ms, {ratio:.1f}x the default model"
        )
        if name != MODEL:
            continue
        for part, spent in sorted(seconds.items(), key=lambda item: -item[1]):
            print(f"  {1e3 * spent:6.0f} ms {spent / total:5.0%}  {part}")


if __name__ == "__main__":
    main()
