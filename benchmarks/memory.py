"""Memory of a load in a process of its own.

python -m benchmarks.memory [--megapixels 10,100] [--threads 0] [--limit MIB]

For each size, an image of noise and slopes is saved with one iteration, and loaded in a new process that has decoded a
small image before, so the model is there. Printed are the most memory that the process had at a time, and how many
bytes a pixel that is beyond what it had before. With --limit MIB, the process gets no more address space than it has
before the load, and that.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

import pillow_rnc

_RATIO = 4, 3
_TILE = 1024
_ITERATIONS = 1


def _image(megapixels: float) -> Image.Image:
    """Return an image of about so many megapixels: one part of it again and again."""
    width = round((megapixels * 1e6 * _RATIO[0] / _RATIO[1]) ** 0.5)
    slopes = np.add.outer(np.arange(_TILE), np.arange(_TILE))[..., None] // 8
    part = slopes + np.random.default_rng(1).integers(0, 48, (_TILE, _TILE, 3))
    tile, image = Image.fromarray(part.astype(np.uint8)), Image.new("RGB", (width, width * _RATIO[1] // _RATIO[0]))
    for y in range(0, image.height, _TILE):
        for x in range(0, image.width, _TILE):
            image.paste(tile, (x, y))
    return image


def _status(name: str) -> int:
    """Return a figure of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))


def load(path: str, threads: int, limit: int) -> None:
    """Load an image, and print bytes before and at most, and the pixels."""
    fp = io.BytesIO()
    Image.new("RGB", (64, 64)).save(fp, "RNC", iterations=1)
    pillow_rnc.open(fp).load()
    before = _status("VmRSS")
    if limit:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_status("VmSize") + limit,) * 2)
    im = pillow_rnc.open(path, max_threads=threads, max_work=1 << 40)
    im.load()
    print(before, _status("VmHWM"), im.width * im.height)


def loaded(path: Path, threads: int = 0, limit_mib: int = 0) -> tuple[int, int, int]:
    """Return what `load` prints in a process of its own: bytes before and at most, and pixels."""
    command = [sys.executable, "-m", "benchmarks.memory", "--load", str(path)]
    command += ["--threads", str(threads), "--limit", str(limit_mib)]
    printed = subprocess.run(command, capture_output=True, check=True, text=True).stdout  # noqa: S603 -- this program
    before, most, pixels = map(int, printed.split())
    return before, most, pixels


def main() -> int:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megapixels", default="10,100")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--load", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    Image.MAX_IMAGE_PIXELS = None
    if arguments.load:
        load(arguments.load, arguments.threads, arguments.limit << 20)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        for megapixels in map(float, arguments.megapixels.split(",")):
            path = Path(folder) / "image.rnc"
            _image(megapixels).save(path, iterations=_ITERATIONS)
            before, most, pixels = loaded(path, arguments.threads, arguments.limit)
            print(
                f"{pixels / 1e6:.1f} megapixels: {most >> 20} MiB at most, {before >> 20} MiB before, "
                f"{(most - before) / pixels:.1f} bytes a pixel",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
