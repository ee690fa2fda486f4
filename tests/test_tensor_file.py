"""Weights files: what safetensors writes is read, and everything else is a ValueError."""

from __future__ import annotations

import json
import struct

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from safetensors.numpy import load, save

from pillow_rnc.models.tensor_file import read_tensor_file

TYPES = ["int8", "int16", "int32", "float32"]
Tensors = dict[str, NDArray[np.generic]]


def tensor_files() -> st.SearchStrategy[Tensors]:
    one = st.sampled_from(TYPES).flatmap(lambda kind: arrays(kind, array_shapes(min_dims=0, min_side=0, max_side=4)))
    return st.dictionaries(st.text(max_size=8).filter(lambda name: name != "__metadata__"), one, max_size=4)


def file_of(description: object, data: bytes = b"") -> bytes:
    text = description if isinstance(description, bytes) else json.dumps(description).encode()
    return struct.pack("<Q", len(text)) + text + data


@given(tensor_files(), st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=2))
def test_what_safetensors_writes_is_read_equally(tensors: Tensors, metadata: dict[str, str]) -> None:
    read, found = read_tensor_file(save(tensors, metadata or None))  # an empty dict becomes invalid JSON

    assert found == metadata
    assert read.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert (read[name].dtype, read[name].shape) == (tensor.dtype, tensor.shape)
        assert read[name].tobytes() == tensor.tobytes()
        assert read[name].flags.writeable
        assert read[name].flags.aligned


@given(tensor_files(), st.data())
def test_a_changed_byte_is_noticed_or_read_as_safetensors_reads_it(tensors: Tensors, data: st.DataObject) -> None:
    changed = bytearray(save(tensors))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    try:
        read, _ = read_tensor_file(bytes(changed))
    except ValueError:
        return
    expected = load(bytes(changed))
    assert {name: tensor.tobytes() for name, tensor in read.items()} == {
        name: tensor.tobytes() for name, tensor in expected.items()
    }


ENTRY = {"dtype": "I8", "shape": [2], "data_offsets": [0, 2]}
FLAT_ENTRY = {"dtype": "I8", "shape": [0], "data_offsets": [0, 0]}


@given(st.binary(max_size=100))
@example(b"")
@example(file_of(b"[" * 100_000))
def test_anything_else_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_tensor_file(data)


@pytest.mark.parametrize(
    ("description", "data", "message"),
    [
        (b"", b"", "description of 0 bytes"),
        ([], b"", "not an object"),
        ({"__metadata__": []}, b"", "not an object of strings"),
        ({"__metadata__": {"config": 1}}, b"", "not an object of strings"),
        ({"a": 1}, b"", "tensor a: 1 is not an object"),
        ({"a": ENTRY | {"dtype": "F64"}}, b"12", "type 'F64', must be one of I8, I16, I32, F32"),
        ({"a": ENTRY | {"dtype": ["I8"]}}, b"12", "must be one of"),
        ({"a": ENTRY | {"shape": [-2]}}, b"12", "not lists of sizes"),
        ({"a": ENTRY | {"shape": [True, 2]}}, b"12", "not lists of sizes"),
        ({"a": ENTRY | {"shape": 2}}, b"12", "not lists of sizes"),
        ({"a": ENTRY | {"data_offsets": [0, 2, 2]}}, b"12", "not lists of sizes"),
        ({"a": ENTRY | {"data_offsets": [0, 10**20]}}, b"12", "not lists of sizes"),
        ({"a": ENTRY | {"shape": [3]}}, b"12", "are not those of int8"),
        ({"a": ENTRY}, b"1", "are not those of int8"),
        ({"a": ENTRY | {"data_offsets": [2, 0]}}, b"12", "are not those of int8"),
        ({"a": ENTRY, "b": ENTRY}, b"12", "belongs to no tensor, or to two"),
        ({"a": ENTRY | {"data_offsets": [1, 3]}}, b"123", "belongs to no tensor, or to two"),
        ({"a": ENTRY}, b"123", "1 bytes after the last tensor"),
        ({"a": FLAT_ENTRY | {"shape": [2**48, 2**48, 0]}}, b"", "shape|too big"),
    ],
)
def test_what_does_not_fit_is_named(description: object, data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_tensor_file(file_of(description, data))
