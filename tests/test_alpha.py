"""The alpha plane is stored without loss, and damage to it is found."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillow_rnc import CorruptError
from pillow_rnc.alpha import check_alpha, decode_alpha, encode_alpha


@given(st.integers(1, 20), st.integers(1, 20), st.data())
def test_any_plane_comes_back(width: int, height: int, data: st.DataObject) -> None:
    values = data.draw(st.binary(min_size=width * height, max_size=width * height))
    plane = np.frombuffer(values, np.uint8).reshape(height, width)
    blob = encode_alpha(plane)

    assert np.array_equal(decode_alpha(blob, width, height), plane)
    check_alpha(blob, width, height)


@pytest.mark.parametrize("predictor", range(4))
def test_predictors_are_what_the_specification_says(predictor: int) -> None:
    stored = bytes([1, 2, 3, 250, 5, 6])
    plane = np.zeros((2, 3), int)
    for y, x in np.ndindex(2, 3):
        left = plane[y, x - 1] if x and predictor & 1 else 0
        above = plane[y - 1, x] if y and predictor & 2 else 0
        corner = plane[y - 1, x - 1] if x and y and predictor == 3 else 0
        plane[y, x] = (stored[3 * y + x] + left + above - corner) % 256

    assert np.array_equal(decode_alpha(bytes([predictor]) + zlib.compress(stored), 3, 2), plane)


def test_a_smooth_plane_is_much_smaller_than_its_samples() -> None:
    rows, columns = np.mgrid[:128, :128]
    plane = (rows + columns).astype(np.uint8)

    assert len(encode_alpha(plane)) < plane.size // 50


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (b"", "predictor missing"),
        (b"\x04" + zlib.compress(bytes(6)), "predictor 04"),
        (b"\x00" + zlib.compress(bytes(5)), "does not end"),
        (b"\x00" + zlib.compress(bytes(7)), "does not end"),
        (b"\x00" + zlib.compress(bytes(1_000_000)), "does not end"),
        (b"\x00" + zlib.compress(bytes(6))[:-1], "does not end"),
        (b"\x00" + zlib.compress(bytes(6)) + b"\0", "does not end"),
        (b"\x00not zlib", "alpha: "),
    ],
)
def test_damage_is_an_error(blob: bytes, reason: str) -> None:
    with pytest.raises(CorruptError, match=reason):
        check_alpha(blob, 3, 2)
    with pytest.raises(CorruptError, match=reason):
        decode_alpha(blob, 3, 2)
