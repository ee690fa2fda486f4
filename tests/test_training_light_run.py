"""A run of the recurrent codec that was stopped goes on as if it had not been."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import tiny_recipe

from pillow_rnc.training.data import is_held_out, load_photographs
from pillow_rnc.training.families import make_model
from pillow_rnc.training.recurrent.codec_run import Codec, codes_of, read_codec
from pillow_rnc.training.recurrent.dense_entropy_network import DenseEntropyNetwork
from pillow_rnc.training.recurrent.light_export import weights_bytes
from pillow_rnc.training.recurrent.light_model import LightModel, area
from pillow_rnc.training.recurrent.light_recipe import LightRecipe
from pillow_rnc.training.recurrent.light_run import Run

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = LightRecipe(
    encoder_channels=8,
    decoder_channels=8,
    context_channels=8,
    batch=2,
    crop_px=32,
    warmup_steps=2,
    short_million=0.0003,
)


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """Two images to train on and one to hold out, chosen by the stems of their names."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    random = np.random.default_rng(0)
    for held_out, count in ((False, 2), (True, 1)):
        names = (f"p{i}" for i in itertools.count() if is_held_out(f"p{i}") == held_out)
        for name in itertools.islice(names, count):
            small = Image.fromarray(random.integers(0, 256, (20, 24, 3), np.uint8))
            small.resize((288, 256), Image.Resampling.BICUBIC).save(folder / f"{name}.png")
    return folder


@pytest.fixture(autouse=True)
def _from_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin without principal components, which take seconds and have a test of their own."""
    monkeypatch.setattr("pillow_rnc.training.recurrent.light_run.start_from_components", lambda *_: [1.0])


def run_of(photographs: Path, folder: Path, begin_from: Path | None = None) -> Run:
    return Run(RECIPE, load_photographs(photographs, smallest_px=256), folder, begin_from=begin_from, compiled=False)


def test_a_run_resumed_from_its_checkpoint_ends_where_one_in_one_go_does(tmp_path: Path, photographs: Path) -> None:
    whole = run_of(photographs, tmp_path / "whole")
    for _ in range(6):
        whole.train_step()
    first = run_of(photographs, tmp_path / "parts")
    for _ in range(3):
        first.train_step()
    first.save()
    second = run_of(photographs, tmp_path / "parts")
    assert second.step == 3
    for _ in range(3):
        second.train_step()
    assert second.block_iterations == whole.block_iterations
    pairs = zip(whole.model.named_parameters(), second.model.parameters(), strict=True)
    assert [name for (name, one), other in pairs if not torch.equal(one, other)] == []
    assert all(torch.equal(second.average[name], average) for name, average in whole.average.items())


def test_the_first_steps_do_half_of_the_iterations(tmp_path: Path, photographs: Path) -> None:
    run, amounts = run_of(photographs, tmp_path / "run"), [0.0]
    for _ in range(7):
        run.train_step()
        amounts.append(run.block_iterations)
    assert np.diff(amounts).tolist() == [64, 64, 64, 64, 64, 128, 128]


def test_an_end_lets_the_learning_rate_fall_to_zero_and_leaves_the_run_it_began_from(
    tmp_path: Path, photographs: Path
) -> None:
    run = run_of(photographs, tmp_path / "run")
    run.train_step()
    run.save()
    ended = run_of(photographs, tmp_path / "ended", tmp_path / "run")
    assert ended.step == 1
    ended.end = (ended.block_iterations, ended.block_iterations + 256)
    shares = []
    for _ in range(4):
        shares.append(ended.rate_share())
        ended.train_step()
    assert shares == [1, 0.75, 0.5, 0.25]
    ended.save()
    assert run_of(photographs, tmp_path / "ended").end == ended.end
    assert run_of(photographs, tmp_path / "run").step == 1


def test_a_step_without_a_finite_gradient_changes_nothing(tmp_path: Path, photographs: Path) -> None:
    run = run_of(photographs, tmp_path / "run")
    run.train_step()
    before = {name: p.clone() for name, p in run.model.named_parameters()}
    spoilt = run.model.network.decoder.up.weight
    hook = spoilt.register_hook(lambda gradient: gradient * math.nan)  # type: ignore[no-untyped-call]
    run.train_step()
    assert run.step == 2
    assert all(torch.equal(p, before[name]) for name, p in run.model.named_parameters())
    hook.remove()
    run.train_step()
    assert not all(torch.equal(p, before[name]) for name, p in run.model.named_parameters())


def test_the_codec_of_a_run_is_read_with_its_averaged_parameters(tmp_path: Path, photographs: Path) -> None:
    run = run_of(photographs, tmp_path / "run")
    for _ in range(2):
        run.train_step()
    run.save()
    codec = read_codec(tmp_path / "run")
    assert codec.recipe == RECIPE
    assert dataclasses.asdict(codec.recipe) == dataclasses.asdict(run.recipe)
    own = dict(codec.model.network.named_parameters())
    assert all(torch.equal(own[name], average) for name, average in run.average.items())
    assert codes_of(codec.model, run.validation[:1, :, :64, :64]).shape == (16, 1, 32, 4, 4)


def test_the_area_is_that_of_trapezoids_and_holds_the_ends() -> None:
    assert math.isclose(area([(0.125, 0.0, 0.5), (2.0, 0.0, 1.0)]), 1.875 * 0.75, rel_tol=1e-6)
    assert math.isclose(area([(0.5, 0.0, 0.8), (1.0, 0.0, 0.8)]), 1.875 * 0.8, rel_tol=1e-6)


def test_recipes_name_the_command_that_trains_these_networks() -> None:
    with pytest.raises(ValueError, match=r"a LightNetwork \(code_stride 16\); python -m .*light_run does"):
        make_model(tiny_recipe(model=RECIPE.config))


def test_networks_without_lapping_have_no_weights_file() -> None:
    recipe = dataclasses.replace(RECIPE, lapped=False)
    codec = Codec(LightModel(recipe.config, lapped=False), recipe, 0.0)
    with pytest.raises(ValueError, match="not lapped"):
        weights_bytes(codec, DenseEntropyNetwork(recipe.config))
