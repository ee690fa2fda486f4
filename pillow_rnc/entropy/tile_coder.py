"""Codes of a tile <-> segments: entropy network and range coder, pass by pass.

Encoder and decoder run the same loop, so that both compute each probability from exactly the same known bits.
This module knows tiles by index only, and neither files nor images.
The range coder is imported where it is used: with the kernel, constriction is not needed.

Source: spec, sections "Units" and "Entropy network".
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.container.records import CodeShape, Coding, Segment
from pillow_rnc.container.validation import codes_crc_mismatch, segment_violations
from pillow_rnc.entropy.kernel.segments import decode_segment, encode_segment
from pillow_rnc.entropy.significance import count_set_inferred
from pillow_rnc.entropy.tensors import cells_of
from pillow_rnc.errors import CorruptError, RncError, UnsupportedError
from pillow_rnc.fork_safety import importing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    from pillow_rnc.entropy.model import EntropyModel, EntropyState
    from pillow_rnc.entropy.significance import CodedBits
    from pillow_rnc.entropy.tensors import Pass

BYPASS_P1_Q16 = np.uint16(1 << 15)
"""Probability of a bypass-coded bit, one half, in 1/65536."""


def code_plane(
    passes: tuple[Pass, ...],
    state: EntropyState,
    coded_bits: CodedBits,
    plane: NDArray[np.uint8],
    code: Callable[[NDArray[np.uint16], NDArray[np.uint8]], NDArray[np.uint8]],
) -> None:
    """Pass the coded bits of a plane to `code`, in coding order, and replace them by its results.

    Args:
        passes: Passes of the model.
        state: State of the network for the tile; the iteration has been started.
        coded_bits: Which bits of the iteration are coded.
        plane: uint8 [C, h, w], contiguous; inferred bits are 0. Modified in place.
        code: Maps p1_q16, uint16 [n], and the n bits of the plane to n bits.
    """
    flat = plane.reshape(len(plane), -1)
    for index, one in enumerate(passes):
        cells, p1_q16 = cells_of(one.lattice, *plane.shape[1:]), state.probabilities(index)
        bits = flat[one.first : one.stop, cells]
        for channels in coded_bits.rounds(len(bits)):
            some, mask = bits[channels], coded_bits.magnitudes(bits, channels, cells)
            chosen = some[mask]
            some[mask] = code(p1_q16[channels][mask].ravel(), chosen.ravel()).reshape(chosen.shape)
            bits[channels] = some
        flat[one.first : one.stop, cells] = bits
        state.update(index, coded_bits.values(bits, cells))
    first, mask = coded_bits.signs(flat)
    signs, at = flat[first:].reshape(-1), np.flatnonzero(mask)
    signs[at] = code(np.full(len(at), BYPASS_P1_Q16), signs[at])


def decode_tile(
    segments: Iterable[Segment], model: EntropyModel, grid: tuple[int, int], *, tile: int = 0
) -> NDArray[np.uint8]:
    """Return the codes of the segments up to the one that stops the tile.

    Args:
        segments: The tile's segments from iteration 0 on.
        model: Network that encoded them.
        grid: Rows and columns of code cells.
        tile: Index of the tile, for messages.

    Returns:
        uint8 [k, C, h, w], values 0 or 1; k is less than the number of segments if the tile stopped.

    Raises:
        CorruptError: A segment is invalid, or the CRC of its codes differs.
        UnsupportedError: There are more iterations than the model can code.
    """
    decoder = TileDecoder(model, *grid, tile=tile)
    planes = [plane for plane in map(decoder.decode_next, segments) if plane is not None]
    return np.stack(planes) if planes else np.empty((0, *decoder.shape), dtype=np.uint8)


class TileEncoder:
    """Encodes the iterations of one tile in order.

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
        self._coded_bits = model.coded_bits(grid_h, grid_w)
        self._previous: NDArray[np.int8] | None = None

    def encode_next(self, plane: NDArray[np.uint8]) -> Segment:
        """Return the segment of the next iteration.

        Args:
            plane: uint8 [C, h, w], values 0 or 1.

        Raises:
            ValueError: A code is not 0 or 1, an inferred bit is set, or the plane does not fit the model.
            RncError: Decoding the payload again does not give the same codes.
        """
        if plane.shape != self._shape or self._iteration >= self._model.iterations:
            msg = f"codes {plane.shape} of iteration {self._iteration} do not fit the model"
            raise ValueError(msg)
        if self._kernel is not None:
            segment = encode_segment(self._kernel, plane)
            self._iteration += 1
            return segment
        with importing:
            from pillow_rnc.entropy.range_coder import SegmentEncoder

        plane, coded_bits = np.array(plane, order="C"), self._coded_bits  # a copy, as `code_plane` modifies it
        if count := count_set_inferred(coded_bits, plane):
            msg = f"iteration {self._iteration}: {count} inferred bits are set, must be 0"
            raise ValueError(msg)
        encoder = SegmentEncoder()
        coded: list[tuple[NDArray[np.uint8], NDArray[np.uint16]]] = []

        def encode(p1_q16: NDArray[np.uint16], bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
            encoder.encode(bits, p1_q16)
            coded.append((bits, p1_q16))
            return bits

        self._state.start_iteration(self._iteration, self._previous)
        code_plane(self._model.passes, self._state, coded_bits, plane, encode)
        payload, raw = encoder.finish(), np.packbits(plane).tobytes()
        if len(payload) > len(raw):
            segment = Segment(Coding.RAW, raw, zlib.crc32(raw))
        else:
            segment = Segment(Coding.ENTROPY, payload, zlib.crc32(raw))
            _check_payload(payload, coded, f"iteration {self._iteration}")
        self._iteration += 1
        self._previous = coded_bits.finish(plane)
        return segment


def _check_payload(payload: bytes, coded: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint16]]], place: str) -> None:
    """Raise unless a payload decodes to the bits that were encoded into it."""
    with importing:
        from pillow_rnc.entropy.range_coder import SegmentDecoder

    decoder = SegmentDecoder(payload)
    try:
        decoded = [decoder.decode(p1_q16) for _, p1_q16 in coded]
        decoder.finish()
    except CorruptError as error:
        msg = f"{place}: the encoded payload cannot be decoded, nothing is saved"
        raise RncError(msg) from error
    if not all(np.array_equal(back, bits) for back, (bits, _) in zip(decoded, coded, strict=True)):
        msg = f"{place}: the encoded payload decodes to other codes, nothing is saved"
        raise RncError(msg)


