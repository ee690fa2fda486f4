"""Small files cannot ask for much work: the limit, where it comes from, and what it counts."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from tiny_codec import register_tiny_codec

import pillow_rnc
from pillow_rnc import RncFileError, RncOptionError, WorkLimitError
from pillow_rnc.plugin import defaults

if TYPE_CHECKING:
    from pathlib import Path

WORK = 4 * (64 + 64) * 48
"""Of the image below: four iterations of two padded tiles."""


@pytest.fixture(autouse=True, scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return register_tiny_codec(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def data() -> bytes:
    fp = io.BytesIO()
    Image.new("RGB", (110, 40)).save(fp, "RNC", model="tiny", iterations=4, tile_size=64, overlap=16)
    return fp.getvalue()


def test_padding_overlap_and_iterations_count_as_work(data: bytes) -> None:
    pillow_rnc.open(io.BytesIO(data), max_work=WORK).load()
    im = pillow_rnc.open(io.BytesIO(data), max_work=WORK - 1)
    with pytest.raises(WorkLimitError, match=rf"6144 pixels of tiles in 4 iterations .*max_work allows {WORK - 1}"):
        im.load()
    im.iterations = 3
    im.load()
    pillow_rnc.open(io.BytesIO(data), max_work=WORK // 2, region=(0, 0, 40, 40)).load()
    with pytest.raises(RncFileError):
        next(iter(pillow_rnc.progressive(io.BytesIO(data), max_work=WORK - 1)))
    assert len(list(pillow_rnc.progressive(io.BytesIO(data), iterations=3, max_work=WORK - 1))) == 3


def test_the_limit_comes_from_the_call_then_the_block_then_the_environment(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(max_work: int | None = None) -> None:
        pillow_rnc.open(io.BytesIO(data), max_work=max_work).load()

    load()
    monkeypatch.setenv(defaults.MAX_WORK_VARIABLE, "5")
    with pytest.raises(WorkLimitError, match="allows 5"):
        load()
    with pillow_rnc.use_options(max_work=WORK):
        load()
        with pytest.raises(WorkLimitError, match="allows 7"):
            load(max_work=7)
    pillow_rnc.register_rnc_opener(max_work=6)
    try:
        with pytest.raises(WorkLimitError, match="allows 6"):
            Image.open(io.BytesIO(data)).load()
    finally:
        pillow_rnc.register_rnc_opener()


@pytest.mark.parametrize("value", ["", "0", "-1", "1e9", "many"])
def test_a_limit_in_the_environment_must_be_a_number(value: str, data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(defaults.MAX_WORK_VARIABLE, value)

    with pytest.raises(RncOptionError, match=defaults.MAX_WORK_VARIABLE):
        Image.open(io.BytesIO(data)).load()


@pytest.mark.parametrize("value", [0, -1, 1.5, "9", True])
def test_a_limit_in_a_call_must_be_a_number(value: int, data: bytes) -> None:
    with pytest.raises(RncOptionError, match="max_work"):
        pillow_rnc.open(io.BytesIO(data), max_work=value)
    with pytest.raises(RncOptionError, match="max_work"):
        pillow_rnc.register_rnc_opener(max_work=value)


def test_whatever_pillow_opens_without_a_warning_may_be_decoded() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    assert defaults.default_max_work() == 32 * Image.MAX_IMAGE_PIXELS
