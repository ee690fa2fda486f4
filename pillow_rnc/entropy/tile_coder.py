"""Codes of a tile <-> segments: entropy network and range coder, pass by pass.

Both directions run the same loop, so that the decoder asks for each probability with exactly the bits
known that the encoder had. This module knows tiles only by number, and no file and no picture.

Source: spec, sections "Units" and "Entropy network".
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.container.records import CodeShape, Coding, Segment
from pillow_rnc.container.validation import segment_faults, wrong_codes
from pillow_rnc.entropy.kernel_segments import decode_segment, encode_segment
from pillow_rnc.entropy.range_coder import SegmentDecoder, SegmentEncoder
from pillow_rnc.entropy.significance import untold
from pillow_rnc.entropy.tensors import cells_of
from pillow_rnc.errors import CorruptError, RncError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from pillow_rnc.entropy.model import EntropyModel, EntropyState
    from pillow_rnc.entropy.significance import Told
    from pillow_rnc.entropy.tensors import Pass

EVEN_ODDS = np.uint16(1 << 15)
"""Probability of a sign, in 1/65536."""


def code_plane(
    passes: tuple[Pass, ...],
    state: EntropyState,
    told: Told,
    plane: NDArray[np.uint8],
    code: Callable[[NDArray[np.uint16], NDArray[np.uint8]], NDArray[np.uint8]],
) -> None:
    """Run over the bits of a plane that are told, in coding order, and write back what ``code`` makes of them.

    Args:
        passes: Those of the model.
        state: The network at work on the tile, the iteration begun.
        told: Which bits of the iteration are told.
        plane: uint8 [C, h, w], contiguous; bits that are not told are 0 in it.
        code: Given probabilities k, uint16 [n], and the n bits of the plane, returns n bits.
    """
    flat = plane.reshape(len(plane), -1)
    for index, one in enumerate(passes):
        cells, k = cells_of(one.lattice, *plane.shape[1:]), state.probabilities(index)
        bits = flat[one.first : one.stop, cells]
        for channels in told.rounds(len(bits)):
            some, mask = bits[channels], told.magnitudes(bits, channels, cells)
            chosen = some[mask]
            some[mask] = code(k[channels][mask].ravel(), chosen.ravel()).reshape(chosen.shape)
            bits[channels] = some
        flat[one.first : one.stop, cells] = bits
        state.reveal(index, told.values(bits, cells))
    first, mask = told.signs(flat)
    signs, at = flat[first:].reshape(-1), np.flatnonzero(mask)
    signs[at] = code(np.full(len(at), EVEN_ODDS), signs[at])


def encode_tile(codes: NDArray[np.uint8], model: EntropyModel) -> list[Segment]:
    """Return one segment per iteration.

    Args:
        codes: uint8 [iterations, C, h, w], values 0 or 1.
        model: Network of C code channels and at least so many iterations.

    Returns:
        Entropy-coded segments, raw ones where those would be longer.

    Raises:
        ValueError: A code is not 0 or 1, or the model does not fit.
    """
    encoder = TileEncoder(model, codes.shape[2], codes.shape[3])
    return [encoder.encode_next(plane) for plane in codes]


def decode_tile(
    segments: Iterable[Segment], model: EntropyModel, grid: tuple[int, int], *, tile: int = 0
) -> NDArray[np.uint8]:
    """Return the codes of the segments, up to the one that stops the tile.

    Args:
        segments: The tile's segments from iteration 0 on.
        model: Network that encoded them.
        grid: Rows and columns of code cells.
        tile: Number of the tile, for messages.

    Returns:
        uint8 [k, C, h, w], values 0 or 1; k is less than the number of segments if the tile stopped.

    Raises:
        CorruptError: A segment is invalid, or its codes do not have the stored CRC.
        UnsupportedError: There are more iterations than the model can code.
    """
    decoder = TileDecoder(model, *grid, tile=tile)
    planes = [plane for plane in map(decoder.decode_next, segments) if plane is not None]
    return np.stack(planes) if planes else np.empty((0, *decoder.shape), dtype=np.uint8)


class TileEncoder:
    """Encodes the iterations of one tile, one after another.

    Args:
        model: Network of the file.
        grid_h: Rows of code cells.
        grid_w: Columns of code cells.
    """

    def __init__(self, model: EntropyModel, grid_h: int, grid_w: int) -> None:
        self._model = model
        self._shape = CodeShape(model.code_channels, grid_h, grid_w)
        self._iteration = 0
        self._kernel = model.kernel_tile(grid_h, grid_w)
        if self._kernel is not None:
            return
        self._state = model.start(grid_h, grid_w)
        self._told = model.told(grid_h, grid_w)
        self._previous: NDArray[np.int8] | None = None

    def encode_next(self, plane: NDArray[np.uint8]) -> Segment:
        """Return the segment of the next iteration.

        Args:
            plane: uint8 [C, h, w], values 0 or 1.

        Raises:
            ValueError: A code is not 0 or 1, or is 1 where nothing is told, or the model has no such channels or
                iteration.
            RncError: The range decoder does not give the codes back.
        """
        if plane.shape != self._shape or self._iteration >= self._model.iterations:
            msg = f"codes {plane.shape} of iteration {self._iteration} do not fit the model"
            raise ValueError(msg)
        if self._kernel is not None:
            segment = encode_segment(self._kernel, plane)
            self._iteration += 1
            return segment
        plane, told = np.array(plane, order="C"), self._told  # a copy, as `code_plane` writes to it
        if spare := untold(told, plane):
            msg = f"{spare} codes of iteration {self._iteration} are 1 and tell nothing"
            raise ValueError(msg)
        encoder = SegmentEncoder()
        coded = []

        def encode(k: NDArray[np.uint16], bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
            encoder.encode(bits, k)
            coded.append((bits, k))
            return bits

        self._state.begin(self._iteration, self._previous)
        code_plane(self._model.passes, self._state, told, plane, encode)
        payload, raw = encoder.finish(), np.packbits(plane).tobytes()
        if len(payload) > len(raw):
            segment = Segment(Coding.RAW, raw, zlib.crc32(raw))
        else:
            segment = Segment(Coding.ENTROPY, payload, zlib.crc32(raw))
            _check_payload(payload, coded, f"iteration {self._iteration}")
        self._iteration += 1
        self._previous = told.finish(plane)
        return segment


def _check_payload(payload: bytes, coded: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint16]]], place: str) -> None:
    """Raise unless a payload decodes to the bits that were coded under the same probabilities."""
    decoder = SegmentDecoder(payload)
    try:
        decoded = [decoder.decode(k) for _, k in coded]
        decoder.finish()
    except CorruptError as error:
        msg = f"{place}: the payload just written cannot be read, nothing is saved"
        raise RncError(msg) from error
    if not all(np.array_equal(back, bits) for back, (bits, _) in zip(decoded, coded, strict=True)):
        msg = f"{place}: the payload just written gives other codes, nothing is saved"
        raise RncError(msg)


class TileDecoder:
    """Decodes the iterations of one tile, one after another; of no use after an error.

    Args:
        model: Network of the file.
        grid_h: Rows of code cells.
        grid_w: Columns of code cells.
        tile: Number of the tile, for messages.

    Attributes:
        shape: Shape of a code plane.
    """

    def __init__(self, model: EntropyModel, grid_h: int, grid_w: int, *, tile: int = 0) -> None:
        self.shape = CodeShape(model.code_channels, grid_h, grid_w)
        self._model = model
        self._tile = tile
        self._iteration = 0
        self._stopped = False
        self._kernel = model.kernel_tile(grid_h, grid_w)
        if self._kernel is not None:
            return
        self._state = model.start(grid_h, grid_w)
        self._told = model.told(grid_h, grid_w)
        # Planes eight codes to a byte; and the values that the network begins its next iterations with, as raw segments
        # do not need it. Nothing comes before the first.
        self._planes: list[NDArray[np.uint8]] = []
        self._unseen: list[NDArray[np.int8] | None] = [None]
        self._begun = 0

    def decode_next(self, segment: Segment) -> NDArray[np.uint8] | None:
        """Return the codes of the next iteration.

        Args:
            segment: Its segment; the CRC of the payload is taken as checked.

        Returns:
            uint8 [C, h, w], values 0 or 1, or None once the tile has stopped.

        Raises:
            CorruptError: The segment is invalid, or its codes do not have the stored CRC.
            UnsupportedError: The model cannot code so many iterations.
        """
        place = f"tile {self._tile}, iteration {self._iteration}"
        for fault, message in segment_faults(
            segment, self.shape, may_stop=self._iteration > 0, may_run=not self._stopped
        ):
            msg = f"{place}: {message}"
            raise fault(msg)
        if segment.coding is Coding.STOPPED:
            self._stopped = True
            self._iteration += 1
            return None
        if self._iteration >= self._model.iterations:
            msg = f"{place}: the model codes {self._model.iterations} iterations"
            raise UnsupportedError(msg)
        try:
            plane = self._decode(segment) if self._kernel is None else decode_segment(self._kernel, segment)
        except CorruptError as error:
            msg = f"{place}: {error}"
            raise CorruptError(msg) from error
        self._iteration += 1
        if self._kernel is not None:
            return plane
        self._planes.append(np.packbits(plane))
        self._unseen.append(self._told.finish(plane))
        return plane

    def _decode(self, segment: Segment) -> NDArray[np.uint8]:
        """Return the plane of a running tile's segment, checked."""
        if segment.coding is Coding.RAW:
            plane = self._unpacked(np.frombuffer(segment.payload, dtype=np.uint8))
            if spare := untold(self._told, plane):
                msg = f"{spare} raw codes are 1 and tell nothing"
                raise CorruptError(msg)
            return plane
        try:
            return self._decode_entropy(segment)
        except CorruptError:
            # The payload is as it was written, so either its writer or our arithmetic is at fault: the latter can be
            # asked again, once.
            state = self._model.second_opinion(*self.shape[1:])
            if state is None:
                raise
            self._state, self._begun = state, 0
            told = self._model.told(*self.shape[1:])
            self._unseen = [None, *(told.finish(self._unpacked(packed)) for packed in self._planes)]
        plane = self._decode_entropy(segment)
        self._model.distrust_float32()
        return plane

    def _decode_entropy(self, segment: Segment) -> NDArray[np.uint8]:
        """Return the plane of an entropy-coded segment, the CRC of its codes compared."""
        for values in self._unseen:
            self._state.begin(self._begun, values)
            self._begun += 1
        self._unseen = []
        plane = np.zeros(self.shape, dtype=np.uint8)
        decoder = SegmentDecoder(segment.payload)
        code_plane(self._model.passes, self._state, self._told, plane, lambda k, _: decoder.decode(k))
        decoder.finish()
        found = zlib.crc32(np.packbits(plane).tobytes())
        if found != segment.codes_crc:
            raise CorruptError(wrong_codes(found, segment.codes_crc))
        return plane

    def _unpacked(self, packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.unpackbits(packed, count=self.shape.bits).reshape(self.shape)
