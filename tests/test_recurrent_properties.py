"""What holds of every file holds of those of the light network of every cell and framework, whatever the image."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import damage
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_recurrent_files import ITERATIONS, LIGHT, opened, saved
from tiny_codec import register_random_codec

import pillow_rnc
from pillow_rnc.container import reader, writer
from pillow_rnc.errors import RncFileError, TruncatedError
from pillow_rnc.models import weights

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

    from pillow_rnc.models.config import RecurrentConfig


@st.composite
def images(draw: DrawFn) -> Image.Image:
    """Draw a smooth image of two pixels or more on each side, and of any mode; that of one pixel is an example."""
    size, few = draw(st.tuples(st.integers(2, 90), st.integers(2, 40))), draw(st.integers(1, 8))
    random = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, (few, few, 4), np.uint8)
    mode = draw(st.sampled_from(["L", "LA", "RGB", "RGBA"]))
    return Image.fromarray(random, "RGBA").resize(size, Image.Resampling.BICUBIC).convert(mode)


@pytest.mark.parametrize("config", LIGHT)
@settings(
    max_examples=max(2, settings().max_examples // 30), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(original=images(), seed=st.integers(0, 2), place=st.floats(0, 1, exclude_max=True))
@example(original=Image.new("RGBA", (1, 1), (10, 20, 30, 40)), seed=1, place=0.9)
def test_prefixes_progress_alpha_and_damage(
    config: RecurrentConfig,
    original: Image.Image,
    seed: int,
    place: float,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = register_random_codec(tmp_path_factory.mktemp("model"), config, seed)
    model = weights.register(path).model_id.hex()
    file, other = (saved(im, model) for im in (original, original.point(lambda value: 255 - value)))

    steps = list(pillow_rnc.progressive(io.BytesIO(file)))
    assert len(steps) == ITERATIONS
    for k, step in enumerate(steps, 1):
        assert step.tobytes() == opened(writer.truncate(file, k)).tobytes() == opened(file, iterations=k).tobytes()
    if original.mode.endswith("A"):
        assert all(step.getchannel("A").tobytes() == original.getchannel("A").tobytes() for step in steps)

    damage.damage_at_random([file, other], 12, seed)  # they raise an error where damage is not detected
    damage.damage_with_correct_checksums([file, other], 6, seed)
    flipped = bytearray(file)
    bit = int(place * 8 * len(file))
    flipped[bit // 8] ^= 1 << bit % 8
    with pytest.raises(RncFileError):
        reader.parse(bytes(flipped))
    cut = file[: int(place * len(file))]
    with pytest.raises(RncFileError) as caught:
        reader.parse(cut)
    if isinstance(caught.value, TruncatedError) and (complete := caught.value.decodable_iterations):
        assert writer.truncate(cut, complete) == writer.truncate(file, complete)
        assert opened(cut, allow_truncated=True).tobytes() == opened(file, iterations=complete).tobytes()
