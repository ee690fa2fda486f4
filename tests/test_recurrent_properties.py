"""What holds of every file holds of those of all twelve cells and frameworks, whatever image and model."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import damage
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_recurrent_files import ITERATIONS, PAIRS, opened
from tiny_codec import recurrent, register_random_codec

import pillow_rnc
from pillow_rnc.container import reader, writer
from pillow_rnc.errors import RncFileError, TruncatedError
from pillow_rnc.models import weights

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

    from pillow_rnc.models.config import CellName, Framework


@st.composite
def images(draw: DrawFn) -> Image.Image:
    """Draw a smooth image of any size, from one pixel on, and of any mode."""
    size, few = draw(st.tuples(st.integers(1, 90), st.integers(1, 40))), draw(st.integers(1, 8))
    random = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, (few, few, 4), np.uint8)
    mode = draw(st.sampled_from(["L", "LA", "RGB", "RGBA"]))
    return Image.fromarray(random, "RGBA").resize(size, Image.Resampling.BICUBIC).convert(mode)


@pytest.mark.parametrize(("cell", "framework"), PAIRS)
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_prefixes_progress_alpha_and_damage(
    cell: CellName, framework: Framework, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    stride, seed = data.draw(st.sampled_from([8, 16]), "stride"), data.draw(st.integers(0, 2), "seed")
    config = recurrent(framework, cell=cell, code_stride=stride, iterations=ITERATIONS)
    path = register_random_codec(tmp_path_factory.mktemp("model"), config, seed)
    model = weights.register(path).model_id.hex()
    original = data.draw(images(), "image")
    fp = io.BytesIO()
    original.save(fp, "RNC", model=model, iterations=ITERATIONS, tile_size=64, overlap=16)
    file = fp.getvalue()

    steps = list(pillow_rnc.progressive(io.BytesIO(file)))
    assert len(steps) == ITERATIONS
    for k, step in enumerate(steps, 1):
        assert step.tobytes() == opened(writer.truncate(file, k)).tobytes() == opened(file, iterations=k).tobytes()
    if original.mode.endswith("A"):
        assert all(step.getchannel("A").tobytes() == original.getchannel("A").tobytes() for step in steps)

    assert damage.damage_at_random([file], 12, seed).total() == 12
    assert damage.damage_with_correct_checksums([file], 6, seed).total() == 6
    flipped = bytearray(file)
    bit = data.draw(st.integers(0, 8 * len(file) - 1), "bit")
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RncFileError):
        reader.parse(bytes(flipped))
    with pytest.raises(RncFileError) as caught:
        reader.parse(file[: data.draw(st.integers(0, len(file) - 1), "length")])
    if isinstance(caught.value, TruncatedError) and (complete := caught.value.decodable_iterations):
        assert writer.truncate(file, complete) == writer.truncate(writer.truncate(file, complete), complete)
