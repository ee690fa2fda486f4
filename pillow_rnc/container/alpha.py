"""Lossless coding of the alpha plane, the data of the ``ALPH`` chunk (spec: alpha).

A predictor byte, then one zlib stream of the predicted plane.
Bit 0 of the predictor: each value is stored minus its left neighbour; bit 1: minus the one above.
Both are differences modulo 256 along one axis, so a decoder undoes them by running sums in any order.
Knows nothing of files, modes or Pillow; numpy is loaded only to predict, not to check.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from pillow_rnc.errors import CorruptError

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray

_LEFT = 1
_ABOVE = 2
_PREDICTORS = (0, _LEFT, _ABOVE, _LEFT | _ABOVE)
_COMPRESSION_LEVEL = 9
_OPAQUE = 255
LOSSLESS = 100
"""The quality that keeps every value."""


def encode_alpha(plane: NDArray[uint8], quality: float = LOSSLESS) -> bytes:
    """Encode an alpha plane with the predictor that makes it smallest.

    What a quality below 100 loses is lost before: values move to the nearest of evenly spaced ones, where that saves
    bytes. There are 256 of them at 100, 17 at 50, and at 0 only 0 and 255, which are always among them.

    Args:
        plane: uint8 [height, width], 255 is opaque.
        quality: 0 to 100, which keeps every value.

    Returns:
        The data of an ``ALPH`` chunk.

    Source: spec, alpha plane.
    """
    planes = [plane] if quality == LOSSLESS else [plane, _with_few_values(plane, quality)]
    return min((_encode_with(plane, predictor) for plane in planes for predictor in _PREDICTORS), key=len)


def reduce_alpha(data: bytes, width: int, height: int, quality: float) -> bytes:
    """Return the data of an ``ALPH`` chunk with what a quality from 0 to 100 grants, see `encode_alpha`.

    Raises:
        CorruptError: As `decode_alpha` does.
    """
    if quality == LOSSLESS:
        return data
    return min(data, encode_alpha(decode_alpha(data, width, height), quality), key=len)


def decode_alpha(data: bytes, width: int, height: int) -> NDArray[uint8]:
    """Decode the data of an ``ALPH`` chunk.

    Returns:
        uint8 array [height, width], 255 is opaque.

    Raises:
        CorruptError: The predictor is unknown, or the stream is damaged or of another size.

    Source: spec, alpha plane.
    """
    import numpy as np

    predictor, values = _unpack(data, width * height)
    plane = np.frombuffer(values, np.uint8).reshape(height, width)
    if predictor & _ABOVE:
        plane = np.add.accumulate(plane, axis=0, dtype=np.uint8)
    if predictor & _LEFT:
        plane = np.add.accumulate(plane, axis=1, dtype=np.uint8)
    return plane


def check_alpha(data: bytes, width: int, height: int) -> None:
    """Check that the data of an ``ALPH`` chunk decodes, without numpy.

    Raises:
        CorruptError: As `decode_alpha` does.
    """
    _unpack(data, width * height)


def _with_few_values(plane: NDArray[uint8], quality: float) -> NDArray[uint8]:
    import numpy as np

    steps = round(_OPAQUE ** (quality / LOSSLESS))
    values = np.rint(np.rint(np.arange(_OPAQUE + 1) * steps / _OPAQUE) * _OPAQUE / steps).astype(np.uint8)
    few: NDArray[uint8] = values[plane]
    return few


def _encode_with(plane: NDArray[uint8], predictor: int) -> bytes:
    import numpy as np

    if predictor & _LEFT:
        plane = np.diff(plane, axis=1, prepend=np.uint8(0))
    if predictor & _ABOVE:
        plane = np.diff(plane, axis=0, prepend=np.uint8(0))
    return bytes([predictor]) + zlib.compress(plane.tobytes(), _COMPRESSION_LEVEL)


def _unpack(data: bytes, size: int) -> tuple[int, bytes]:
    """Return the predictor and exactly ``size`` predicted bytes."""
    if not data or data[0] not in _PREDICTORS:
        msg = f"alpha: predictor {data[:1].hex() or 'missing'}, expected 0 to {_PREDICTORS[-1]}"
        raise CorruptError(msg)
    stream = zlib.decompressobj()
    try:
        # One byte more than allowed is enough to tell a stream that is too long.
        values = stream.decompress(memoryview(data)[1:], size + 1)
    except zlib.error as error:
        msg = f"alpha: {error}"
        raise CorruptError(msg) from error
    if len(values) != size or not stream.eof or stream.unused_data:
        msg = f"alpha: the stream does not end after the {size} bytes of the plane"
        raise CorruptError(msg)
    return data[0], values
