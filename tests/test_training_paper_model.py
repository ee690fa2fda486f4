"""The paper's network learns in every cell and framework, resumes exactly, and is chosen by its areas."""

from __future__ import annotations

import dataclasses
import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import photograph

from pillow_rnc.container import reader
from pillow_rnc.entropy.tile_coder import decode_tile
from pillow_rnc.errors import WeightsError
from pillow_rnc.evaluation.paper_runs import CELLS
from pillow_rnc.models import weights
from pillow_rnc.models.config import Framework, RecurrentConfig
from pillow_rnc.training import loop
from pillow_rnc.training.__main__ import main
from pillow_rnc.training.checkpoint import Checkpoint, read_newest, write_checkpoint
from pillow_rnc.training.data import Photographs, is_held_out
from pillow_rnc.training.export import export
from pillow_rnc.training.families import make_model
from pillow_rnc.training.loop import Run
from pillow_rnc.training.model import StepInputs
from pillow_rnc.training.pace import Pace
from pillow_rnc.training.recipe import Recipe, recipe_from_mapping
from pillow_rnc.training.recurrent import light_entropy, light_export
from pillow_rnc.training.recurrent.codec_run import read_codec
from pillow_rnc.training.recurrent.paper_model import PaperModel, StochasticBinarizer, nominal_bpp
from pillow_rnc.training.selection import BEST, area_score
from research.resume_test import losses

if TYPE_CHECKING:
    from pillow_rnc.models.config import CellName

pytestmark = pytest.mark.slow

RECIPES = Path(loop.__file__).parents[2] / "weights" / "recipes"
CPU = torch.device("cpu")


def paper_recipe(cell: CellName = "gru", framework: Framework = "one_shot", **changes: Any) -> Recipe:  # noqa: ANN401
    values: dict[str, Any] = {
        "name": "tiny-paper", "batch": 2, "crop_px": 32, "warmup_steps": 1,
        "entropy_only_steps": 0, "codec_ramp_steps": 0, "train_encoder": True, "stochastic_codes": False,
        "model": RecurrentConfig(network="paper", paper_divisor=16, cell=cell, framework=framework, iterations=2),
    }  # fmt: skip
    return Recipe(**(values | changes))


def run_in(folder: Path, recipe: Recipe, *, validated: bool = False) -> Run:
    held_out = [photograph(9, 256, 256)] if validated else []
    return Run(recipe, Photographs([photograph(i) for i in range(3)], held_out, []), folder, CPU)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("framework", get_args(Framework))
def test_one_patch_can_be_learned_by_heart(cell: CellName, framework: Framework) -> None:
    torch.manual_seed(0)
    model = make_model(paper_recipe(cell, framework))
    pixels = torch.from_numpy(photograph(1)[:32, :32].copy()).permute(2, 0, 1)[None].float()
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = model(StepInputs(pixels, [])).loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))

    assert min(losses[-10:]) < 0.6 * losses[0]


def test_the_loss_is_the_mean_absolute_residual_of_all_iterations() -> None:
    torch.manual_seed(0)
    model = make_model(paper_recipe(framework="additive"))
    assert isinstance(model, PaperModel)
    pixels = torch.rand(2, 3, 32, 32) * 255
    with torch.no_grad():
        shown = [one.reconstruction for one in model.coded(pixels)]
        expected = np.mean([float((pixels / 255 - 0.5 - one).abs().mean()) for one in shown])
        out = model(StepInputs(pixels, []))

    assert float(out.loss) == pytest.approx(expected)
    assert out.bpp.tolist() == [0.125, 0.25]
    assert [nominal_bpp(count) for count in (1, 16)] == [0.125, 2.0]


