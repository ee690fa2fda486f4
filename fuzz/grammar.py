"""Valid but extreme files, which mutations of ordinary files hardly ever reach."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.container import alpha, writer
from pillow_rnc.container.chunks import pack_chunk
from pillow_rnc.container.records import (
    MAX_METADATA_BYTES,
    MODES,
    STOPPED_SEGMENT,
    Coding,
    Header,
    RncFile,
    Segment,
    pack_dpi,
)
from pillow_rnc.container.signature import SIGNATURE
from pillow_rnc.entropy.tile_coder import TileEncoder, code_plane

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pillow_rnc.container.records import CodeShape, Unit
    from pillow_rnc.entropy.model import EntropyModel
    from pillow_rnc.models.weights import Weights

    Codes = NDArray[np.uint8]

SIDES = (1, 2, 15, 16, 17, 63, 64, 65, 100, 129)
MAX_TILES = 24


def generate(source: random.Random, weights: Weights, *, header: Header | None = None) -> RncFile:
    """Return a file of a model, with codes that no image would have.

    Args:
        source: Random generator of all choices.
        weights: The model.
        header: The header; drawn by default.
    """
    header = header or _header(source, weights)
    stops = [source.choice((1, header.iterations, 99)) for _ in header.grid]
    kind = source.choice(("likely", "likely", "mixed", "mixed", "zeros", "ones", "noise"))
    by_tile = []
    for tile, stop in zip(header.grid, stops, strict=True):
        shape = header.code_shape(tile)
        encoder = TileEncoder(weights.entropy_model, shape.height, shape.width)
        drawn = _Drawn(weights.entropy_model, shape, np.random.default_rng(source.getrandbits(64)))
        segments = []
        for iteration in range(header.iterations):
            if iteration >= stop:
                segments.append(STOPPED_SEGMENT)
                continue
            plane = _plane(source, drawn, kind)
            segment = encoder.encode_next(plane)
            segments.append(_as_raw(plane) if source.random() < 0.1 else segment)
        by_tile.append(segments)
    units: tuple[Unit, ...] = tuple(zip(*by_tile, strict=True))
    return RncFile(header, _metadata(source), _alpha(source, header), units)


def generate_bytes(source: random.Random, weights: Weights) -> bytes:
    """Return a file as bytes, sometimes with unknown chunks that a reader must ignore."""
    data = writer.build(generate(source, weights))
    if source.random() < 0.3:
        head_end = len(SIGNATURE) + 12 + 22
        chunk = pack_chunk(source.choice((b"abcd", b"abcD", b"zzZz")), source.randbytes(source.randrange(9)))
        data = data[:head_end] + chunk + data[head_end:]
    return data


def _header(source: random.Random, weights: Weights) -> Header:
    config = weights.config
    while True:
        width, height = source.choice(SIDES), source.choice(SIDES)
        if source.random() < 0.1:
            width, height = (SIDES[-1], 1) if source.random() < 0.5 else (1, SIDES[-1])
        tile_size = source.choice((64, 80, 128, 4096))
        header = Header(
            width,
            height,
            source.choice(MODES),
            source.randint(1, config.iterations),
            config.code_channels,
            config.code_stride,
            tile_size,
            16 * source.randint(0, min(240, tile_size // 2) // 16),
            weights.model_id,
            (1, source.choice((0, 1, 255))),
        )
        if len(header.grid) <= MAX_TILES:
            return header


class _Drawn:
    """Draws the coded bits of a tile, iteration by iteration."""

    def __init__(self, model: EntropyModel, shape: CodeShape, generator: np.random.Generator) -> None:
        self._shape = shape
        self._generator = generator
        self._model = model
        self._state = model.start(shape.height, shape.width)
        self._coded_bits = model.coded_bits(shape.height, shape.width)
        self._iteration = 0
        self._previous: NDArray[np.int8] | None = None

    def draw(self, kind: str) -> Codes:
        """Return codes of the next iteration: zeros, ones, noise, or drawn with the probabilities of the model."""
        bits_of: dict[str, Callable[[NDArray[np.uint16]], Codes]] = {
            "zeros": lambda k: np.zeros(k.size, np.uint8),
            "ones": lambda k: np.ones(k.size, np.uint8),
            "noise": lambda k: self._generator.integers(0, 2, k.size, np.uint8),
            # So that entropy coding saves bits.
            "likely": lambda k: (self._generator.random(k.size) * 65_536 < k).astype(np.uint8),
        }
        draw = bits_of[kind]
        self._state.start_iteration(self._iteration, self._previous)
        plane = np.zeros(self._shape, np.uint8)
        code_plane(self._model.passes, self._state, self._coded_bits, plane, lambda k, _: draw(k))
        self._previous = self._coded_bits.finish(plane)
        self._iteration += 1
        return plane


def _plane(source: random.Random, drawn: _Drawn, kind: str) -> Codes:
    if kind == "mixed":
        kind = source.choice(("zeros", "ones", "noise", "likely", "likely", "likely"))
    return drawn.draw(kind)


def _as_raw(plane: Codes) -> Segment:
    packed = np.packbits(plane).tobytes()
    return Segment(Coding.RAW, packed, zlib.crc32(packed))


def _metadata(source: random.Random) -> dict[str, bytes]:
    lengths = (1, 2, 100) if source.random() < 0.998 else (MAX_METADATA_BYTES,)
    values = {
        key: source.randbytes(1) * source.choice(lengths)
        for key in ("icc_profile", "exif", "xmp", "comment")
        if source.random() < 0.2
    }
    if source.random() < 0.2:
        values["dpi"] = pack_dpi((source.choice((1 / 65_536, 72.0, 65_535.0)), source.uniform(1, 600)))
    return values


def _alpha(source: random.Random, header: Header) -> bytes | None:
    if not header.mode.endswith("A") or source.random() < 0.3:
        return None
    values = np.random.default_rng(source.getrandbits(64)).integers(0, 256, (header.height, header.width), np.uint8)
    plane = values if source.random() < 0.5 else np.full_like(values, 7)
    blob = alpha.encode_alpha(plane)
    return blob if len(blob) <= 2 * plane.size + 1024 else None
