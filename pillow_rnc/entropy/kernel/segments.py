"""Codes of a tile <-> segments, by the native kernel: what `tile_coder` does in NumPy.

Source: spec, sections "Units" and "Entropy network".
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.container.records import Coding, Segment
from pillow_rnc.container.validation import codes_crc_mismatch
from pillow_rnc.errors import CorruptError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.entropy.kernel.coder import EntropyTile


def encode_segment(tile: EntropyTile, plane: NDArray[np.uint8]) -> Segment:
    """Return the segment of the next iteration; see `TileEncoder.encode_next`."""
    raw = np.packbits(plane).tobytes()
    payload = tile.encode(plane, len(raw))
    return Segment(Coding.RAW if payload is None else Coding.ENTROPY, payload or raw, zlib.crc32(raw))


def decode_segment(tile: EntropyTile, segment: Segment) -> NDArray[np.uint8]:
    """Return the plane of a running tile's segment, checked; see `TileDecoder.decode_next`."""
    if segment.coding is Coding.RAW:
        codes = np.unpackbits(np.frombuffer(segment.payload, np.uint8), count=int(np.prod(tile.shape)))
        plane = codes.reshape(tile.shape)
        tile.take(plane)
        return plane
    plane = tile.decode(segment.payload)
    found = zlib.crc32(np.packbits(plane).tobytes())
    if found != segment.codes_crc:
        raise CorruptError(codes_crc_mismatch(found, segment.codes_crc))
    return plane
