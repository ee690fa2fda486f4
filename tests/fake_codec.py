"""A codec without a network, for tests of what surrounds it.

Iteration k holds bit k of every sample, most significant first, as raw segments: eight iterations are lossless.
It has the signatures of `encoder` and `decoder` of `pillow_rnc.codec`, and counts its calls.
"""

from __future__ import annotations

import sys
import zlib
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc import codec
from pillow_rnc.codec.blending import padded_tile
from pillow_rnc.codec.execution import ExecutionOptions, StepCounter
from pillow_rnc.container.records import MAX_ITERATIONS, Coding, Header, RncFile, Segment
from pillow_rnc.models import weights
from pillow_rnc.models.config import EmbeddedConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pytest
    from numpy.typing import NDArray

    from pillow_rnc.codec.execution import OnProgress
    from pillow_rnc.container.records import Unit

    Pixels = NDArray[np.uint8]

MODEL_ID = b"fakecode"
STRIDE = 8
CHANNELS = 3 * STRIDE * STRIDE


class FakeCodec:
    """Stands in for the modules `encoder` and `decoder` of `pillow_rnc.codec`."""

    def __init__(self) -> None:
        self.encoded = 0
        self.decoded_iterations: list[int] = []
        self.execution = ExecutionOptions()
        """What the last call was given."""
        self.model = SimpleNamespace(config=EmbeddedConfig(iterations=MAX_ITERATIONS))

    @property
    def limits(self) -> tuple[int | None, int]:
        """Memory and threads that the last call was given."""
        return self.execution.max_memory, self.execution.max_threads

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the codec and its weights."""
        for name in ("decoder", "encoder"):
            monkeypatch.setitem(sys.modules, f"pillow_rnc.codec.{name}", self)
            monkeypatch.setattr(codec, name, self, raising=False)
        monkeypatch.setattr(weights, "load", self._load)
        monkeypatch.setattr(weights, "weights_for", lambda _header: self.model)

    def _load(self, name: str) -> SimpleNamespace:
        assert name == "auto"
        return self.model

    def encode_many(
        self,
        images: Sequence[Pixels],
        model: SimpleNamespace,
        *,
        iterations: int,
        tile_size: int,
        overlap: int,
        verify: bool,
        limits: Sequence[int] | None,
        execution: ExecutionOptions,
    ) -> list[tuple[Header, tuple[Unit, ...]]]:
        del limits  # no encoder has to observe them
        assert model is self.model
        assert not verify
        self._note(execution)
        return [self._encode(pixels, iterations, tile_size, overlap) for pixels in images]

    def _encode(self, pixels: Pixels, iterations: int, tile_size: int, overlap: int) -> tuple[Header, tuple[Unit, ...]]:
        assert pixels.dtype == np.uint8
        self.encoded += 1
        height, width, _ = pixels.shape
        header = Header(width, height, "RGB", iterations, CHANNELS, STRIDE, tile_size, overlap, MODEL_ID)
        tiles = [_to_cells(padded_tile(header.grid, pixels, index)) for index in range(len(header.grid))]
        return header, tuple(tuple(_segment(cells, k) for cells in tiles) for k in range(iterations))

    def decode_many(
        self, files: Sequence[RncFile], models: Sequence[SimpleNamespace], *, execution: ExecutionOptions
    ) -> list[Pixels]:
        return [self.decode(file, model, execution=execution) for file, model in zip(files, models, strict=True)]

    def decode(
        self,
        file: RncFile,
        model: SimpleNamespace,
        *,
        region: tuple[int, int, int, int] | None = None,
        reduction: int = 1,
        execution: ExecutionOptions,
    ) -> Pixels:
        assert model is self.model
        self._note(execution)
        self.decoded_iterations.append(len(file.units))
        return _decode(file, len(file.units), region)[::reduction, ::reduction]

    def iter_images(
        self,
        header: Header,
        units: Iterable[Unit],
        model: SimpleNamespace,
        *,
        region: tuple[int, int, int, int] | None = None,
        reduction: int = 1,
        execution: ExecutionOptions,
        progress: StepCounter | None = None,
    ) -> Iterator[Pixels]:
        assert model is self.model
        self._note(execution)
        so_far: list[Unit] = []
        for unit in units:
            so_far.append(unit)
            self.decoded_iterations.append(len(so_far))
            if progress is not None:
                progress.add(len(unit))
            yield _decode(RncFile(header, {}, None, tuple(so_far)), len(so_far), region)[::reduction, ::reduction]

    @staticmethod
    def step_counter(
        file: RncFile, _region: object, on_progress: OnProgress | None, _reduction: int = 1
    ) -> StepCounter:
        return StepCounter(sum(map(len, file.units)), on_progress)

    def _note(self, execution: ExecutionOptions) -> None:
        assert execution.device.partition(":")[0] == "cpu"
        assert execution.max_memory is None or execution.max_memory >= 1
        self.execution = execution


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
