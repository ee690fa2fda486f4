"""The rules that the records of a file must satisfy.

Each function yields the violations found in one record: the error class named by the specification, and a message.
A reader raises that class and a writer raises `RncOptionError`, so each rule is stated once.
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

    Violations: TypeAlias = Iterator[tuple[type[RncFileError], str]]


def header_violations(header: Header) -> Violations:
    """Yield the error class and message of each rule that `header` violates."""
    yield from _unsupported_values(header)
    yield from _invalid_values(header)


def _unsupported_values(header: Header) -> Violations:
    """Yield violations that a later version of the format may permit."""
    if header.version[0] != FORMAT_MAJOR:
        yield UnsupportedError, f"format version {header.version[0]}.{header.version[1]}, supported is {FORMAT_MAJOR}"
    if header.mode not in MODES:
        yield UnsupportedError, f"mode {header.mode}, must be one of {', '.join(MODES)}"
    if header.iterations > MAX_ITERATIONS:
        yield UnsupportedError, f"{header.iterations} iterations, at most {MAX_ITERATIONS} are supported"
    if header.code_stride not in CODE_STRIDES:
        yield UnsupportedError, f"code stride {header.code_stride}, must be 8 or 16"


def _invalid_values(header: Header) -> Violations:
    """Yield violations in any version of the format."""
    if header.iterations < 1:
        yield CorruptError, f"{header.iterations} iterations, must be at least 1"
    for side, length in (("width", header.width), ("height", header.height)):
        if not 1 <= length <= MAX_SIDE:
            yield CorruptError, f"{side} {length}, must be 1 to {MAX_SIDE}"
    if not 1 <= header.code_channels <= MAX_CODE_CHANNELS:
        yield CorruptError, f"{header.code_channels} code channels, must be 1 to {MAX_CODE_CHANNELS}"
    if header.tile_size not in TILE_SIZES:
        yield CorruptError, f"tile size {header.tile_size}, must be a multiple of 16 from 64 to 4096"
    largest = min(MAX_OVERLAP, header.tile_size // 2)
    if not 0 <= header.overlap <= largest or header.overlap % TILE_ALIGNMENT:
        yield CorruptError, f"overlap {header.overlap}, must be a multiple of 16 from 0 to {largest}"
    if len(header.model_id) != MODEL_ID_BYTES:
        yield CorruptError, f"model id of {len(header.model_id)} bytes, must be {MODEL_ID_BYTES}"


def metadata_violations(metadata: Mapping[str, bytes]) -> Violations:
    """Yield the error class and message of each rule that the values of `metadata` violate."""
    for key, value in metadata.items():
        if key not in METADATA_TYPES:
            yield CorruptError, f"metadata {key}, must be one of {', '.join(METADATA_TYPES)}"
        if not 1 <= len(value) <= MAX_METADATA_BYTES:
            yield CorruptError, f"{key} of {len(value)} bytes, must be 1 to {MAX_METADATA_BYTES}"
    if sum(map(len, metadata.values())) > MAX_METADATA_TOTAL_BYTES:
        yield CorruptError, f"metadata of more than {MAX_METADATA_TOTAL_BYTES} bytes"
    density = metadata.get("dpi")
    if density is not None and len(density) != DENSITY_BYTES:
        yield CorruptError, f"dpi of {len(density)} bytes, must be {DENSITY_BYTES}"
    elif density is not None and 0 in density_words(density):
        yield CorruptError, "dpi contains a zero"


def alpha_violations(alpha: bytes | None, header: Header) -> Violations:
    """Yield the error class and message of each rule that the alpha data violate."""
    if alpha is None:
        return
    if not header.mode.endswith("A"):
        yield CorruptError, f"alpha in a file of mode {header.mode}"
    if not 1 <= len(alpha) <= max_alpha_bytes(header):
        yield CorruptError, f"alpha of {len(alpha)} bytes, must be 1 to {max_alpha_bytes(header)}"


def max_alpha_bytes(header: Header) -> int:
    """Return the maximum length of the alpha data: two bytes per pixel, plus 1024."""
    return 2 * header.width * header.height + 1024


def segment_violations(segment: Segment, shape: CodeShape, *, may_stop: bool, may_run: bool) -> Violations:
    """Yield the error class and message of each rule that `segment` violates.

    Args:
        segment: The segment.
        shape: Shape of its codes.
        may_stop: The segment does not belong to the first iteration.
        may_run: No earlier iteration stopped the tile.
    """
    length = len(segment.payload)
    if segment.coding is Coding.STOPPED:
        if length:
            yield CorruptError, f"stopped segment has a payload of {length} bytes"
        if not may_stop:
            yield CorruptError, "stopped segment in the first iteration"
    elif not may_run:
        yield CorruptError, "segment has codes, but the tile was stopped by an earlier iteration"
    if segment.coding is Coding.RAW:
        yield from _raw_violations(segment.payload, shape)
    if segment.coding is not Coding.ENTROPY:
        if segment.codes_crc != segment.payload_crc:
            yield CorruptError, codes_crc_mismatch(segment.payload_crc, segment.codes_crc)
    elif length % ENTROPY_WORD_BYTES or not ENTROPY_WORD_BYTES <= length <= shape.raw_bytes:
        yield (
            CorruptError,
            f"entropy-coded payload of {length} bytes, must be a multiple of 4 from 4 to {shape.raw_bytes}",
        )


def _raw_violations(payload: bytes, shape: CodeShape) -> Violations:
    padding_bits = 8 * shape.raw_bytes - shape.bits
    if len(payload) != shape.raw_bytes:
        yield CorruptError, f"raw payload of {len(payload)} bytes, must be {shape.raw_bytes}"
    elif payload[-1] & ((1 << padding_bits) - 1):
        yield CorruptError, "padding bits of a raw payload are set, must be 0"


def codes_crc_mismatch(found: int, expected: int) -> str:
    """Return the message for codes whose CRC differs from the stored one."""
    return f"codes CRC {found:#010x}, expected {expected:#010x}: damaged, or moved from another position or file"


def unit_violations(unit: Unit, header: Header, *, iteration: int, stopped: set[int]) -> Violations:
    """Yield the error class and message of each rule that `unit` violates.

    Args:
        unit: A segment for each tile.
        header: The header of the file.
        iteration: Index of the unit.
        stopped: Tiles stopped by earlier units; those stopped by this one are added.
    """
    grid = header.grid
    if len(unit) != len(grid):
        yield CorruptError, f"iteration {iteration}: {len(unit)} segments, the grid has {len(grid)} tiles"
        return
    for index, (tile, segment) in enumerate(zip(grid, unit, strict=True)):
        shape = header.code_shape(tile)
        for kind, message in segment_violations(segment, shape, may_stop=iteration > 0, may_run=index not in stopped):
            yield kind, f"tile {index}, iteration {iteration}: {message}"
        if segment.coding is Coding.STOPPED:
            stopped.add(index)


def raise_file_error(violations: Violations) -> None:
    """Raise the first of `violations` as an error in the file being read."""
    for kind, message in violations:
        raise kind(message)


def raise_option_error(violations: Violations) -> None:
    """Raise the first of `violations` as an error in the options of the file being written."""
    for _, message in violations:
        raise RncOptionError(message)
