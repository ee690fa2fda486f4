"""The rules that the records of a file must keep.

Each function yields the faults of one record: the class that the specification names, and a message.
So a reader raises that class, and a writer raises `RncOptionError`, from one statement of the rule.
Source: spec, sections "Header", "Metadata", "Alpha" and "Units".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pillow_rnc.container.records import (
    CODE_STRIDES,
    DENSITY_BYTES,
    ENTROPY_WORD_BYTES,
    FORMAT_MAJOR,
    MAX_CODE_CHANNELS,
    MAX_ITERATIONS,
    MAX_METADATA_BYTES,
    MAX_METADATA_TOTAL_BYTES,
    MAX_OVERLAP,
    MAX_SIDE,
    METADATA_TYPES,
    MODEL_ID_BYTES,
    MODES,
    TILE_SIZES,
    Coding,
    density_words,
)
from pillow_rnc.container.tile_grid import TILE_ALIGNMENT
from pillow_rnc.errors import CorruptError, RncOptionError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import TypeAlias

    from pillow_rnc.container.records import CodeShape, Header, Segment, Unit
    from pillow_rnc.errors import RncFileError

    Faults: TypeAlias = Iterator[tuple[type[RncFileError], str]]


def header_faults(header: Header) -> Faults:
    """Yield the class and message of each rule that `header` breaks."""
    yield from _unknown_values(header)
    yield from _wrong_values(header)


def _unknown_values(header: Header) -> Faults:
    """Yield what a later version of the format may allow."""
    if header.version[0] != FORMAT_MAJOR:
        yield UnsupportedError, f"format version {header.version[0]}.{header.version[1]}, known is {FORMAT_MAJOR}"
    if header.mode not in MODES:
        yield UnsupportedError, f"mode {header.mode}, allowed are {', '.join(MODES)}"
    if header.iterations > MAX_ITERATIONS:
        yield UnsupportedError, f"{header.iterations} iterations, at most {MAX_ITERATIONS} are supported"
    if header.code_stride not in CODE_STRIDES:
        yield UnsupportedError, f"code stride {header.code_stride}, allowed are 8 and 16"


def _wrong_values(header: Header) -> Faults:
    """Yield what no version of the format allows."""
    if header.iterations < 1:
        yield CorruptError, f"{header.iterations} iterations, at least 1 is needed"
    for side, length in (("width", header.width), ("height", header.height)):
        if not 1 <= length <= MAX_SIDE:
            yield CorruptError, f"{side} {length}, allowed are 1 to {MAX_SIDE}"
    if not 1 <= header.code_channels <= MAX_CODE_CHANNELS:
        yield CorruptError, f"{header.code_channels} code channels, allowed are 1 to {MAX_CODE_CHANNELS}"
    if header.tile_size not in TILE_SIZES:
        yield CorruptError, f"tile size {header.tile_size}, allowed are multiples of 16 from 64 to 4096"
    largest = min(MAX_OVERLAP, header.tile_size // 2)
    if not 0 <= header.overlap <= largest or header.overlap % TILE_ALIGNMENT:
        yield CorruptError, f"overlap {header.overlap}, allowed are multiples of 16 up to {largest}"
    if len(header.model_id) != MODEL_ID_BYTES:
        yield CorruptError, f"model id of {len(header.model_id)} bytes, {MODEL_ID_BYTES} are needed"


def metadata_faults(metadata: Mapping[str, bytes]) -> Faults:
    """Yield the class and message of each rule that the values of `metadata` break."""
    for key, value in metadata.items():
        if key not in METADATA_TYPES:
            yield CorruptError, f"metadata {key}, allowed are {', '.join(METADATA_TYPES)}"
        if not 1 <= len(value) <= MAX_METADATA_BYTES:
            yield CorruptError, f"{key} of {len(value)} bytes, allowed are 1 to {MAX_METADATA_BYTES}"
    if sum(map(len, metadata.values())) > MAX_METADATA_TOTAL_BYTES:
        yield CorruptError, f"metadata of more than {MAX_METADATA_TOTAL_BYTES} bytes"
    density = metadata.get("dpi")
    if density is not None and len(density) != DENSITY_BYTES:
        yield CorruptError, f"dpi of {len(density)} bytes, {DENSITY_BYTES} are needed"
    elif density is not None and 0 in density_words(density):
        yield CorruptError, "dpi with a zero in it"


def alpha_faults(alpha: bytes | None, header: Header) -> Faults:
    """Yield the class and message of each rule that the alpha blob breaks."""
    if alpha is None:
        return
    if not header.mode.endswith("A"):
        yield CorruptError, f"alpha in a file of mode {header.mode}"
    if not 1 <= len(alpha) <= max_alpha_bytes(header):
        yield CorruptError, f"alpha of {len(alpha)} bytes, allowed are 1 to {max_alpha_bytes(header)}"


def max_alpha_bytes(header: Header) -> int:
    """Return the greatest length of the alpha blob: two bytes for a pixel, and 1024."""
    return 2 * header.width * header.height + 1024


def segment_faults(segment: Segment, shape: CodeShape, *, may_stop: bool, may_run: bool) -> Faults:
    """Yield the class and message of each rule that `segment` breaks.

    Args:
        segment: The segment.
        shape: Shape of its codes.
        may_stop: The segment does not belong to the first iteration.
        may_run: The tile was not stopped by an earlier iteration.
    """
    length = len(segment.payload)
    if segment.coding is Coding.STOPPED:
        if length:
            yield CorruptError, f"stopped, but with a payload of {length} bytes"
        if not may_stop:
            yield CorruptError, "stopped in the first iteration"
    elif not may_run:
        yield CorruptError, "codes after the tile was stopped"
    if segment.coding is Coding.RAW:
        yield from _raw_faults(segment.payload, shape)
    if segment.coding is not Coding.ENTROPY:
        if segment.codes_crc != segment.payload_crc:
            yield CorruptError, wrong_codes(segment.payload_crc, segment.codes_crc)
    elif length % ENTROPY_WORD_BYTES or not ENTROPY_WORD_BYTES <= length <= shape.raw_bytes:
        yield (
            CorruptError,
            f"entropy-coded payload of {length} bytes, allowed are multiples of 4 up to {shape.raw_bytes}",
        )


def _raw_faults(payload: bytes, shape: CodeShape) -> Faults:
    spare_bits = 8 * shape.raw_bytes - shape.bits
    if len(payload) != shape.raw_bytes:
        yield CorruptError, f"raw payload of {len(payload)} bytes, {shape.raw_bytes} are needed"
    elif payload[-1] & ((1 << spare_bits) - 1):
        yield CorruptError, "raw payload with spare bits set"


def wrong_codes(found: int, expected: int) -> str:
    """Return the message of codes that have another CRC than the file says."""
    return f"codes CRC {found:#010x}, expected {expected:#010x}: altered, or written for another place or file"


def unit_faults(unit: Unit, header: Header, *, iteration: int, stopped: set[int]) -> Faults:
    """Yield the class and message of each rule that `unit` breaks.

    Args:
        unit: A segment for each tile.
        header: The header of the file.
        iteration: Index of the unit.
        stopped: Tiles that earlier units stopped; those that this one stops are added.
    """
    grid = header.grid
    if len(unit) != len(grid):
        yield CorruptError, f"iteration {iteration}: {len(unit)} segments, the grid has {len(grid)} tiles"
        return
    for index, (tile, segment) in enumerate(zip(grid, unit, strict=True)):
        shape = header.code_shape(tile)
        for kind, message in segment_faults(segment, shape, may_stop=iteration > 0, may_run=index not in stopped):
            yield kind, f"tile {index}, iteration {iteration}: {message}"
        if segment.coding is Coding.STOPPED:
            stopped.add(index)


def reject(faults: Faults) -> None:
    """Raise the first of `faults` as the reader of a file."""
    for kind, message in faults:
        raise kind(message)


def refuse(faults: Faults) -> None:
    """Raise the first of `faults` as the writer of a file."""
    for _, message in faults:
        raise RncOptionError(message)
