"""The alpha plane is stored without loss, and damage to it is found."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillow_rnc import CorruptError
from pillow_rnc.container.alpha import decode_alpha, encode_alpha, reduce_alpha
from pillow_rnc.container.alpha_stream import unpack_alpha


@given(st.integers(1, 20), st.integers(1, 20), st.data())
def test_any_plane_comes_back(width: int, height: int, data: st.DataObject) -> None:
    values = data.draw(st.binary(min_size=width * height, max_size=width * height))
    plane = np.frombuffer(values, np.uint8).reshape(height, width)
    blob = encode_alpha(plane)

    assert np.array_equal(decode_alpha(blob, width, height), plane)
    unpack_alpha(blob, width * height)


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


@given(st.integers(0, 100), st.binary(min_size=64, max_size=64))
def test_a_quality_keeps_what_is_clear_and_what_is_opaque_and_comes_near_the_rest(quality: int, values: bytes) -> None:
    plane = np.frombuffer(values + bytes(range(192, 256)), np.uint8).reshape(8, 16)
    blob = encode_alpha(plane, quality)
    found = decode_alpha(blob, 16, 8)
    step = 255 / round(255 ** (quality / 100))

    assert np.abs(found.astype(int) - plane).max() <= step / 2 + 1 / 2
    assert np.array_equal(found[np.isin(plane, (0, 255))], plane[np.isin(plane, (0, 255))])
    assert len(blob) <= len(encode_alpha(plane))
    assert reduce_alpha(encode_alpha(plane), 16, 8, quality) == blob
    assert reduce_alpha(blob, 16, 8, quality) == blob
    assert reduce_alpha(blob, 16, 8, 100) == blob
    assert quality < 100 or np.array_equal(found, plane)


def test_a_soft_edge_takes_fewer_bytes_with_fewer_values() -> None:
    rows, columns = np.mgrid[:128, :128]
    noise = np.random.default_rng(3).normal(0, 6, (128, 128))
    plane = np.clip(255 * (np.hypot(rows - 64, columns - 64) - 30) / 30 + noise, 0, 255).astype(np.uint8)
    sizes = [len(encode_alpha(plane, quality)) for quality in (100, 75, 50, 25, 0)]

    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] < sizes[0] / 2
    assert set(np.unique(decode_alpha(encode_alpha(plane, 0), 128, 128))) == {0, 255}


def test_what_fewer_values_would_make_longer_stays_as_it_is() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))

    assert encode_alpha(ramp, 90) == encode_alpha(ramp)


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
        unpack_alpha(blob, 6)
    with pytest.raises(CorruptError, match=reason):
        decode_alpha(blob, 3, 2)