class TileDecoder:
    """Decodes the iterations of one tile in order; not usable after an error.

    Args:
        model: Network of the file.
        grid_h: Rows of code cells.
        grid_w: Columns of code cells.
        tile: Index of the tile, for messages.

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
        self._coded_bits = model.coded_bits(grid_h, grid_w)
        # Packed code planes decoded so far, in case the network has to start again in float64.
        self._planes: list[NDArray[np.uint8]] = []
        # Values of previous iterations that the network has not taken in yet: raw segments do not need it.
        self._pending: list[NDArray[np.int8] | None] = [None]
        self._started = 0

    def decode_next(self, segment: Segment) -> NDArray[np.uint8] | None:
        """Return the codes of the next iteration.

        Args:
            segment: Its segment; the CRC of the payload has been checked.

        Returns:
            uint8 [C, h, w], values 0 or 1, or None once the tile has stopped.

        Raises:
            CorruptError: The segment is invalid, or the CRC of its codes differs.
            UnsupportedError: The model cannot code as many iterations.
        """
        place = f"tile {self._tile}, iteration {self._iteration}"
        for error, message in segment_violations(
            segment, self.shape, may_stop=self._iteration > 0, may_run=not self._stopped
        ):
            msg = f"{place}: {message}"
            raise error(msg)
        if segment.coding is Coding.STOPPED:
            self._stopped = True
            self._iteration += 1
            return None
        if self._iteration >= self._model.iterations:
            msg = f"{place}: the model can code {self._model.iterations} iterations"
            raise UnsupportedError(msg)
        try:
            plane = self._decode(segment) if self._kernel is None else decode_segment(self._kernel, segment)
        except CorruptError as cause:
            msg = f"{place}: {cause}"
            raise CorruptError(msg) from cause
        self._iteration += 1
        if self._kernel is not None:
            return plane
        self._planes.append(np.packbits(plane))
        self._pending.append(self._coded_bits.finish(plane))
        return plane

    def _decode(self, segment: Segment) -> NDArray[np.uint8]:
        """Return the checked plane of a segment that is not stopped."""
        if segment.coding is Coding.RAW:
            plane = self._unpacked(np.frombuffer(segment.payload, dtype=np.uint8))
            if count := count_set_inferred(self._coded_bits, plane):
                msg = f"{count} inferred bits of a raw payload are set, must be 0"
                raise CorruptError(msg)
            return plane
        try:
            return self._decode_entropy(segment)
        except CorruptError:
            # The payload passed its own CRC, so its encoder or our arithmetic is at fault: repeat the latter once.
            state = self._model.float64_state(*self.shape[1:])
            if state is None:
                raise
            self._state, self._started = state, 0
            coded_bits = self._model.coded_bits(*self.shape[1:])
            self._pending = [None, *(coded_bits.finish(self._unpacked(packed)) for packed in self._planes)]
        plane = self._decode_entropy(segment)
        self._model.use_float64()
        return plane

    def _decode_entropy(self, segment: Segment) -> NDArray[np.uint8]:
        """Return the plane of an entropy-coded segment after checking the CRC of its codes."""
        with importing:
            from pillow_rnc.entropy.range_coder import SegmentDecoder

        for values in self._pending:
            self._state.start_iteration(self._started, values)
            self._started += 1
        self._pending = []
        plane = np.zeros(self.shape, dtype=np.uint8)
        decoder = SegmentDecoder(segment.payload)
        code_plane(self._model.passes, self._state, self._coded_bits, plane, lambda p1_q16, _: decoder.decode(p1_q16))
        decoder.finish()
        found = zlib.crc32(np.packbits(plane).tobytes())
        if found != segment.codes_crc:
            raise CorruptError(codes_crc_mismatch(found, segment.codes_crc))
        return plane

    def _unpacked(self, packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.unpackbits(packed, count=self.shape.bits).reshape(self.shape)
