"""Bytes in the safetensors layout -> arrays and the configuration text of a model.

The layout is a length, a JSON object and the bytes of the tensors, so one function reads it; `safetensors` itself is
needed to train only. Every size is checked before an array is made.
Source: spec, section "Weights file".
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LENGTH_BYTES = 8
_METADATA = "__metadata__"
_MAX_SIZE = 1 << 48
_TYPES = {"I8": "<i1", "I16": "<i2", "I32": "<i4", "F32": "<f4"}


def read_tensor_file(data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the tensors of a file by name, and its metadata.

    Raises:
        ValueError: The bytes are not in this layout, or a tensor is of another type than those of the specification.
    """
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    start = _LENGTH_BYTES + length
    if len(data) < start or not length:
        raise ValueError(f"description of {length} bytes, the file has {len(data)}")
    try:
        description = json.loads(data[_LENGTH_BYTES:start])
    except RecursionError:
        raise ValueError("description is nested too deeply") from None
    if not isinstance(description, dict):
        raise ValueError("description is not an object")  # noqa: TRY004 -- the file is at fault, not the caller
    metadata = description.pop(_METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError(f"{_METADATA} is not an object of strings")
    tensors, spans = {}, []
    for name, entry in description.items():
        dtype, shape, (first, stop) = _entry(name, entry)
        count = math.prod(shape)
        if not 0 <= first <= stop <= len(data) - start or stop - first != count * dtype.itemsize:
            raise ValueError(f"tensor {name}: bytes {first} to {stop} are not those of {dtype} in shape {shape}")
        spans.append((first, stop))
        tensors[name] = np.frombuffer(data, dtype, count, start + first).reshape(shape).copy()  # aligned
    end = 0
    for first, stop in sorted(spans):
        if first != end:
            raise ValueError(f"byte {min(first, end)} belongs to no tensor, or to two")
        end = stop
    if end != len(data) - start:
        raise ValueError(f"{len(data) - start - end} bytes after the last tensor")
    return tensors, metadata


def _entry(name: str, entry: object) -> tuple[np.dtype[Any], tuple[int, ...], tuple[int, int]]:
    """Return type, shape and offsets of a member of the description."""
    if not isinstance(entry, dict):
        raise ValueError(f"tensor {name}: {entry!r:.80} is not an object")  # noqa: TRY004
    kind, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(kind, str) or kind not in _TYPES:
        raise ValueError(f"tensor {name}: type {kind!r:.80}, must be one of {', '.join(_TYPES)}")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError(f"tensor {name}: shape {shape!r:.80} or offsets {offsets!r:.80} are not lists of sizes")
    first, stop = offsets
    return np.dtype(_TYPES[kind]), tuple(shape), (first, stop)


def _are_sizes(value: object) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(one) is int and 0 <= one <= _MAX_SIZE for one in value)
