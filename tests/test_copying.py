"""Saving an opened `.rnc` file again: what is copied, how far the file is read, and what is checked."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from fake_codec import FakeCodec
from PIL import Image

import pillow_rnc
from pillow_rnc import CorruptError, RncOptionError
from pillow_rnc.container import reader
from pillow_rnc.plugin.file_io import is_same_file

VECTORS = Path(__file__).parent.parent / "spec" / "vectors"


@pytest.fixture(autouse=True)
def codec(monkeypatch: pytest.MonkeyPatch) -> FakeCodec:
    fake = FakeCodec()
    fake.install(monkeypatch)
    return fake


def stored(iterations: int = 8, mode: str = "RGB") -> bytes:
    return saved(Image.linear_gradient("L").resize((70, 40)).convert(mode), iterations=iterations)


def saved(im: Image.Image, **params: object) -> bytes:
    fp = io.BytesIO()
    im.save(fp, "RNC", **params)
    return fp.getvalue()


def truncated(data: bytes, iterations: int) -> bytes:
    out = io.BytesIO()
    pillow_rnc.truncate(io.BytesIO(data), out, iterations=iterations)
    return out.getvalue()


def damaged(data: bytes) -> bytes:
    """Return a file with an error in its last iteration."""
    return data[:-5] + bytes([data[-5] ^ 1]) + data[-4:]


def test_only_what_is_copied_is_read() -> None:
    data = stored()
    im = Image.open(io.BytesIO(damaged(data)))

    assert saved(im, iterations=2) == truncated(data, 2)
    with pytest.raises(CorruptError):
        saved(im, iterations=8)
    with pytest.raises(CorruptError):
        im.load()


def test_what_is_not_copied_can_be_loaded_afterwards(tmp_path: Path) -> None:
    data = stored()
    whole = pillow_rnc.open(io.BytesIO(data)).reduce(1).tobytes()
    path = tmp_path / "a.rnc"
    for how in ("elsewhere", "path", "stream"):
        path.write_bytes(data)
        fp = io.BytesIO(data)
        im = Image.open(fp if how == "stream" else path)
        target: Any = {"elsewhere": tmp_path / "b.rnc", "path": path, "stream": fp}[how]
        if how == "stream":
            fp.seek(0)
        im.save(target, "RNC", iterations=2)
        assert im.tobytes() == whole
        if how == "path":
            assert path.read_bytes() == truncated(data, 2)


def test_a_damaged_file_can_be_cut_in_place(tmp_path: Path) -> None:
    data = stored()
    path = tmp_path / "a.rnc"
    path.write_bytes(damaged(data))
    with Image.open(path) as im:
        im.save(path, iterations=2)

    assert path.read_bytes() == truncated(data, 2)


def test_a_file_that_is_replaced_is_read_by_one_thread_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = stored()
    path = tmp_path / "a.rnc"
    path.write_bytes(data)
    im: Any = Image.open(path)
    between, threads = threading.Event(), []
    read = reader.read_units

    def come_between() -> None:
        with im._loading.held():
            between.set()

    def read_units(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401 -- as it is
        threads.append(threading.Thread(target=come_between))
        threads[-1].start()
        assert not between.wait(0.05)
        return read(*arguments, **options)

    monkeypatch.setattr(reader, "read_units", read_units)
    im.save(path, iterations=2)
    for thread in threads:
        thread.join()

    assert path.read_bytes() == truncated(data, 2)
    assert threads


def test_a_file_is_the_same_by_path_and_by_stream(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"a")
    memory = io.BytesIO()
    with path.open("rb") as one, path.open("rb") as other:
        assert is_same_file(one, one)
        assert is_same_file(one, other)
        assert is_same_file(path, one)
        assert is_same_file(os.fsencode(path), one)
        assert not is_same_file(tmp_path / "b", one)
        assert not is_same_file(memory, one)
        assert not is_same_file(path, memory)
        assert not is_same_file(path, None)
    assert not is_same_file(path, one)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_a_copy_is_verified_when_that_is_asked_for(mode: str, codec: FakeCodec) -> None:
    data, steps = stored(mode=mode), []
    im = pillow_rnc.open(io.BytesIO(data))

    assert saved(im, iterations=3, verify=True, on_progress=lambda *n: steps.append(n)) == truncated(data, 3)
    assert codec.decoded_iterations == [3]
    assert codec.execution.on_progress is not None
    assert im.iterations == 8


def test_a_copy_with_damaged_alpha_is_not_written(tmp_path: Path) -> None:
    im = Image.open(VECTORS / "invalid" / "alpha-adler.rnc")
    with pytest.raises(CorruptError):
        im.save(tmp_path / "a.rnc", verify=True)

    assert not list(tmp_path.iterdir())


def test_a_batch_copies_what_save_copies(codec: FakeCodec) -> None:
    data = stored()
    new, changed = Image.new("RGB", (70, 40), "red"), Image.open(io.BytesIO(data))
    changed.putpixel((0, 0), (1, 2, 3))
    codec.encoded = 0
    files = pillow_rnc.encode_batch([Image.open(io.BytesIO(data)), new, changed], iterations=4)

    assert codec.encoded == 2
    assert files == [truncated(data, 4), saved(new, iterations=4), saved(changed, iterations=4)]
    assert pillow_rnc.encode_batch([Image.open(io.BytesIO(data))], iterations="keep") == [data]
    with pytest.raises(RncOptionError, match="keep"):
        pillow_rnc.encode_batch([Image.open(io.BytesIO(data)), changed], iterations="keep")
