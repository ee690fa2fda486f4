"""The byte layout of an .rnc file, declared with construct.

The declarations mirror the tables of the specification, and every new file is written through them.
This is the only module that imports construct; it is imported when the first file is built.
Source: spec, sections "Chunks", "Header" and "Units".
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from construct import (
    Array,
    Bytes,
    Const,
    Construct,
    ConstructError,
    GreedyBytes,
    Int8ul,
    Int16ul,
    Int32ul,
    Prefixed,
    Struct,
)

from pillow_rnc.container.records import MODEL_ID_BYTES, MODES
from pillow_rnc.errors import RncOptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pillow_rnc.container.records import Header, Unit

CHUNK = Struct(
    "type" / Bytes(4),
    "data" / Prefixed(Int32ul, GreedyBytes),
    "crc" / Int32ul,
)

HEAD = Struct(
    "format_major" / Int8ul,
    "format_minor" / Int8ul,
    "width" / Int16ul,
    "height" / Int16ul,
    "mode" / Int8ul,
    "iterations" / Int8ul,
    "code_channels" / Int8ul,
    "code_stride" / Int8ul,
    "tile_size" / Int16ul,
    "overlap" / Int8ul,
    "flags" / Const(0, Int8ul),
    "model_id" / Bytes(MODEL_ID_BYTES),
)

SEGMENT_ENTRY = Struct(
    "coding" / Int8ul,
    "length" / Int32ul,
    "payload_crc" / Int32ul,
    "codes_crc" / Int32ul,
)


def build_chunk(chunk_type: bytes, value: bytes) -> bytes:
    """Return a complete chunk.

    Raises:
        RncOptionError: `value` is too long for the length field.
    """
    start = chunk_type + len(value).to_bytes(8, "little")[:4] + value
    return _built(CHUNK, {"type": chunk_type, "data": value, "crc": zlib.crc32(start)})


def build_head(header: Header) -> bytes:
    """Return the data of the `HEAD` chunk.

    Raises:
        RncOptionError: A field does not fit into its bytes.
    """
    return _built(
        HEAD,
        {
            "format_major": header.version[0],
            "format_minor": header.version[1],
            "width": header.width,
            "height": header.height,
            "mode": MODES.index(header.mode),
            "iterations": header.iterations,
            "code_channels": header.code_channels,
            "code_stride": header.code_stride,
            "tile_size": header.tile_size,
            "overlap": header.overlap,
            "model_id": header.model_id,
        },
    )


def build_unit(unit: Unit, codes_crcs: Sequence[int]) -> bytes:
    """Return the data of an `ITER` chunk.

    Args:
        unit: The segments.
        codes_crcs: `Codes_Crc` of each segment, which depends on the segments before it.

    Raises:
        RncOptionError: A field does not fit into its bytes.
    """
    entries = [
        {
            "coding": int(segment.coding),
            "length": len(segment.payload),
            "payload_crc": segment.payload_crc,
            "codes_crc": codes_crc,
        }
        for segment, codes_crc in zip(unit, codes_crcs, strict=True)
    ]
    table = _built(Array(len(entries), SEGMENT_ENTRY), entries)
    return table + b"".join(segment.payload for segment in unit)


def _built(declaration: Construct, value: object) -> bytes:
    try:
        built: bytes = declaration.build(value)
    except ConstructError as error:
        raise RncOptionError(str(error).replace("\n", " ")) from error
    return built
