"""Threads that open, save, register and decode at once, switched as often as Python can, get what one thread gets."""

from __future__ import annotations

import io
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from tiny_codec import register_tiny_codec

import pillow_rnc

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_THREADS = 6
_ROUNDS = 2


@pytest.fixture
def _many_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_many_switches")
def test_threads_that_do_everything_at_once_get_what_one_gets(tmp_path: Path) -> None:
    path = register_tiny_codec(tmp_path)
    model = pillow_rnc.register_model(path)
    image = Image.linear_gradient("L").resize((40, 24)).convert("RGB")
    start = Barrier(_THREADS)

    def saved(iterations: int) -> bytes:
        fp = io.BytesIO()
        image.save(fp, "RNC", model=model.model_id, iterations=iterations)
        return fp.getvalue()

    expected = {count: saved(count) for count in (1, 2)}
    pixels = {count: Image.open(io.BytesIO(data)).tobytes() for count, data in expected.items()}
    shared = {count: Image.open(io.BytesIO(data)) for count, data in expected.items()}

    def work(number: int) -> None:
        count, own = 1 + number % 2, image.copy()  # Pillow keeps the options of a save in the image
        start.wait()
        for turn in range(_ROUNDS):
            assert pillow_rnc.register_model(path) == model
            with pillow_rnc.use_options(iterations=count):
                fp = io.BytesIO()
                own.save(fp, "RNC", model=model.model_id)
            assert fp.getvalue() == expected[count]
            assert Image.open(fp).tobytes() == pixels[count]
            assert shared[count].tobytes() == pixels[count]
            assert model in pillow_rnc.models()
            if number == turn:
                pillow_rnc.register_rnc_opener()

    with ThreadPoolExecutor(_THREADS) as threads:
        for one in [threads.submit(work, number) for number in range(_THREADS)]:
            one.result()
