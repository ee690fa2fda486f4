"""Any segments are decoded or rejected with a documented error; decoded ones are exactly what an encoder writes.

Which bits are coded is determined a second time here, rule by rule as in the specification: other bits must not be set.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING

import model
import numpy as np

from pillow_rnc.container.records import STOPPED_SEGMENT, Coding, Segment
from pillow_rnc.entropy.tile_coder import TileDecoder, TileEncoder
from pillow_rnc.errors import RncFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Codes = NDArray[np.uint8]

WEIGHTS = model.tiny()
MAX_CELLS = 12
COEFFICIENT, LEVEL = (WEIGHTS.tensors[f"network.quantizer.{name}"] for name in ("coefficient", "level"))
IDLE = 1_000_000
"""Level of an idle pair."""


def test_one_input(data: bytes) -> None:
    """Grid height and width, then for each iteration a coding, a length in words and the payload."""
    if len(data) < 3:
        return
    grid = 1 + data[0] % MAX_CELLS, 1 + data[1] % MAX_CELLS
    position = 2
    decoder = TileDecoder(WEIGHTS.entropy_model, *grid)
    encoder = TileEncoder(WEIGHTS.entropy_model, *grid)
    planes: list[Codes] = []
    while position + 1 < len(data):
        coding, length = data[position], data[position + 1]
        payload = data[position + 2 : position + 2 + length]
        position += 2 + length
        segment = _segment(coding, payload)
        try:
            plane = decoder.decode_next(segment)
        except RncFileError as error:
            if "inferred bits" in str(error):
                bits = np.unpackbits(np.frombuffer(payload, np.uint8), count=decoder.shape.bits)
                assert set_inferred_bits(planes, bits.reshape(decoder.shape))
            return
        if plane is None:
            continue
        assert plane.dtype == np.uint8
        assert plane.max(initial=0) <= 1
        assert not set_inferred_bits(planes, plane)
        planes.append(plane)
        written = encoder.encode_next(plane)
        assert written.codes_crc == zlib.crc32(np.packbits(plane).tobytes())
        if segment.coding is Coding.ENTROPY:
            assert written.payload == segment.payload
        else:
            assert written.coding is Coding.ENTROPY or written.payload == segment.payload


def set_inferred_bits(before: Sequence[Codes], plane: Codes) -> int:
    """Return how many ones of the plane after those before it, uint8 [C, h, w], are set although they are inferred."""
    significant: dict[int, Codes] = {}
    for coefficients, levels, earlier in zip(COEFFICIENT, LEVEL, before, strict=False):
        for coefficient, level, ones in zip(coefficients, levels, earlier, strict=False):  # there are signs as well
            if level == 1:
                significant[int(coefficient)] = significant.get(int(coefficient), np.zeros_like(ones)) | ones
    pairs, found = len(plane) // 2, 0
    for pair, (coefficient, level) in enumerate(zip(COEFFICIENT[len(before)], LEVEL[len(before)], strict=True)):
        magnitude, sign = plane[pair], plane[pairs + pair]
        insignificant = 1 - significant.get(int(coefficient), np.zeros_like(magnitude))
        none = np.zeros_like(magnitude)
        coded = {1: np.ones_like(magnitude), IDLE: none}.get(int(level), insignificant & plane[pair - 1])
        found += int((magnitude & 1 - coded).sum())
        found += int((sign & 1 - (insignificant & magnitude if level == 1 else none)).sum())
    return found


def _segment(coding: int, payload: bytes) -> Segment:
    """Return a segment as an attacker writes it; one in sixteen with a wrong CRC."""
    if coding % 4 == Coding.STOPPED:
        return replace(STOPPED_SEGMENT, payload=payload)
    if coding % 4 == Coding.RAW:
        return Segment(Coding.RAW, payload, zlib.crc32(payload))
    return Segment(Coding.ENTROPY, payload, 0 if coding >= 240 else _AnyCrc())


class _AnyCrc(int):
    """Equal to every CRC, as if an attacker had known the CRC of the codes."""

    def __ne__(self, _other: object) -> bool:
        return False

    def __eq__(self, _other: object) -> bool:
        return True

    __hash__ = int.__hash__


if __name__ == "__main__":
    import engine

    engine.run("fuzz_tile_coder", structured=False)
