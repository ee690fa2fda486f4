"""What a user writes, with every public name; a type checker says in test_types.py whether it knows them."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from PIL import Image
from typing_extensions import assert_type

import pillow_rnc

if TYPE_CHECKING:
    from pathlib import Path


def show(done: int, total: int, image: Image.Image) -> None:
    print(done, total, image.size)


def convert(source: Path, target: Path) -> int:
    Image.open(source).save(target, "RNC", iterations=6)
    with pillow_rnc.open(target, iterations=3, region=(0, 0, 8, 8), on_iteration=show, max_pixels=10**6) as im:
        assert_type(im, pillow_rnc.RncImageFile)
        assert_type(im.iterations, int)
        im.iterations = 2
        im.load()
    images_so_far = pillow_rnc.progressive(target, device="cpu", allow_truncated=True)
    assert_type(images_so_far, pillow_rnc.Progressive)
    assert_type(iter(images_so_far), Iterator[Image.Image])
    streams = [io.BytesIO(target.read_bytes())]
    images = pillow_rnc.decode_batch([target, *streams], iterations=1, max_memory=1 << 28, on_progress=print)
    assert_type(images, list[pillow_rnc.RncImageFile])
    assert_type(pillow_rnc.encode_batch(images, iterations=2), list[bytes])
    said = pillow_rnc.info(target)
    assert_type(said, pillow_rnc.FileInfo)
    assert_type(said["bytes_per_iteration"], list[int])
    assert_type(pillow_rnc.models(), list[pillow_rnc.ModelInfo])
    assert_type(pillow_rnc.register_model("mine.safetensors").is_default, bool)
    pillow_rnc.verify(io.BytesIO(target.read_bytes()))
    return pillow_rnc.truncate(target, io.BytesIO(), target_size=1000)


def guarded(path: str) -> Image.Image | None:
    pillow_rnc.register_rnc_opener(iterations=6, device="cpu", keep_metadata=False, mimetypes=True)
    warnings.simplefilter("error", pillow_rnc.RncWarning)
    try:
        with pillow_rnc.use_options(iterations=4):
            return pillow_rnc.open(path)
    except pillow_rnc.TruncatedError as error:
        assert_type(error.decodable_iterations, int)
        return pillow_rnc.open(path, allow_truncated=True)
    except (pillow_rnc.SignatureError, pillow_rnc.CorruptError, pillow_rnc.UnsupportedError):
        return None
    except (pillow_rnc.WorkLimitError, pillow_rnc.RncFileError, pillow_rnc.DeviceMemoryError, OSError):
        return None
    except (pillow_rnc.RncOptionError, pillow_rnc.WeightsError, pillow_rnc.RncError):
        return None


assert_type(pillow_rnc.__version__, str)
