"""Defaults hold for the process or for a block, and give way to every argument of a call."""

from __future__ import annotations

import io
import mimetypes
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fake_codec import FakeCodec
from PIL import Image

import pillow_rnc
from pillow_rnc import RncOptionError, register_rnc_opener, use_options

if TYPE_CHECKING:
    from collections.abc import Iterator

METADATA = {"exif": b"II*\0\x08\0\0\0\0\0\0\0\0\0", "icc_profile": b"profile", "comment": b"c", "dpi": (72, 72)}


@pytest.fixture(autouse=True)
def codec(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCodec]:
    """Replace the network, and forget afterwards what was registered."""
    fake = FakeCodec()
    fake.install(monkeypatch)
    yield fake
    register_rnc_opener()


def saved(**params: object) -> bytes:
    fp = io.BytesIO()
    Image.linear_gradient("L").resize((20, 20)).save(fp, "RNC", **params)
    return fp.getvalue()


def iterations_of(data: bytes) -> int:
    return pillow_rnc.info(io.BytesIO(data))["iterations"]


TOUCHED = """
from PIL import Image
Image.init()
NAMES = "OPEN", "MIME", "SAVE", "SAVE_ALL", "EXTENSION", "DECODERS", "ENCODERS"
TABLES = {name: getattr(Image, name) for name in NAMES}
before, order = {name: dict(table) for name, table in TABLES.items()}, list(Image.ID)
import pillow_rnc
for name, table in TABLES.items():
    print(name, *table.keys() - before[name].keys(), all(table[key] is value for key, value in before[name].items()))
print(*(name for name in Image.ID if name not in order), [name for name in Image.ID if name in order] == order)
"""


def test_nothing_of_other_formats_is_touched() -> None:
    environment = os.environ | {"PYTHONPATH": str(Path(pillow_rnc.__file__).parents[1])}
    result = subprocess.run(
        [sys.executable, "-c", TOUCHED], env=environment, capture_output=True, text=True, check=False
    )

    assert result.stdout.splitlines() == [
        "OPEN RNC True",
        "MIME RNC True",
        "SAVE RNC True",
        "SAVE_ALL RNC True",
        "EXTENSION .rnc True",
        "DECODERS True",
        "ENCODERS True",
        "RNC True",
    ], result.stderr


def test_registering_again_changes_nothing_in_pillow() -> None:
    before = list(Image.ID), dict(Image.EXTENSION), dict(Image.MIME), set(Image.OPEN), set(Image.SAVE)
    register_rnc_opener()

    assert (list(Image.ID), dict(Image.EXTENSION), dict(Image.MIME), set(Image.OPEN), set(Image.SAVE)) == before


def test_registering_repairs_what_another_program_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    data = saved()
    monkeypatch.delitem(Image.EXTENSION, ".rnc")
    monkeypatch.delitem(Image.OPEN, "RNC")
    register_rnc_opener()

    assert Image.EXTENSION[".rnc"] == "RNC"
    assert Image.open(io.BytesIO(data)).format == "RNC"


def test_defaults_come_after_every_rate_of_a_call() -> None:
    register_rnc_opener(iterations=5)
    size = len(saved(iterations=3))

    assert iterations_of(saved()) == 5
    assert iterations_of(saved(quality=100)) == 29
    assert iterations_of(saved(iterations=2)) == 2
    assert iterations_of(saved(iterations=2, quality=100)) == 2
    assert iterations_of(saved(target_size=size)) == 3
    assert iterations_of(saved(target_size=size, quality=100)) == 3
    register_rnc_opener()
    assert iterations_of(saved()) == 8


def test_a_default_cuts_no_stored_file() -> None:
    data = saved(iterations=6)
    register_rnc_opener(iterations=2)
    fp = io.BytesIO()
    Image.open(io.BytesIO(data)).save(fp, "RNC")

    assert fp.getvalue() == data


