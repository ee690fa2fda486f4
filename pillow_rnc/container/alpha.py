"""Alpha plane <-> data of the `ALPH` chunk: lossless coding, and the optional quantization before it.

The predictors are differences modulo 256 along one axis each, so running sums in any order undo them.
This module knows neither files nor modes nor Pillow; numpy is loaded on first use.
Source: spec, section "Alpha".
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from pillow_rnc.container.alpha_stream import ABOVE, LEFT, PREDICTORS, unpack_alpha
from pillow_rnc.fork_safety import importing

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray

_COMPRESSION_LEVEL = 9
_OPAQUE = 255
LOSSLESS = 100
"""The quality at which every value is kept."""


def encode_alpha(plane: NDArray[uint8], quality: float = LOSSLESS) -> bytes:
    """Encode an alpha plane with the predictor that gives the fewest bytes.

    The coding itself is lossless. Below quality 100, values are first quantized to evenly spaced levels if that saves
    bytes: 256 levels at quality 100, 17 at 50, and 2 at 0. The levels always include 0 and 255.

    Args:
        plane: uint8 [height, width], 255 is opaque.
        quality: 0 to 100; at 100 every value is kept.

    Returns:
        The data of an `ALPH` chunk.
    """
    planes = [plane] if quality == LOSSLESS else [plane, _quantized(plane, quality)]
    return min((_encode_with(plane, predictor) for plane in planes for predictor in PREDICTORS), key=len)


def reduce_alpha(data: bytes, width: int, height: int, quality: float) -> bytes:
    """Return the data of an `ALPH` chunk re-encoded at a quality of 0 to 100 if that is smaller; see `encode_alpha`.

    Raises:
        CorruptError: As `decode_alpha` does.
    """
    if quality == LOSSLESS:
        return data
    return min(data, encode_alpha(decode_alpha(data, width, height), quality), key=len)


def decode_alpha(data: bytes, width: int, height: int) -> NDArray[uint8]:
    """Decode the data of an `ALPH` chunk.

    Returns:
        uint8 array [height, width], 255 is opaque.

    Raises:
        CorruptError: The predictor is unknown, or the stream is damaged or has another length.
    """
    with importing:
        import numpy as np

    predictor, values = unpack_alpha(data, width * height)
    plane = np.frombuffer(values, np.uint8).reshape(height, width)
    if predictor & ABOVE:
        plane = np.add.accumulate(plane, axis=0, dtype=np.uint8)
    if predictor & LEFT:
        plane = np.add.accumulate(plane, axis=1, dtype=np.uint8)
    return plane


def _quantized(plane: NDArray[uint8], quality: float) -> NDArray[uint8]:
    with importing:
        import numpy as np

    steps = round(_OPAQUE ** (quality / LOSSLESS))
    levels = np.rint(np.rint(np.arange(_OPAQUE + 1) * steps / _OPAQUE) * _OPAQUE / steps).astype(np.uint8)
    quantized: NDArray[uint8] = levels[plane]
    return quantized


def _encode_with(plane: NDArray[uint8], predictor: int) -> bytes:
    with importing:
        import numpy as np

    if predictor & LEFT:
        plane = np.diff(plane, axis=1, prepend=np.uint8(0))
    if predictor & ABOVE:
        plane = np.diff(plane, axis=0, prepend=np.uint8(0))
    return bytes([predictor]) + zlib.compress(plane.tobytes(), _COMPRESSION_LEVEL)
