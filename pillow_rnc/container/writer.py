"""Records -> bytes of an .rnc file: build one, or truncate one without decoding.

`build` writes through the declarations of `schema`, loading construct on first use; `truncate` copies bytes.
This module knows neither codes nor pixels or models.  Source: spec, sections "File" to "Truncation".
"""

from __future__ import annotations

import io
from dataclasses import replace

from pillow_rnc.container.chunks import (
    CHUNK_PREFIX,
    chunk_bytes,
    initial_unit_state,
    is_safe_to_copy,
    pack_chunk,
    pack_head,
    stored_codes_crcs,
)
from pillow_rnc.container.reader import CHUNK_ORDER, read_head, read_units, unit_sizes
from pillow_rnc.container.records import ALPHA_TYPE, HEAD_TYPE, METADATA_TYPES, UNIT_TYPE, RncFile
from pillow_rnc.container.signature import SIGNATURE
from pillow_rnc.container.validation import (
    alpha_violations,
    header_violations,
    metadata_violations,
    raise_option_error,
    unit_violations,
)
from pillow_rnc.errors import RncOptionError
from pillow_rnc.fork_safety import importing


def build(file: RncFile) -> bytes:
    """Return the bytes of a file; equal records give equal bytes.

    Raises:
        RncOptionError: A record violates a rule of the format.
    """
    with importing:
        from pillow_rnc.container import schema

    header = file.header
    raise_option_error(header_violations(header))
    raise_option_error(metadata_violations(file.metadata))
    raise_option_error(alpha_violations(file.alpha, header))
    if len(file.units) != header.iterations:
        raise RncOptionError(f"{len(file.units)} units, the header declares {header.iterations}")
    state = initial_unit_state(header, file.alpha)
    for iteration, unit in enumerate(file.units):
        raise_option_error(unit_violations(unit, header, iteration=iteration, stopped=state.stopped))
    parts = [SIGNATURE, schema.build_chunk(HEAD_TYPE, schema.build_head(header))]
    for key, chunk_type in METADATA_TYPES.items():
        if key in file.metadata:
            parts.append(schema.build_chunk(chunk_type, file.metadata[key]))
    if file.alpha is not None:
        parts.append(schema.build_chunk(ALPHA_TYPE, file.alpha))
    for unit in file.units:
        value = schema.build_unit(unit, stored_codes_crcs(unit, header, state))
        parts.append(schema.build_chunk(UNIT_TYPE, value))
    return b"".join(parts)


def truncate(data: bytes, iterations: int) -> bytes:
    """Return the file truncated after `iterations` units; nothing is decoded, everything copied is checked.

    Trailing bytes are left out. Unknown ancillary chunks are copied if their fourth letter is lower case.

    Raises:
        RncFileError: The part that is kept violates a rule of the format, or the file ends within it.
        RncOptionError: `iterations` is less than 1 or more than the file has.
    """
    fp = io.BytesIO(data)
    head = read_head(fp)
    read_units(fp, head, iterations, allow_trailing=True)
    end = head.units_offset + sum(unit_sizes(fp, head, iterations))
    if iterations == head.header.iterations:
        return data[:end]
    parts = [SIGNATURE, pack_chunk(HEAD_TYPE, pack_head(replace(head.header, iterations=iterations)))]
    position = len(SIGNATURE)
    while position < head.units_offset:
        chunk_type, length = CHUNK_PREFIX.unpack_from(data, position)
        size = chunk_bytes(length)
        safe_to_copy = chunk_type in CHUNK_ORDER or is_safe_to_copy(chunk_type)
        if safe_to_copy and chunk_type != HEAD_TYPE:
            parts.append(data[position : position + size])
        position += size
    parts.append(data[head.units_offset : end])
    return b"".join(parts)
