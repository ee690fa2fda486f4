"""Valid files, however extreme, are read alike through every entry point: python fuzz/extremes.py [--files N]

None may be rejected. The entry points are those of `fuzz_plugin`: complete, in pieces, a region, by iteration.
"""

from __future__ import annotations

import argparse
import random
import time
import warnings

import fuzz_container
import fuzz_plugin
import grammar
import model
from PIL import Image


def check(files: int, seed: int = 0) -> int:
    """Return the total size of the files, each read through one entry point of Pillow and all of the container."""
    source, size = random.Random(seed), 0  # noqa: S311 -- repeatable, not secret
    for number in range(files):
        data = grammar.generate_bytes(source, model.tiny())
        entry_point = fuzz_plugin.ENTRY_POINTS[number % len(fuzz_plugin.ENTRY_POINTS)]
        try:
            for options in range(2 * len(fuzz_container.CHECKS)):
                fuzz_container.test_one_input(data + bytes([options]))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                entry_point(data, source.randrange(32))
        except Exception as error:
            message = f"file {number} of seed {seed}, {len(data)} bytes"
            raise AssertionError(message) from error
        size += len(data)
    return size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    start = time.monotonic()
    size = check(arguments.files, arguments.seed)
    print(f"{arguments.files} files, {size} bytes, none rejected, all alike in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
