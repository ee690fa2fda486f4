"""The `ALPH` chunk as bytes: its predictor and its zlib stream, expanded no further than the plane is long.

Knows neither pixels nor numpy, so that files can be verified without it; `alpha` undoes the prediction.
Source: spec, section "Alpha".
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

from pillow_rnc.errors import CorruptError

LEFT = 1
ABOVE = 2
PREDICTORS = (0, LEFT, ABOVE, LEFT | ABOVE)
"""Bit 0: each value is stored minus its left neighbour; bit 1: minus the one above."""


class PredictedPlane(NamedTuple):
    """The contents of an `ALPH` chunk: predictor, and one predicted byte per pixel in row-major order."""

    predictor: int
    values: bytes


def unpack_alpha(data: bytes, pixels: int) -> PredictedPlane:
    """Return the contents of an `ALPH` chunk.

    Args:
        data: Data of the chunk.
        pixels: Number of pixels of the image.

    Raises:
        CorruptError: The predictor is unknown, or the stream is damaged or does not expand to `pixels` bytes.
    """
    if not data or data[0] not in PREDICTORS:
        raise CorruptError(f"alpha: predictor {data[:1].hex() or 'missing'}, must be 0 to {PREDICTORS[-1]}")
    stream = zlib.decompressobj()
    try:
        # One byte beyond the limit suffices to detect a stream that is too long.
        values = stream.decompress(memoryview(data)[1:], pixels + 1)
    except zlib.error as error:
        raise CorruptError(f"alpha: {error}") from error
    if len(values) != pixels or not stream.eof or stream.unused_data:
        raise CorruptError(f"alpha: the stream does not end after the {pixels} bytes of the plane")
    return PredictedPlane(data[0], values)
