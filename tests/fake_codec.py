"""A codec without a network, for tests of what surrounds it.

Iteration k holds bit k of every sample, most significant first, as raw segments: eight iterations are lossless.
It keeps the signatures of `encoder` and `decoder` of `pillow_rnc.codec`, and counts its calls.
"""

from __future__ import annotations

import sys
import zlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from pillow_rnc import codec
from pillow_rnc.codec.batching import MAX_MEMORY
from pillow_rnc.codec.blending import split
from pillow_rnc.container.records import MAX_ITERATIONS, Coding, Header, RncFile, Segment
from pillow_rnc.models import weights
from pillow_rnc.models.config import EmbeddedConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pytest
    from numpy.typing import NDArray

    from pillow_rnc.codec.progress import OnProgress
    from pillow_rnc.container.records import Unit

    Pixels = NDArray[np.uint8]

MODEL_ID = b"fakecode"
STRIDE = 8
CHANNELS = 3 * STRIDE * STRIDE


class FakeCodec:
    """Stands in for the modules `encoder` and `decoder` of `pillow_rnc.codec`."""

    MAX_MEMORY = MAX_MEMORY

    def __init__(self) -> None:
        self.encoded = 0
        self.decoded_iterations: list[int] = []
        self.limits = 0, 0
        """Memory and threads that the last call was given."""

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the codec and its weights."""
        for name in ("decoder", "encoder"):
            monkeypatch.setitem(sys.modules, f"pillow_rnc.codec.{name}", self)
            monkeypatch.setattr(codec, name, self, raising=False)
        model = SimpleNamespace(config=EmbeddedConfig(iterations=MAX_ITERATIONS))
        monkeypatch.setattr(weights, "load", lambda _model: model)

    def encode(
        self,
        pixels: Pixels,
        *,
        iterations: int,
        model: str = "auto",
        tile_size: int = 768,
        overlap: int = 32,
        device: str = "cpu",
        verify: bool = False,
        max_threads: int = 0,
        on_progress: OnProgress | None = None,  # noqa: ARG002 -- it is done at once
    ) -> tuple[Header, tuple[Unit, ...]]:
        assert (model, device.partition(":")[0], verify) == ("auto", "cpu", False)
        assert pixels.dtype == np.uint8
        self.encoded += 1
        self.limits = self.limits[0], max_threads
        height, width, _ = pixels.shape
        header = Header(width, height, "RGB", iterations, CHANNELS, STRIDE, tile_size, overlap, MODEL_ID)
        tiles = [_to_cells(tile) for tile in split(header.grid, pixels)]
        return header, tuple(tuple(_segment(cells, k) for cells in tiles) for k in range(iterations))

    def encode_batch(
        self,
        pictures: Sequence[Pixels],
        *,
        max_memory: int = MAX_MEMORY,
        **options: Any,  # noqa: ANN401 -- those of encode
    ) -> list[tuple[Header, tuple[Unit, ...]]]:
        assert max_memory >= 1
        self.limits = max_memory, 0
        return [self.encode(pixels, **options) for pixels in pictures]

    def decode_batch(
        self,
        files: Sequence[RncFile],
        **options: Any,  # noqa: ANN401 -- those of decode
    ) -> list[Pixels]:
        return [self.decode(file, **options) for file in files]

    def decode(
        self,
        file: RncFile,
        *,
        iterations: int | None = None,
        region: tuple[int, int, int, int] | None = None,
        device: str = "cpu",
        on_iteration: Callable[[int, int, Pixels], None] | None = None,
        max_memory: int = MAX_MEMORY,
        max_threads: int = 0,
        on_progress: OnProgress | None = None,  # noqa: ARG002 -- it is done at once
    ) -> Pixels:
        self.limits = max_memory, max_threads
        assert device.partition(":")[0] == "cpu"
        assert max_memory >= 1
        total = iterations or len(file.units)
        self.decoded_iterations.append(total)
        if on_iteration:
            for done in range(1, total + 1):
                on_iteration(done, total, _decode(file, done, region))
        return _decode(file, total, region)

    def pictures(
        self,
        header: Header,
        units: Iterable[Unit],
        *,
        region: tuple[int, int, int, int] | None = None,
        device: str = "cpu",
        max_threads: int = 0,
    ) -> Iterator[Pixels]:
        self.limits = MAX_MEMORY, max_threads
        assert device.partition(":")[0] == "cpu"
        so_far: list[Unit] = []
        for unit in units:
            so_far.append(unit)
            self.decoded_iterations.append(len(so_far))
            yield _decode(RncFile(header, {}, None, tuple(so_far)), len(so_far), region)


def _decode(file: RncFile, iterations: int, region: tuple[int, int, int, int] | None) -> Pixels:
    header = file.header
    pixels = np.zeros((header.height, header.width, 3), np.uint8)
    for index, tile in enumerate(header.grid):
        shape = header.code_shape(tile)
        cells = np.zeros(shape, np.uint8)
        for k in range(min(iterations, 8)):
            packed = np.frombuffer(file.units[k][index].payload, np.uint8)
            cells |= np.unpackbits(packed, count=shape.bits).reshape(shape) << np.uint8(7 - k)
        if iterations < 8:
            cells |= np.uint8(1 << (7 - iterations))
        box = np.s_[tile.y : tile.y + tile.height, tile.x : tile.x + tile.width]
        pixels[box] = _from_cells(cells)[: tile.height, : tile.width]
    if region:
        left, upper, right, lower = region
        pixels = pixels[upper:lower, left:right]
    return pixels[..., 0] if header.mode in ("L", "LA") else pixels


def _to_cells(tile: Pixels) -> Pixels:
    height, width, bands = tile.shape
    blocks = tile.reshape(height // STRIDE, STRIDE, width // STRIDE, STRIDE, bands)
    return np.ascontiguousarray(blocks.transpose(1, 3, 4, 0, 2).reshape(CHANNELS, height // STRIDE, width // STRIDE))


def _from_cells(cells: Pixels) -> Pixels:
    _, rows, columns = cells.shape
    blocks = cells.reshape(STRIDE, STRIDE, 3, rows, columns).transpose(3, 0, 4, 1, 2)
    return blocks.reshape(rows * STRIDE, columns * STRIDE, 3)


def _segment(cells: Pixels, k: int) -> Segment:
    bits = (cells >> np.uint8(7 - k)) & np.uint8(1) if k < 8 else np.zeros_like(cells)
    payload = np.packbits(bits.ravel()).tobytes()
    return Segment(Coding.RAW, payload, zlib.crc32(payload))
