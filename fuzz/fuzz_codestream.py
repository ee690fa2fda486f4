"""Any segments decode or are refused by our own error; what decodes is exactly what an encoder writes."""

from __future__ import annotations

import zlib
from dataclasses import replace

import model
import numpy as np

from pillow_rnc.codestream import TileDecoder, TileEncoder
from pillow_rnc.errors import RncFileError
from pillow_rnc.records import STOPPED_SEGMENT, Coding, Segment

WEIGHTS = model.tiny()
MAX_CELLS = 12


def test_one_input(data: bytes) -> None:
    """Grid height and width, then for each iteration a coding, a length in words and the payload."""
    if len(data) < 3:
        return
    grid = 1 + data[0] % MAX_CELLS, 1 + data[1] % MAX_CELLS
    position = 2
    decoder = TileDecoder(WEIGHTS.entropy_model, *grid)
    encoder = TileEncoder(WEIGHTS.entropy_model, *grid)
    while position + 1 < len(data):
        coding, length = data[position], data[position + 1]
        payload = data[position + 2 : position + 2 + length]
        position += 2 + length
        segment = _segment(coding, payload)
        try:
            plane = decoder.decode_next(segment)
        except RncFileError:
            return
        if plane is None:
            continue
        assert plane.dtype == np.uint8
        assert plane.max(initial=0) <= 1
        written = encoder.encode_next(plane)
        assert written.codes_crc == zlib.crc32(np.packbits(plane).tobytes())
        if segment.coding is Coding.ENTROPY:
            assert written.payload == segment.payload
        else:
            assert written.coding is Coding.ENTROPY or written.payload == segment.payload


def _segment(coding: int, payload: bytes) -> Segment:
    """Return a segment as an attacker writes it; one in sixteen with a wrong CRC."""
    if coding % 4 == Coding.STOPPED:
        return replace(STOPPED_SEGMENT, payload=payload)
    if coding % 4 == Coding.RAW:
        return Segment(Coding.RAW, payload, zlib.crc32(payload))
    return Segment(Coding.ENTROPY, payload, 0 if coding >= 240 else _AnyCrc())


class _AnyCrc(int):
    """Equal to every CRC, as if the attacker had known that of the codes."""

    def __ne__(self, _other: object) -> bool:
        return False

    def __eq__(self, _other: object) -> bool:
        return True

    __hash__ = int.__hash__


if __name__ == "__main__":
    import engine

    engine.run("fuzz_codestream", structured=False)