def test_codes_are_drawn_with_the_mean_z_and_the_gradient_of_z() -> None:
    torch.manual_seed(0)
    z = torch.linspace(-1, 1, 5).repeat(20000, 1).requires_grad_()
    binarizer = StochasticBinarizer()
    bits = binarizer(z)
    bits.sum().backward()

    assert set(bits.flatten().tolist()) == {-1.0, 1.0}
    assert bits.detach().mean(0).numpy() == pytest.approx([-1, -0.5, 0, 0.5, 1], abs=0.03)
    assert z.grad is not None
    assert (z.grad == 1).all()
    assert binarizer.eval()(torch.tensor([-0.1, 0.0, 0.1])).tolist() == [-1.0, 1.0, 1.0]


def test_a_resumed_run_draws_the_codes_of_the_uninterrupted_one(tmp_path: Path) -> None:
    recipe = paper_recipe(stochastic_codes=True)

    expected = losses(run_in(tmp_path / "whole", recipe), 4)
    first = run_in(tmp_path / "parts", recipe)
    found = losses(first, 2)
    first.save()
    torch.rand(3)
    found += losses(run_in(tmp_path / "parts", recipe), 2)

    assert found == expected


def test_the_validation_is_that_of_the_light_network() -> None:
    """Same units and ranges; before entropy coding."""
    torch.manual_seed(0)
    curve = make_model(paper_recipe()).curve(torch.rand(1, 3, 64, 64) * 255)

    assert [point[0] for point in curve] == [0.125, 0.25]
    assert all(5 < point[1] < 30 and 0 < point[2] < 1 for point in curve)


def test_area_score_weighs_both_curves_alike() -> None:
    flat = [(0.125, 30.0, 0.9), (2.0, 30.0, 0.9)]
    rising = [(0.125, 20.0, 0.9), (2.0, 40.0, 0.9)]

    assert area_score(flat) == pytest.approx(27.0)
    assert area_score(rising) == pytest.approx(27.0)
    assert area_score(flat[:1]) == pytest.approx(27.0)
    better_hvs, better_ms_ssim = ([(b, h * f, m * g) for b, h, m in flat] for f, g in ((1.02, 1), (1, 1.01)))
    assert area_score(better_hvs) > area_score(better_ms_ssim) > area_score(flat)


def test_the_checkpoint_with_the_largest_areas_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([2.0, 5.0, 3.0, 5.0])

    def curve(*_: object) -> list[tuple[float, float, float]]:
        return [(0.125, next(scores), 1.0)]

    monkeypatch.setattr(PaperModel, "curve", curve)
    monkeypatch.setattr("pillow_rnc.training.crops._VALIDATION_CROPS", 1)
    recipe = paper_recipe(choose_by_area=True, block_iterations=16)
    for steps in range(1, 5):  # a run that is continued, and validated at each end
        more = dataclasses.replace(recipe, block_iterations=16.0 * steps)
        run_in(tmp_path, more, validated=True).run(Pace(minutes=1))
    best, newest = read_newest(tmp_path / BEST), read_newest(tmp_path)

    assert best is not None
    assert newest is not None
    assert (best.state["step"], best.state["area_score"]) == (2, pytest.approx(5.0))
    assert newest.state["step"] == 4


def test_a_pace_counts_cpu_time(tmp_path: Path) -> None:
    pace = Pace.of_cpu(1.0)

    assert 59 < pace.seconds_left <= 60
    run = run_in(tmp_path, paper_recipe())
    run.run(Pace.of_cpu(0.5 / 60))
    assert run.seconds > 0.4
    assert run.step > 0


def test_the_published_protocol_is_a_recipe() -> None:
    recipe = Recipe.from_toml(RECIPES / "paper.toml")

    assert recipe.model == RecurrentConfig(network="paper", cell="lstm", framework="one_shot")
    assert (recipe.model.iterations, recipe.crop_px, recipe.batch) == (16, 32, 32)
    assert recipe.choose_by_area
    assert recipe.stochastic_codes
    steps = recipe.block_iterations / (recipe.batch * (recipe.crop_px / 16) ** 2 * recipe.model.iterations)
    assert math.isclose(steps, 1e6)


def test_an_unknown_network_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"network is 'deep', allowed are \('light', 'paper'\)"):
        recipe_from_mapping({"name": "x", "model": {"family": "recurrent", "network": "deep"}})


