"""Any image with any options is saved and decoded again, or the options are rejected."""

from __future__ import annotations

import io

import model
import numpy as np
from numpy.typing import NDArray
from PIL import Image

import pillow_rnc
from pillow_rnc.container import reader, writer
from pillow_rnc.errors import RncOptionError

Pixels = NDArray[np.uint8]

WEIGHTS = model.tiny()
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "PA", "I;16", "F")
NATIVE = {"L", "LA", "RGB", "RGBA"}
MAX_SIDE = 80
HEAD = 8


def test_one_input(data: bytes) -> None:
    """Size, mode and options in the first bytes, then samples, repeated to fill the image."""
    if len(data) <= HEAD:
        return
    width, height, kind, iterations, tile, overlap, transparent, comment = data[:HEAD]
    size = 1 + width % MAX_SIDE, 1 + height % MAX_SIDE
    mode = MODES[kind % len(MODES)]
    im = _picture(mode, size, data[HEAD:])
    if transparent & 1 and mode in ("1", "L", "P", "RGB"):
        im.info["transparency"] = im.getpixel((0, 0))
    fp = io.BytesIO()
    try:
        im.save(
            fp,
            "RNC",
            model=WEIGHTS.model_id.hex(),
            iterations=iterations % 6,
            tile_size=tile * 16,
            overlap=overlap,
            comment=data[-(comment % 32) :],
            verify=True,
        )
    except RncOptionError:
        assert not fp.getvalue()
        return
    except OSError:
        if mode in ("I;16", "F"):
            return
        raise
    _check(fp.getvalue(), im)


def _picture(mode: str, size: tuple[int, int], samples: bytes) -> Image.Image:
    if mode in ("I;16", "F"):
        return Image.new(mode, size)
    pixels: Pixels = np.resize(np.frombuffer(samples, np.uint8), (size[1], size[0], 4))
    return Image.fromarray(pixels, "RGBA").convert("P").convert(mode) if mode == "PA" else _converted(pixels, mode)


def _converted(pixels: Pixels, mode: str) -> Image.Image:
    im = Image.fromarray(pixels, "RGBA")
    return im.convert("RGB").convert(mode) if mode in ("HSV", "LAB", "YCbCr", "CMYK") else im.convert(mode)


def _check(data: bytes, im: Image.Image) -> None:
    """The file is canonical, within its size bound, and shows the expected image."""
    file = reader.parse(data)
    assert writer.build(file) == data
    header = file.header
    raw = sum(header.code_shape(tile).raw_bytes for tile in header.grid) * header.iterations
    fixed = 256 + 16 * len(header.grid) * header.iterations + sum(map(len, file.metadata.values()))
    assert len(data) - len(file.alpha or b"") <= raw + fixed
    back = pillow_rnc.open(io.BytesIO(data))
    assert back.size == im.size
    assert back.mode in NATIVE
    assert im.mode not in NATIVE or back.mode in (im.mode, im.mode + "A")
    back.load()
    if back.mode.endswith("A") and im.mode in ("LA", "RGBA"):
        assert back.getchannel("A").tobytes() == im.getchannel("A").tobytes()
    again = io.BytesIO()
    back.save(again, "RNC")
    assert again.getvalue() == data


if __name__ == "__main__":
    import engine

    engine.run("fuzz_round_trip", structured=False)
