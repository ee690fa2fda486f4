"""What is written is there whole, or an error says that it is not, and what was there before still is."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_codec import FakeCodec
from PIL import Image

import pillow_rnc
from pillow_rnc.plugin import file_io
from pillow_rnc.plugin.file_io import atomic_write, write_stream

DATA = bytes(range(256)) * 5


class Sluggish(io.RawIOBase):
    """A raw stream that takes a few bytes at a time, until it is full."""

    def __init__(self, room: int = 1 << 30) -> None:
        self.taken = b""
        self.room = room

    def write(self, data: Any, /) -> int:  # noqa: ANN401 -- any buffer
        part = bytes(data)[: min(100, self.room - len(self.taken))]
        self.taken += part
        return len(part)


class Silent:
    """What programs pass as a file: it has `write`, which returns nothing."""

    def __init__(self) -> None:
        self.taken = b""

    def write(self, data: bytes) -> None:
        self.taken += data


class Failing(io.BytesIO):
    """A stream whose disk is gone."""

    def write(self, _data: Any, /) -> int:  # noqa: ANN401 -- any buffer
        raise OSError(5, "input/output error")


@pytest.fixture
def codec(monkeypatch: pytest.MonkeyPatch) -> FakeCodec:
    fake = FakeCodec()
    fake.install(monkeypatch)
    return fake


def test_a_stream_may_take_a_part_at_a_time() -> None:
    fp = Sluggish()
    write_stream(fp, DATA)  # type: ignore[arg-type]

    assert fp.taken == DATA


@pytest.mark.parametrize("room", [0, 1, 700, len(DATA) - 1])
def test_a_full_stream_is_an_error(room: int) -> None:
    with pytest.raises(OSError, match=f"incomplete write: {room} of {len(DATA)} bytes"):
        write_stream(Sluggish(room), DATA)  # type: ignore[arg-type]


def test_standard_output_stands_for_its_bytes(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write_stream(sys.stdout, DATA)  # type: ignore[arg-type]
    sys.stdout.flush()

    assert capfdbinary.readouterr().out == DATA


def test_a_stream_that_says_nothing_is_trusted() -> None:
    fp = Silent()
    write_stream(fp, DATA)  # type: ignore[arg-type]

    assert fp.taken == DATA


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.rnc"
    atomic_write(path, b"old")
    path.chmod(0o640)
    mode = path.stat().st_mode  # Windows keeps only whether a file may be written
    atomic_write(path, b"new")
    assert (path.read_bytes(), path.stat().st_mode) == (b"new", mode)

    def full(temporary: Path, data: bytes) -> int:
        with temporary.open("wb") as fp:
            fp.write(data[:1])
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    for target in (path, tmp_path / "b.rnc"):
        with pytest.raises(OSError, match="no space"):
            atomic_write(target, b"newer")

    assert path.read_bytes() == b"new"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.rnc"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "file")
    atomic_write(tmp_path / "link", DATA)

    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == DATA


def test_a_name_of_the_greatest_length_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".rnc")
    atomic_write(path, DATA)

    assert path.read_bytes() == DATA


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device is one of Linux")
def test_a_device_is_written_to_and_not_replaced() -> None:
    with pytest.raises(OSError, match=r"[Nn]o space"):
        atomic_write(Path("/dev/full"), DATA)
    assert Path("/dev/full").is_char_device()
    atomic_write(Path(os.devnull), DATA)


@pytest.mark.skipif(not Path("/dev/fd").exists(), reason="the names are those of Unix")
def test_a_pipe_that_is_no_file_is_written_to() -> None:
    end, start = os.pipe()
    try:
        atomic_write(Path(f"/dev/fd/{start}"), DATA)
        assert os.read(end, 2 * len(DATA)) == DATA
    finally:
        os.close(end)
        os.close(start)


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.usefixtures("codec")
def test_saving_to_a_bad_stream_is_an_oserror(again: bool) -> None:
    im: Image.Image = Image.linear_gradient("L")
    if again:
        good = io.BytesIO()
        im.save(good, "RNC")
        im = pillow_rnc.open(good)
    for fp in (Failing(), Sluggish(200)):
        with pytest.raises(OSError, match=r"input/output|incomplete write"):
            im.save(fp, "RNC")  # type: ignore[arg-type]


@pytest.mark.usefixtures("codec")
def test_a_failed_save_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.rnc"
    with pytest.raises(ValueError, match="target_size allows 9"):
        Image.linear_gradient("L").save(path, target_size=9)

    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("codec")
def test_an_old_file_outlives_a_failed_save_of_a_stored_picture_but_not_of_another(tmp_path: Path) -> None:
    path = tmp_path / "a.rnc"
    Image.linear_gradient("L").save(path)
    old = path.read_bytes()
    with pillow_rnc.open(path) as im, pytest.raises(ValueError, match="target_size allows 9"):
        im.save(path, target_size=9)
    assert path.read_bytes() == old
    # Pillow opens the file before it asks the plugin; the README says so for as long as this holds.
    with pytest.raises(ValueError, match="target_size allows 9"):
        Image.linear_gradient("L").save(path, target_size=9)
    assert path.read_bytes() == b""


@pytest.mark.parametrize("counts", [True, False])
def test_names_that_differ_in_case_are_one_file_where_case_does_not_count(
    counts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_io, "CASE_SENSITIVE", counts)

    assert (file_io.name_key("Cat.rnc") == file_io.name_key("cat.rnc")) != counts


def test_a_file_is_the_same_by_path_link_and_second_stream(tmp_path: Path) -> None:
    path, other, link = tmp_path / "a.rnc", tmp_path / "b.rnc", tmp_path / "c.rnc"
    for one in (path, other):
        one.write_bytes(DATA)
    os.link(path, link)
    with path.open("rb") as fp, path.open("rb") as again, other.open("rb") as different:
        for same in (fp, again, path, link, os.fsencode(path)):
            assert file_io.is_same_file(same, fp)
        for no_file in (different, other, tmp_path / "absent", io.BytesIO(DATA)):
            assert not file_io.is_same_file(no_file, fp)
        assert not file_io.is_same_file(path, None)
    assert not file_io.is_same_file(path, fp), "closed"
