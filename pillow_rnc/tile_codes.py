"""One tile between its code planes and the segments of a file; `codec` has the pictures, `codestream` the bits.

Source: spec, section "Units".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.codestream import TileDecoder, TileEncoder, decode_tile
from pillow_rnc.errors import CorruptError, RncError, UnsupportedError
from pillow_rnc.weights import Weights, load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from pillow_rnc.records import Header, RncFile, Segment

    Plane = NDArray[np.uint8]


def weights_for(header: Header) -> Weights:
    """Return the weights of a file's model, once they are known to fit its header.

    Raises:
        UnsupportedError: No installed model has the file's id, or the header does not fit the model.
        WeightsError: The weights are missing or altered.
    """
    weights = load(header.model_id)
    config = weights.config
    found = (header.code_channels, header.code_stride)
    if found != (config.code_channels, config.code_stride) or header.iterations > config.iterations:
        msg = (
            f"{header.code_channels} code channels at stride {header.code_stride}, {header.iterations} iterations; "
            f"model {weights.name!r} has {config.code_channels} at {config.code_stride}, {config.iterations}"
        )
        raise UnsupportedError(msg)
    return weights


class TileWriter:
    """One tile on its way from codes to segments.

    Args:
        weights: The model.
        shape: Shape of its code planes.
        tile: Its number, for messages.
        verify: Keep what is needed to verify it in the end.
    """

    def __init__(self, weights: Weights, shape: tuple[int, ...], tile: int, *, verify: bool) -> None:
        self._weights, self._tile = weights, tile
        self._encoder = TileEncoder(weights.entropy_model, *shape[1:])
        self._planes: list[Plane] | None = [] if verify else None

    def encode_next(self, plane: Plane) -> Segment:
        """Return the segment of the next iteration; see `codestream.TileEncoder`."""
        if self._planes is not None:
            self._planes.append(plane)
        return self._encoder.encode_next(plane)

    def verify(self, segments: list[Segment]) -> None:
        """Raise unless the segments decode to the planes that they were made of."""
        assert self._planes is not None
        grid = self._planes[0].shape[1], self._planes[0].shape[2]
        try:
            decoded = decode_tile(segments, self._weights.entropy_model, grid, tile=self._tile)
        except CorruptError as error:
            msg = f"what was just encoded cannot be decoded, nothing is saved: {error}"
            raise RncError(msg) from error
        if not np.array_equal(decoded, self._planes):
            msg = f"tile {self._tile}: what was just encoded decodes to other codes, nothing is saved"
            raise RncError(msg)


def decoder_of(header: Header, weights: Weights, index: int) -> TileDecoder:
    """Return what decodes a tile, by its number; the weights are those of the header."""
    shape = header.code_shape(header.grid[index])
    return TileDecoder(weights.entropy_model, shape.height, shape.width, tile=index)


def planes_of(file: RncFile, weights: Weights, tile: int, *, number: int | None = None) -> Iterator[Plane]:
    """Yield the planes of a tile, uint8 [C, h, w] each; errors name the file by its number, if it has one."""
    decoder = decoder_of(file.header, weights, tile)
    try:
        for unit in file.units:
            plane = decoder.decode_next(unit[tile])
            if plane is not None:
                yield plane
    except RncError as error:
        if number is not None:
            error.add_note(f"in file {number} of the batch, counted from 0")
        raise
