"""Threads and processes load and save what one thread does: python fuzz/concurrency.py [--size ci|release]

threads      all threads load their own files, load shared images, and save
fork, spawn  workers started either way load and save
"""

from __future__ import annotations

import argparse
import hashlib
import io
import multiprocessing
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import model
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterable

FILES = ("grey", "likely", "mixed", "stopped", "strip", "tiles")
"""Golden files of the small model."""


class Size(NamedTuple):
    """How many threads or workers there are, and how often each loads and saves."""

    threads: int
    loads: int
    workers: int
    loads_each: int


SIZES = {"ci": Size(4, 6, 2, 3), "release": Size(16, 1000, 8, 100)}


def _load(name: str) -> bytes:
    with Image.open(model.GOLDEN / f"{name}.rnc") as im:
        return im.tobytes()


def _save(number: int) -> bytes:
    pixels = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3) * (1 + number % 3)
    fp = io.BytesIO()
    Image.fromarray(pixels).save(fp, "RNC", model=model.tiny().model_id.hex(), iterations=2, verify=True)
    return fp.getvalue()


def digest(number: int) -> str:
    """Return a digest of what one turn loads and saves; a round has six turns."""
    return hashlib.sha256(_load(FILES[number % len(FILES)]) + _save(number)).hexdigest()


def _agree(digests: Iterable[str]) -> int:
    """Return the number of digests, after comparing each with that of a single thread."""
    alone, count = [digest(number) for number in range(len(FILES))], 0
    for count, found in enumerate(digests, 1):
        assert found == alone[(count - 1) % len(FILES)], f"turn {count} differs"
    return count


def threads(size: Size) -> str:
    """All threads start at once; every shared image has been opened but not loaded."""
    shared = [Image.open(model.GOLDEN / f"{FILES[index % len(FILES)]}.rnc") for index in range(size.loads // 2)]
    begin = threading.Barrier(size.threads)

    def work(_thread: int) -> list[str]:
        begin.wait()
        digests = [digest(number) for number in range(size.loads)]
        for index, im in enumerate(shared):
            assert im.tobytes() == _load(FILES[index % len(FILES)]), f"shared image {index} differs"
        return digests

    before = np.geterr(), threading.active_count()
    with ThreadPoolExecutor(size.threads) as pool:
        done = sum(_agree(digests) for digests in pool.map(work, range(size.threads)))
    assert (np.geterr(), threading.active_count()) == before
    assert "torch" not in sys.modules
    return f"{size.threads} threads, {done} loads and saves, {len(shared)} images shared, all as in one thread"


def processes(size: Size, method: str) -> str:
    """Workers give the same results as this process."""
    context = multiprocessing.get_context(method)
    turns = [number for number in range(size.loads_each) for _ in range(size.workers)]
    with ProcessPoolExecutor(size.workers, context, initializer=model.tiny) as pool:
        found = list(pool.map(digest, turns))
    for start in range(size.workers):
        _agree(found[start :: size.workers])
    return f"{size.workers} workers, {len(found)} loads and saves, all as in one process"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="release")
    size = SIZES[parser.parse_args().size]
    model.tiny()
    for method in sorted({"fork", "spawn"} & set(multiprocessing.get_all_start_methods())):
        print(f"{method}: {processes(size, method)}", flush=True)
    print(f"threads: {threads(size)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