def test_an_export_without_entropy_network_names_the_commands_to_use(tmp_path: Path) -> None:
    run_in(tmp_path / "run", paper_recipe()).save()

    with pytest.raises(ValueError, match=r"no entropy network .*training\.recurrent\.light_entropy, .*light_export"):
        export(tmp_path / "run", tmp_path / "weights")


def test_a_trained_network_codes_files_with_an_entropy_network_trained_on_its_codes(tmp_path: Path) -> None:
    photographs, codec, entropy, out = (tmp_path / name for name in ("photographs", "codec", "entropy", "weights"))
    photographs.mkdir()
    names = sorted((f"p{i}" for i in range(100)), key=lambda name: is_held_out(name, 0.05))
    for index, name in enumerate((names[0], names[-1])):  # one to train on, one held out
        Image.fromarray(photograph(index, 256, 256)).save(photographs / f"{name}.png")
    run = run_in(codec, paper_recipe(framework="additive", stochastic_codes=True))
    losses(run, 2)
    run.save()
    light_entropy.main(
        ["--data", str(photographs), "--codec", str(codec), "--out", str(entropy), "--crops", "4", "--steps", "2"]
    )
    light_export.main(["--codec", str(codec), "--entropy", str(entropy), "--out", str(out), "--release"])

    (path,) = out.glob("recurrent-*.safetensors")
    assert json.loads(path.with_suffix(".json").read_text())["recipe"]["learning_rate"] == run.recipe.learning_rate
    model, pixels, fp = weights.load(weights.register(path).model_id), photograph(5, 64, 48), io.BytesIO()
    Image.fromarray(pixels).save(fp, "RNC", model=model.model_id.hex(), iterations=2)
    segments = [unit[0] for unit in reader.parse(fp.getvalue()).units]
    codes = decode_tile(segments, model.entropy_model, (3, 4))
    model_of_run = read_codec(codec).model
    assert isinstance(model_of_run, PaperModel)
    assert all(torch.equal(one, run.stepper.average[name]) for name, one in model_of_run.named_parameters())
    with torch.no_grad():
        trained = list(model_of_run.coded(torch.from_numpy(pixels).permute(2, 0, 1)[None].float()))
    assert np.array_equal(codes, torch.cat([one.bits for one in trained]).numpy() > 0)
    shown = model_of_run.network.transform.inverse(trained[-1].reconstruction)[0].permute(1, 2, 0)
    np.testing.assert_allclose(np.asarray(Image.open(fp)), shown.clamp(0, 255).numpy(), atol=1)


def test_codecs_that_are_trained_with_their_entropy_network_are_refused(tmp_path: Path) -> None:
    state = {"step": 1, "recipe": Recipe("embedded").as_dict()}
    write_checkpoint(tmp_path, Checkpoint({}, {}, {}, {}, state))

    with pytest.raises(ValueError, match="recipe 'embedded': the network is not the paper's"):
        read_codec(tmp_path)


def test_a_set_of_small_pictures_is_validated_on_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pillow_rnc.training.crops._VALIDATION_CROPS", 1)
    for name, count, side in (("set", 3, 32), ("others", 1, 256)):
        (tmp_path / name).mkdir()
        for index in range(count):
            Image.fromarray(photograph(index, side, side)).save(tmp_path / name / f"{index}.png")
    text = 'name = "x"\nbatch = 1\ncrop_px = 32\nblock_iterations = 8\n'
    text += 'choose_by_area = true\n[model]\nfamily = "recurrent"\nnetwork = "paper"\n'
    text += 'paper_divisor = 16\nframework = "additive"\niterations = 2\n'
    (tmp_path / "recipe.toml").write_text(text)
    paths = {"--data": "set", "--validate-on": "others", "--out": "run"}
    named = [word for name, path in paths.items() for word in (name, str(tmp_path / path))]
    main([str(tmp_path / "recipe.toml"), *named, "--device", "cpu"])

    best = read_newest(tmp_path / "run" / BEST)
    assert best is not None
    assert best.state["area_score"] > 0
