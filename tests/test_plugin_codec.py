"""The plugin on a real, if tiny, network: what goes in as codes comes out the same, in every way of asking."""

from __future__ import annotations

import io
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from tiny_codec import register_tiny_codec

import pillow_rnc
from pillow_rnc import RncImageFile, RncOptionError, UnsupportedError
from pillow_rnc.container import reader, writer

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True, scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make the tiny model known; the only place where these tests say which one they run."""
    return register_tiny_codec(tmp_path_factory.mktemp("weights"))


def picture(mode: str, size: tuple[int, int]) -> Image.Image:
    samples = np.random.default_rng(5).integers(0, 256, (size[1], size[0], 4), np.uint8)
    return Image.fromarray(samples, "RGBA").convert(mode)


def saved(im: Image.Image, **params: object) -> bytes:
    fp = io.BytesIO()
    im.save(fp, "RNC", **{"model": "tiny", "iterations": 4, "tile_size": 64, "overlap": 16, **params})
    return fp.getvalue()


def opened(data: bytes) -> RncImageFile:
    return pillow_rnc.open(io.BytesIO(data))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (1, 70), (33, 31), (130, 64)])
def test_any_size_and_mode_is_there_and_back(mode: str, size: tuple[int, int]) -> None:
    original = picture(mode, size)
    data = saved(original)
    im = opened(data)

    assert (im.mode, im.size) == (mode, size)
    im.load()
    assert (im.mode, im.size) == (mode, size)
    if mode.endswith("A"):
        assert im.getchannel("A").tobytes() == original.getchannel("A").tobytes()
    assert saved(original) == data
    assert opened(data).tobytes() == im.tobytes()


@pytest.mark.parametrize("size", [(65535, 1), (1, 65535)])
def test_the_longest_sides_are_there_and_back(size: tuple[int, int]) -> None:
    original = picture("LA", size)
    im = opened(saved(original, iterations=1, tile_size=4096))

    assert (im.mode, im.size) == ("LA", size)
    assert im.getchannel("A").tobytes() == original.getchannel("A").tobytes()


def test_a_cut_is_what_fewer_iterations_encode() -> None:
    original = picture("RGB", (130, 70))
    data = saved(original)

    for iterations in (1, 2, 3):
        shorter = saved(original, iterations=iterations)
        assert writer.truncate(data, iterations) == shorter
        assert pillow_rnc.open(io.BytesIO(data), iterations=iterations).tobytes() == opened(shorter).tobytes()


@pytest.mark.parametrize("box", [(0, 0, 1, 1), (40, 10, 130, 64), (60, 0, 70, 70)])
@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_a_region_is_cut_from_the_whole(mode: str, box: tuple[int, int, int, int]) -> None:
    data = saved(picture(mode, (130, 70)))

    assert pillow_rnc.open(io.BytesIO(data), region=box).tobytes() == opened(data).crop(box).tobytes()


@pytest.mark.parametrize("mode", ["LA", "RGB"])
def test_what_is_shown_last_is_what_is_loaded(mode: str) -> None:
    data = saved(picture(mode, (100, 50)))
    shown: list[bytes] = []
    im = pillow_rnc.open(io.BytesIO(data), on_iteration=lambda _done, _total, part: shown.append(part.tobytes()))

    assert im.tobytes() == opened(data).tobytes() == shown[-1]
    assert shown[:3] == [pillow_rnc.open(io.BytesIO(data), iterations=k).tobytes() for k in (1, 2, 3)]


def test_threads_decode_the_same() -> None:
    data = saved(picture("RGB", (70, 40)))
    with ThreadPoolExecutor(4) as threads:
        decoded = set(threads.map(lambda _: opened(data).tobytes(), range(12)))

    assert decoded == {opened(data).tobytes()}


def test_threads_may_share_an_image() -> None:
    data = saved(picture("RGBA", (70, 40)))
    expected = opened(data).tobytes()
    for _ in range(5):
        im = opened(data)
        with ThreadPoolExecutor(4) as threads:
            assert set(threads.map(lambda _, im=im: im.tobytes(), range(4))) == {expected}


def test_targets_are_reached_by_cutting() -> None:
    original = picture("RGB", (40, 40))
    data = saved(original)
    smaller = len(saved(original, iterations=2))

    assert saved(original, iterations=None, target_size=smaller) == writer.truncate(data, 2)
    assert opened(saved(original, iterations=None, target_psnr=1)).iterations >= 1
    assert saved(original, iterations=None, quality=100) == data


def test_unknown_models_are_named() -> None:
    with pytest.raises(RncOptionError, match=r"model 'nobody' .*allowed are auto.*tiny"):
        saved(picture("L", (3, 3)), model="nobody")
    with pytest.raises(RncOptionError, match="device 'abacus'"):
        saved(picture("L", (3, 3)), device="abacus")
    with pytest.raises(RncOptionError, match="iterations 5 is not allowed, give 1 to 4 for 'tiny'"):
        saved(picture("L", (3, 3)), iterations=5)
    file = reader.parse(saved(picture("L", (3, 3))))
    strange = writer.build(replace(file, header=replace(file.header, model_id=b"\0unknown")))
    opened(strange).verify()
    with pytest.raises(UnsupportedError, match=b"\0unknown".hex()):
        opened(strange).load()


def test_the_module_is_not_the_fake_one() -> None:
    from pillow_rnc.codec import decoder

    assert decoder is sys.modules["pillow_rnc.codec.decoder"]
    assert decoder.__name__ == "pillow_rnc.codec.decoder"
