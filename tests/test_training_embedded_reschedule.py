"""A model gets a schedule for graphics: colours and high frequencies come earlier, and its parameters are inherited."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from test_training_process_group import as_toml
from tiny_codec import CONFIG
from tiny_training import photograph, schedule_once, tiny_recipe, write_photographs

from pillow_rnc.training.checkpoint import read_newest
from pillow_rnc.training.crops import CropSampler
from pillow_rnc.training.embedded import graphics_schedule, reschedule, start
from pillow_rnc.training.embedded.graphics_schedule import Entry, Images, entries_of, with_early_colours
from pillow_rnc.training.embedded.model import EmbeddedModel
from pillow_rnc.training.export import weights_bytes
from pillow_rnc.training.families import make_model
from pillow_rnc.training.graphics import graphic

if TYPE_CHECKING:
    from pathlib import Path

    from pillow_rnc.training.recipe import Recipe

pytestmark = pytest.mark.slow

KNOWN = CONFIG.iterations - 1
RECIPE = tiny_recipe(model=dataclasses.replace(CONFIG, iterations=CONFIG.iterations + 1))


@pytest.fixture(autouse=True)
def _early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Insert early, as the tiny model has few iterations, and try one step for each coefficient."""
    monkeypatch.setattr(start, "_LATE_STEPS", (1,))
    monkeypatch.setattr(graphics_schedule, "INSERTED_AFTER", 2)
    monkeypatch.setattr(graphics_schedule, "_FIRST_FILLED", 1)
    monkeypatch.setattr(graphics_schedule, "_COLOUR_LEVELS", 1)


def embedded(recipe: Recipe) -> EmbeddedModel:
    model = make_model(recipe)
    assert isinstance(model, EmbeddedModel)
    return model.requires_grad_(requires_grad=False)


@pytest.fixture
def old() -> EmbeddedModel:
    """Return a model with a schedule for photographs."""
    torch.manual_seed(3)
    model = embedded(tiny_recipe())
    crops = CropSampler([photograph(seed) for seed in range(3)], crop_px=64, seed=1).batch(0, 6)
    schedule_once(model.network, model.network.transform(crops), 200.0, 40.0)
    return model


@pytest.fixture
def crops() -> Images:
    """Return pixels of photographs and graphics."""
    photographs = CropSampler([photograph(seed) for seed in range(3)], crop_px=64, seed=2).batch(0, 4)
    pages = [torch.from_numpy(np.array(graphic(index))) for index in range(2)]
    return Images(photographs, torch.stack([page[:64, 40:104].permute(2, 0, 1).float() for page in pages]))


def test_the_chroma_means_come_early_and_what_does_not_fit_comes_later() -> None:
    iterations = [[Entry(64, 500.0, 1), Entry(0, 900.0, 2), Entry(9, 300.0, 1)], [Entry(128, 400.0, 1)], [], []]
    moved = with_early_colours(iterations, 4)

    assert moved[0] == [Entry(64, 250.0, 1), Entry(128, 250.0, 1), Entry(0, 900.0, 2)]
    assert moved[1] == [Entry(64, 125.0, 1), Entry(128, 125.0, 1), Entry(9, 300.0, 1)]
    assert moved[2] == [Entry(64, 62.5, 1), Entry(128, 62.5, 1)]
    assert moved[3] == []
    assert iterations[1] == [Entry(128, 400.0, 1)]


def test_the_schedule_goes_on_from_the_old_one_and_codes_more_frequencies(old: EmbeddedModel, crops: Images) -> None:
    network = embedded(RECIPE).network
    images = Images(*(network.transform(pixels) for pixels in crops))
    continued = graphics_schedule.set_schedule(network, old.network, images, known=KNOWN, steps=(20.0, 8.0))

    def coded(model: object, count: int) -> set[int]:
        return {entry.coefficient for t in range(count) for entry in entries_of(model.quantizer, t)}  # type: ignore[attr-defined]

    assert continued == [0, 1, 1, 2, 3]
    assert coded(network, KNOWN + 1) > coded(old.network, KNOWN) - {64, 128}
    assert len(coded(network, KNOWN + 1)) > len(coded(old.network, KNOWN))
    for t in range(network.config.iterations):
        assert sum(entry.levels for entry in entries_of(network.quantizer, t)) <= network.quantizer.pairs
    steps: dict[int, float] = {}
    for t in range(network.config.iterations):
        for entry in entries_of(network.quantizer, t):
            assert entry.step < steps.get(entry.coefficient, float("inf"))
            steps[entry.coefficient] = entry.step


def test_a_model_that_keeps_its_schedule_inherits_everything(old: EmbeddedModel) -> None:
    model = embedded(tiny_recipe())
    model.network.quantizer.load_state_dict(old.network.quantizer.state_dict())
    idle = (old.network.quantizer.level >= 1e6).flatten()
    continued = list(range(CONFIG.iterations))
    found = reschedule.likest(old.network.quantizer, model.network.quantizer, continued).flatten()
    reschedule.inherit(model, old, continued, torch.full_like(old.network.quantizer.step, 0.5))

    assert torch.equal(found[~idle], torch.arange(len(found))[~idle])
    assert (found[idle] == -1).all()
    used = (~idle).view(old.network.quantizer.step.shape)
    for t in range(CONFIG.iterations):
        for name in ("output_weight", "output_bias"):
            new, was = (getattr(each.entropy, name)[t][:, used[t]] for each in (model, old))
            assert torch.equal(new, was), name
    assert torch.equal(model.entropy.state_weight, old.entropy.state_weight)
    assert torch.equal(model.network.decoder.bias, old.network.decoder.bias)


def test_the_command_makes_a_checkpoint_that_codes_with_the_new_schedule(old: EmbeddedModel, tmp_path: Path) -> None:
    weights = tmp_path / "old.safetensors"
    weights.write_bytes(weights_bytes(old))
    weights.with_suffix(".json").write_text(json.dumps({"recipe": tiny_recipe().as_dict()}))
    (tmp_path / "recipe.toml").write_text(as_toml(RECIPE))
    for folder in ("photographs", "graphics"):
        write_photographs(tmp_path / folder)
        for file in (tmp_path / folder).iterdir():
            with Image.open(file) as opened:
                opened.resize((112, 112)).save(file)
    arguments = [str(weights), str(tmp_path / "recipe.toml"), "--out", str(tmp_path / "run"), "--known", str(KNOWN)]
    for folder in ("photographs", "graphics"):
        arguments += ["--data" if folder == "photographs" else "--graphics", str(tmp_path / folder)]
    reschedule.main([*arguments, "--steps", "20", "8"])
    checkpoint = read_newest(tmp_path / "run")

    assert checkpoint is not None
    assert checkpoint.state["step"] == 0
    model = embedded(RECIPE)
    for name, parameter in model.named_parameters():
        parameter.copy_(checkpoint.average[name])
    points = model.curve(torch.from_numpy(photograph(7, 64, 64)).permute(2, 0, 1)[None].float())
    assert [rate for rate, _, _ in points] == sorted(rate for rate, _, _ in points)
    assert points[-1][1] > points[0][1]
    assert load_file(weights)["network.log_gain"].shape[0] + 1 == len(checkpoint.model["network.log_gain"])


def test_what_does_not_fit_is_named(crops: Images) -> None:
    with pytest.raises(ValueError, match="model of the recipe"):
        reschedule.rescheduled({}, CONFIG, tiny_recipe(), crops, known=KNOWN, steps=(20.0, 8.0))
