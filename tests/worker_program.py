"""A program that decodes in its workers, run by test_processes.py: START_METHOD WEIGHTS."""

from __future__ import annotations

import io
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from PIL import Image

import pillow_rnc
from pillow_rnc.models import weights

PATIENCE_S = 90


def decode(data: bytes) -> bytes:
    """Return a picture, made in NumPy and made in torch."""
    with Image.open(io.BytesIO(data)) as im:
        return im.tobytes() + pillow_rnc.open(io.BytesIO(data), device="cpu:0").tobytes()


def passed_on(im: Image.Image) -> tuple[str, bytes]:
    """Return an image that another process opened, to prove that it came here."""
    return im.mode, im.tobytes()


def make_file() -> bytes:
    fp = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(fp, "RNC", model="tiny", iterations=2, tile_size=64, overlap=16)
    return fp.getvalue()


def main(method: str, path: Path) -> None:
    context = multiprocessing.get_context(method)
    weights.register(path)
    if method == "fork":
        # Before torch is loaded here, and then again below when its threads exist.
        with ProcessPoolExecutor(1, context) as early:
            data = early.submit(make_file).result(PATIENCE_S)
            before = early.submit(decode, data).result(PATIENCE_S)
    else:
        data = make_file()
        before = decode(data)
    import torch

    torch.set_num_threads(2)
    here = decode(data)
    assert before == here
    with ProcessPoolExecutor(1, context, initializer=weights.register, initargs=(path,)) as pool:
        assert pool.submit(decode, data).result(PATIENCE_S) == here
        im = pillow_rnc.open(io.BytesIO(data))
        assert pool.submit(passed_on, im).result(PATIENCE_S) == ("RGB", im.tobytes())
    assert torch.get_num_threads() == 2
    print("the same everywhere")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