def test_a_block_has_its_own_defaults_in_its_own_thread() -> None:
    register_rnc_opener(iterations=5)
    with use_options(iterations=4), ThreadPoolExecutor(1) as pool:
        assert iterations_of(saved()) == 4
        with use_options(keep_metadata=False):
            assert iterations_of(saved()) == 4
        # A thread that is started in the block has its settings where Python hands them on, as free-threaded builds do.
        inherited = getattr(sys.flags, "thread_inherit_context", False)
        assert iterations_of(pool.submit(saved).result()) == (4 if inherited else 5)
    assert iterations_of(saved()) == 5


def test_a_device_is_named_once_or_for_a_call() -> None:
    data = saved()
    register_rnc_opener(device="abacus")
    # The fake codec takes no device but the CPU.
    with pytest.raises(AssertionError):
        saved()
    with pytest.raises(AssertionError):
        pillow_rnc.open(io.BytesIO(data)).load()
    assert saved(device="cpu") == data
    pillow_rnc.open(io.BytesIO(data), device="cpu").load()
    with use_options(device="cpu"):
        assert saved() == data
        next(iter(pillow_rnc.progressive(io.BytesIO(data))))


def test_limits_of_memory_and_threads_come_from_the_call_then_the_block_then_the_process(codec: FakeCodec) -> None:
    def limits(**params: int) -> set[tuple[int | None, int]]:
        data = saved(**params)
        found = {codec.limits}
        pillow_rnc.open(io.BytesIO(data), **params).load()  # type: ignore[arg-type]  # as below
        found.add(codec.limits)
        pillow_rnc.decode_batch([io.BytesIO(data)], **params)  # type: ignore[arg-type]  # as below
        return found | {codec.limits}

    assert limits() == {(None, 0)}
    assert limits(max_memory=5, max_threads=3) == {(5, 3)}
    register_rnc_opener(max_memory=7, max_threads=2)
    assert limits() == {(7, 2)}
    assert limits(max_threads=0) == {(7, 0)}
    with use_options(max_threads=1):
        assert limits() == {(7, 1)}
        assert limits(max_memory=5) == {(5, 1)}
        data = saved()
        next(iter(pillow_rnc.progressive(io.BytesIO(data))))
        assert codec.limits[1] == 1
        next(iter(pillow_rnc.progressive(io.BytesIO(data), max_threads=4)))
        assert codec.limits[1] == 4
        saved(target_psnr=1)
        assert codec.limits[1] == 1
    register_rnc_opener()
    assert limits() == {(None, 0)}
    for name, wrong in (("max_memory", 0), ("max_threads", -1)):
        for refuse in (register_rnc_opener, limits):
            with pytest.raises(RncOptionError, match=name):
                refuse(**{name: wrong})  # type: ignore[arg-type]  # it takes other types by other names


def test_metadata_but_the_profile_can_be_left_out_by_default() -> None:
    im = Image.new("L", (3, 3))
    im.info.update(METADATA)
    register_rnc_opener(keep_metadata=False)
    fp = io.BytesIO()
    im.save(fp, "RNC", comment=b"mine")

    fp.seek(0)
    assert pillow_rnc.info(fp)["metadata_bytes"] == {"icc_profile": 7, "comment": 4}


def test_wrong_options_change_nothing() -> None:
    register_rnc_opener(iterations=5)
    with pytest.raises(RncOptionError, match="from 1 to 32"):
        register_rnc_opener(iterations=33)
    with pytest.raises(RncOptionError, match="device"), use_options(device=""):
        pass
    with pytest.raises(TypeError, match="quality"):
        register_rnc_opener(quality=3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="quality"), use_options(quality=3):  # type: ignore[call-arg]
        pass

    assert iterations_of(saved()) == 5


def test_python_learns_our_media_type_only_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mimetypes, "_db", mimetypes.MimeTypes())
    monkeypatch.setattr(mimetypes, "inited", True)
    register_rnc_opener()
    assert mimetypes.guess_type("a.rnc")[0] != "image/x-rnc"
    register_rnc_opener(mimetypes=True)

    assert mimetypes.guess_type("a.rnc")[0] == "image/x-rnc"
