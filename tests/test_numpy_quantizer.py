"""The embedded quantizer in NumPy is that of torch, bit by bit, and takes no tables but those of visits."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file
from tiny_codec import CONFIG, register_random_codec

from pillow_rnc.entropy.schedule import IterationSchedule, iteration_schedule
from pillow_rnc.errors import WeightsError
from pillow_rnc.models import weights
from pillow_rnc.models.embedded import numpy_quantizer
from pillow_rnc.models.embedded.numpy_quantizer import IntervalMaps
from pillow_rnc.models.embedded.torch_quantizer import EmbeddedQuantizer, initial_intervals, margins, refine
from pillow_rnc.models.runtime import runtime

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

PAIRS = 6
MEANS = [0, 64, 128]

VISITS = st.lists(
    st.tuples(st.sampled_from([0, 1, 9, 63, 64, 65, 128, 191]), st.floats(0.5, 300, width=32), st.integers(1, 3)),
    max_size=2, unique_by=lambda visit: visit[0],
)  # fmt: skip


def tables_of(quantizer: EmbeddedQuantizer, iteration: int) -> list[NDArray[np.float32]]:
    tables = (quantizer.coefficient, quantizer.level, quantizer.step)
    return [table[iteration].numpy() for table in tables]


def schedule_in_numpy(quantizer: EmbeddedQuantizer, iteration: int) -> IterationSchedule:
    visits = iteration_schedule(*tables_of(quantizer, iteration))
    assert visits is not None
    return visits


@given(schedule=st.lists(VISITS, min_size=1, max_size=5), seed=st.integers(0, 2**32 - 1), masked=st.booleans(),
       cells=st.sampled_from([1, 5, 1000]))  # fmt: skip
def test_bits_and_intervals_are_those_of_torch(
    schedule: list[list[tuple[int, float, int]]], seed: int, masked: bool, cells: int
) -> None:
    shape, random = (2, 3, 4), np.random.default_rng(seed)
    quantizer = EmbeddedQuantizer(len(schedule), 192, PAIRS)
    target = (random.normal(size=(192, *shape)) * 10 ** random.uniform(0, 3.5, (192, *shape))).astype(np.float32)
    wanted = torch.from_numpy(target).transpose(0, 1)
    ours, theirs = IntervalMaps(shape), initial_intervals(wanted)
    codes = np.empty((2 * PAIRS, 2 * 3 * 4), np.uint8)
    with patch.object(numpy_quantizer, "_CELLS_AT_ONCE", cells):
        for iteration, one in enumerate(schedule):
            quantizer.set_schedule(iteration, one)
            step_scale = (1 + masked * random.uniform(0, 2, shape)).astype(np.float32)
            scale = np.where(np.isin(np.arange(192), MEANS)[:, None, None, None], np.float32(1), step_scale)
            here, there = schedule_in_numpy(quantizer, iteration), quantizer.schedule(iteration)
            of_pairs = torch.from_numpy(scale).transpose(0, 1)[:, there.coefficient]
            found = margins(wanted, theirs, there, of_pairs) >= 0
            theirs = refine(torch.where(found, 1.0, -1.0), theirs, there, of_pairs)
            ours.encode(here, step_scale.reshape(-1), target.reshape(192, -1), codes)
            ours.refine(here, step_scale.reshape(-1), codes)

            np.testing.assert_array_equal(codes.reshape(-1, *shape), found.transpose(0, 1).numpy())
            np.testing.assert_array_equal(ours.midpoint, theirs.midpoint.transpose(0, 1).numpy())
            np.testing.assert_array_equal(ours.half_width, theirs.half_width.transpose(0, 1).numpy())


@given(VISITS)
def test_visits_come_back_from_their_tables(schedule: list[tuple[int, float, int]]) -> None:
    quantizer = EmbeddedQuantizer(1, 192, PAIRS)
    quantizer.set_schedule(0, schedule)
    visits = schedule_in_numpy(quantizer, 0)

    assert list(zip(visits.coefficients, visits.steps, visits.levels, strict=True)) == schedule
    assert visits.pairs.tolist() == list(range(sum(levels for _, _, levels in schedule)))


def test_idle_pairs_may_stand_anywhere() -> None:
    coefficient, step = np.array([5, 9, 9, 7, 1], np.float32), np.array([2, 4, 4, 0, 8], np.float32)
    visits = iteration_schedule(coefficient, np.array([1, 1, 2, 1e6, 1], np.float32), step)

    assert visits is not None
    assert visits.coefficients.tolist() == [5, 9, 1]
    assert visits.pairs.tolist() == [0, 1, 2, 4]
    assert visits.first.tolist() == [0, 1, 3]


# Two visits, of coefficient 9 with two levels and of 5 with one, and an idle pair.
SOUND: tuple[list[float], ...] = ([9, 9, 5, 0], [1, 2, 1, 1e6], [4, 4, 2, 0])

UNSOUND: dict[str, tuple[list[float], ...]] = {
    "level 1 is missing": ([9, 9, 5, 0], [2, 3, 1, 1e6], [4, 4, 2, 0]),
    "a level is left out": ([9, 9, 5, 0], [1, 3, 1, 1e6], [4, 4, 2, 0]),
    "levels out of order": ([9, 9, 5, 0], [2, 1, 1, 1e6], [4, 4, 2, 0]),
    "a level of none": ([9, 9, 5, 0], [1, 2, 0, 1e6], [4, 4, 2, 0]),
    "a level between levels": ([9, 9, 5, 0], [1, 1.5, 1, 1e6], [4, 4, 2, 0]),
    "a level that is no number": ([9, 9, 5, 0], [1, 2, 1, np.nan], [4, 4, 2, 0]),
    "two visits of a coefficient": ([9, 9, 9, 0], [1, 2, 1, 1e6], [4, 4, 2, 0]),
    "a visit in two pieces": ([9, 5, 9, 0], [1, 1, 2, 1e6], [4, 2, 4, 0]),
    "a visit of two steps": ([9, 9, 5, 0], [1, 2, 1, 1e6], [4, 2, 2, 0]),
    "a visit of two coefficients": ([9, 8, 5, 0], [1, 2, 1, 1e6], [4, 4, 2, 0]),
    "a coefficient that is not there": ([9, 9, 192, 0], [1, 2, 1, 1e6], [4, 4, 2, 0]),
    "a coefficient below zero": ([9, 9, -1, 0], [1, 2, 1, 1e6], [4, 4, 2, 0]),
    "a coefficient between coefficients": ([9, 9, 5.5, 0], [1, 2, 1, 1e6], [4, 4, 2, 0]),
    "a coefficient that is no number": ([9, 9, np.nan, 0], [1, 2, 1, 1e6], [4, 4, 2, 0]),
    "no step": ([9, 9, 5, 0], [1, 2, 1, 1e6], [4, 4, 0, 0]),
    "a step below zero": ([9, 9, 5, 0], [1, 2, 1, 1e6], [4, 4, -2, 0]),
    "a step without end": ([9, 9, 5, 0], [1, 2, 1, 1e6], [4, 4, np.inf, 0]),
    "a step that is no number": ([9, 9, 5, 0], [1, 2, 1, 1e6], [4, 4, np.nan, 0]),
    "an idle pair between levels": ([9, 0, 9, 5], [1, 1e6, 2, 1], [4, 0, 4, 2]),
    "an idle pair that is not 1000000": ([9, 9, 5, 0], [1, 2, 1, 2e6], [4, 4, 2, 0]),
}


def _arrays(tables: tuple[list[float], ...]) -> list[NDArray[np.float32]]:
    return [np.array(table, np.float32) for table in tables]


def test_sound_tables_are_taken() -> None:
    assert iteration_schedule(*_arrays(SOUND)) is not None


@pytest.mark.parametrize("tables", UNSOUND.values(), ids=UNSOUND)
def test_tables_that_are_not_those_of_visits_are_none(tables: tuple[list[float], ...]) -> None:
    assert iteration_schedule(*_arrays(tables)) is None


def _duplicate(tables: dict[str, NDArray[np.float32]]) -> None:
    tables["network.quantizer.coefficient"][2] = 9


def _beyond(tables: dict[str, NDArray[np.float32]]) -> None:
    tables["network.quantizer.coefficient"][2, 2] = 192


def _half(tables: dict[str, NDArray[np.float32]]) -> None:
    tables["network.quantizer.level"][2, 2] = 0.5


@pytest.mark.parametrize("change", [_duplicate, _beyond, _half])
def test_models_with_other_tables_are_refused(
    change: Callable[[dict[str, NDArray[np.float32]]], None], tmp_path: Path
) -> None:
    path = register_random_codec(tmp_path)
    weights.load("random")
    tensors = load_file(path)
    change(tensors)
    changed = tmp_path / "changed.safetensors"
    save_file(tensors, changed, metadata={"config": CONFIG.to_json()})

    with pytest.raises(WeightsError, match="iteration 2 is not a valid schedule"):
        weights.load(weights.register(changed).model_id)


@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_what_idle_pairs_are_of_does_not_matter(device: str, tmp_path: Path) -> None:
    path = register_random_codec(tmp_path)
    tensors = load_file(path)
    assert tensors["network.quantizer.level"][1, 0] == 1
    tensors["network.quantizer.level"][1, 0] = 1e6
    models = []
    for name, coefficient in (("plain", 0), ("strange", -7.5), ("beyond", 1e9)):
        tensors["network.quantizer.coefficient"][1, 0] = coefficient
        save_file(tensors, tmp_path / f"{name}.safetensors", metadata={"config": CONFIG.to_json()})
        models.append(weights.load(weights.register(tmp_path / f"{name}.safetensors").model_id))
    pixels = np.random.default_rng(1).integers(0, 256, (1, 32, 32, 3)).astype(np.uint8)
    found = []
    for model in models:
        network = runtime(model, device)(1, 32, 32)
        network.set_target(pixels)
        found.append(([network.encode() for _ in range(CONFIG.iterations)], network.pixels()))

    for codes, shown in found[1:]:
        np.testing.assert_array_equal(codes, found[0][0])
        np.testing.assert_array_equal(shown, found[0][1])
