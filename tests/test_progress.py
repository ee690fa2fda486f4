"""`on_progress` counts every iteration of every tile, and may end the work without harm."""

from __future__ import annotations

import io
import threading
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from tiny_codec import register_tiny_codec

import pillow_rnc
from pillow_rnc import RncOptionError
from pillow_rnc.container import reader, writer
from pillow_rnc.container.records import Coding, RncFile, Segment

if TYPE_CHECKING:
    from pathlib import Path

OPTIONS = {"model": "tiny", "iterations": 3, "tile_size": 64, "overlap": 16}
TILES = 4


class Watcher:
    """Notes what it is told, and from where; raises at a step if asked to."""

    def __init__(self, fails_at: int = 0) -> None:
        self.told: list[tuple[int, int]] = []
        self.threads: set[int] = set()
        self._fails_at = fails_at

    def __call__(self, done: int, total: int) -> None:
        self.told.append((done, total))
        self.threads.add(threading.get_ident())
        if done == self._fails_at:
            raise KeyError("enough")

    def saw_all(self, steps: int) -> bool:
        """Return whether it was told of steps in order, up to the last one."""
        done = [0, *(one for one, _ in self.told)]
        return {total for _, total in self.told} == {steps} == {done[-1]} and all(a < b for a, b in pairwise(done))


@pytest.fixture(autouse=True, scope="module")
def _tiny(tmp_path_factory: pytest.TempPathFactory) -> None:
    register_tiny_codec(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def image() -> Image.Image:
    return Image.linear_gradient("L").resize((100, 80)).convert("RGB")


@pytest.fixture(scope="module")
def data(image: Image.Image) -> bytes:
    return pillow_rnc.encode_batch([image], **OPTIONS)[0]


@pytest.mark.parametrize("ways", [{}, {"max_threads": 1}, {"max_memory": 1}, {"verify": True}])
def test_saving_tells_of_every_iteration_of_every_tile(image: Image.Image, data: bytes, ways: dict[str, int]) -> None:
    watcher, fp = Watcher(), io.BytesIO()
    image.save(fp, "RNC", **OPTIONS, **ways, on_progress=watcher)

    assert watcher.saw_all(3 * TILES)
    assert watcher.threads == {threading.get_ident()}
    assert fp.getvalue() == data


def test_a_target_is_told_of_as_all_that_it_encodes(image: Image.Image) -> None:
    watcher = Watcher()
    image.save(io.BytesIO(), "RNC", model="tiny", target_size=2000, on_progress=watcher)

    assert watcher.saw_all(4)


def test_copying_has_nothing_to_tell(data: bytes) -> None:
    watcher = Watcher()
    Image.open(io.BytesIO(data)).save(io.BytesIO(), "RNC", on_progress=watcher)

    assert watcher.told == []


@pytest.mark.parametrize(
    ("ways", "steps"),
    [
        ({}, 3 * TILES),
        ({"max_threads": 1}, 3 * TILES),
        ({"max_memory": 1}, 3 * TILES),
        ({"iterations": 2}, 2 * TILES),
        ({"region": (0, 0, 9, 9)}, 3),
        ({"on_iteration": lambda *_: None}, 3 * TILES),
        ({"on_iteration": lambda *_: None, "region": (0, 0, 100, 9)}, 6),
    ],
)
def test_loading_tells_of_every_iteration_of_every_tile(data: bytes, ways: dict[str, object], steps: int) -> None:
    watcher = Watcher()
    im = pillow_rnc.open(io.BytesIO(data), on_progress=watcher, **ways)  # type: ignore[arg-type]
    assert watcher.told == []
    im.load()
    im.load()

    assert watcher.saw_all(steps)
    assert watcher.threads == {threading.get_ident()}


@pytest.mark.parametrize("ways", [{}, {"on_iteration": lambda *_: None}])
def test_tiles_that_have_stopped_take_no_steps(data: bytes, ways: dict[str, object]) -> None:
    file = reader.parse(data)
    stopped = Segment(Coding.STOPPED, b"", 0)
    units = (file.units[0], *((stopped, *unit[1:]) for unit in file.units[1:]))
    watcher = Watcher()
    shorter = writer.build(RncFile(file.header, units=units))
    pillow_rnc.open(io.BytesIO(shorter), on_progress=watcher, **ways).load()  # type: ignore[arg-type]

    assert watcher.saw_all(3 * TILES - 2)


def test_a_batch_is_told_of_as_one(image: Image.Image) -> None:
    saving, loading = Watcher(), Watcher()
    small = image.crop((0, 0, 20, 20))
    files = pillow_rnc.encode_batch([image, small], **OPTIONS, on_progress=saving)
    pillow_rnc.decode_batch(map(io.BytesIO, files), on_progress=loading)

    assert saving.saw_all(3 * (TILES + 1))
    assert loading.saw_all(3 * (TILES + 1))


@pytest.mark.parametrize("threads", [0, 1])
@pytest.mark.parametrize("step", [TILES, 3 * TILES])
def test_what_a_callback_raises_ends_loading_and_nothing_is_lost(data: bytes, step: int, threads: int) -> None:
    expected = Image.open(io.BytesIO(data)).tobytes()
    before = threading.active_count()
    im = pillow_rnc.open(io.BytesIO(data), max_threads=threads, on_progress=Watcher(fails_at=step))
    for _ in range(2):
        with pytest.raises(KeyError, match="enough"):
            im.load()
    assert threading.active_count() == before
    again = Watcher()
    fp = io.BytesIO()
    im.save(fp, "RNC")  # still there to be copied

    assert fp.getvalue() == data
    reopened = pillow_rnc.open(io.BytesIO(data), on_progress=again)
    assert reopened.tobytes() == expected
    assert again.saw_all(3 * TILES)


def test_what_a_callback_raises_ends_saving_and_leaves_no_file(image: Image.Image, tmp_path: Path) -> None:
    path, fp = tmp_path / "a.rnc", io.BytesIO()
    for target in (path, fp):
        with pytest.raises(KeyError, match="enough"):
            image.save(target, "RNC", **OPTIONS, on_progress=Watcher(fails_at=5))

    assert not path.exists()
    assert fp.getvalue() == b""


def test_only_functions_are_taken(image: Image.Image, data: bytes) -> None:
    with pytest.raises(RncOptionError, match="on_progress 5 is not allowed, give a function"):
        image.save(io.BytesIO(), "RNC", on_progress=5)
    for name in ("on_progress", "on_iteration"):
        with pytest.raises(RncOptionError, match=f"{name} True is not allowed, give a function"):
            pillow_rnc.open(io.BytesIO(data), **{name: True})  # type: ignore[arg-type]
