"""Ones that the entropy network does not expect must be worth their bits; all others are the binarizer's."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_models import FOUR_PASSES, likely_codes, tiny_model, tiny_tensors

from pillow_rnc.choice import chosen, hurdles
from pillow_rnc.codestream import TileEncoder, decode_tile
from pillow_rnc.entropy_model import EntropyModel


def test_likely_ones_are_asked_for_nothing() -> None:
    even, likely = np.full(3, 32768, np.uint16), np.full(3, 60000, np.uint16)
    inputs = np.array([-1e-6, 0.0, 1e-6], np.float32)

    assert chosen(inputs, even).tolist() == chosen(inputs, likely).tolist() == [0, 1, 1], "sign(0) is +1"


def test_the_hurdle_rises_with_what_a_one_costs() -> None:
    found = hurdles(np.array([65535, 32768, 5461, 5000, 500, 50, 5, 1], np.uint16))

    assert found.dtype == np.float32
    assert found[:3].tolist() == pytest.approx([0, 0, 0], abs=1e-3), "one in twelve is free"
    assert bool((np.diff(found[2:]) > 0).all())
    assert found[-1] == pytest.approx(0.168 * (np.log(65535) - 2.4), rel=1e-5)


def test_codes_that_were_chosen_are_those_of_the_segments() -> None:
    model = tiny_model()
    encoder, random = TileEncoder(model, 6, 5), np.random.default_rng(4)
    planes, segments = [], []
    for _ in range(3):
        plane, segment = encoder.choose_next(random.normal(size=(model.code_channels, 6, 5)).astype(np.float32))
        planes.append(plane)
        segments.append(segment)

    np.testing.assert_array_equal(decode_tile(segments, model, (6, 5)), planes)


def test_what_is_surely_wanted_is_chosen_and_what_is_not_never() -> None:
    model = tiny_model()
    codes = likely_codes(model, 1, 3, 4, 6)
    encoder = TileEncoder(model, 4, 6)
    for plane in codes:
        inputs = np.where(plane, np.float32(10), np.float32(-1e-3))
        np.testing.assert_array_equal(encoder.choose_next(inputs)[0], plane)


def test_choosing_saves_bytes_where_ones_are_barely_wanted() -> None:
    tensors = tiny_tensors(0)
    tensors["entropy.output.bias"] -= 8000  # four nats against every one
    model = EntropyModel.from_tensors(tensors, FOUR_PASSES)
    inputs = np.random.default_rng(4).normal(scale=0.1, size=(3, model.code_channels, 24, 24)).astype(np.float32) - 0.1
    free, choosy = TileEncoder(model, 24, 24), TileEncoder(model, 24, 24)
    planes = [choosy.choose_next(one) for one in inputs]
    segments = [free.encode_next((one >= 0).view(np.uint8)) for one in inputs]

    assert sum(len(segment.payload) for _, segment in planes) < 0.85 * sum(len(s.payload) for s in segments)
    for one, (plane, _) in zip(inputs, planes, strict=True):
        assert bool((plane <= (one >= 0)).all()), "ones are left out, never added"
