"""The reference decoder draws what recurrent models code: every cell and framework, in all three networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import reference_network
from PIL import Image
from test_recurrent_files import CELLS, FRAMEWORKS, ITERATIONS, light, opened, paper, saved
from tiny_codec import recurrent, register_random_codec

from pillow_rnc.models import weights

if TYPE_CHECKING:
    from pathlib import Path

    from pillow_rnc.models.config import CellName, Framework, RecurrentConfig

TWO_TILES, ONE_TILE = (74, 21), (30, 21)


def largest_error(config: RecurrentConfig, folder: Path, size: tuple[int, int] = TWO_TILES) -> int:
    """Return by how much samples of the package differ from those of the reference decoder, for a random model."""
    path = register_random_codec(folder, config)
    model = weights.register(path).model_id.hex()
    random = np.random.default_rng(3).integers(0, 256, (5, 6, 3), np.uint8)
    data = saved(Image.fromarray(random).resize(size, Image.Resampling.BICUBIC), model, tile_size=64, overlap=16)
    header, samples = reference_network.samples(path.read_bytes(), data)
    assert (header.width, header.height) == size
    found = np.asarray(opened(data), np.int16).ravel()
    assert len(np.unique(found)) > 5  # no flat image
    return int(np.abs(found - np.frombuffer(samples, np.uint8)).max())


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("cell", CELLS)
def test_samples_of_the_light_network_are_those_of_the_reference_within_one(
    cell: CellName, framework: Framework, tmp_path: Path
) -> None:
    assert largest_error(light(cell, framework), tmp_path) <= 1


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("cell", CELLS)
def test_samples_of_the_light_network_of_stride_8_are_those_of_the_reference_within_one(
    cell: CellName, framework: Framework, tmp_path: Path
) -> None:
    assert largest_error(recurrent(framework, cell=cell, iterations=ITERATIONS), tmp_path) <= 1


@pytest.mark.slow  # plain Python takes seconds for each
@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("cell", CELLS)
def test_samples_of_the_paper_network_are_those_of_the_reference_within_one(
    cell: CellName, framework: Framework, tmp_path: Path
) -> None:
    assert largest_error(paper(cell, framework), tmp_path, ONE_TILE) <= 1
