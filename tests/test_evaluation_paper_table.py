"""The command trains and measures twelve runs once, goes on where it stopped, and writes the table."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from tiny_training import photograph

from pillow_rnc.evaluation import paper_runs, paper_table
from pillow_rnc.evaluation.__main__ import main
from pillow_rnc.evaluation.curves import Point
from pillow_rnc.evaluation.page_tables import label, rank_correlation
from pillow_rnc.evaluation.paper_page import PaperComparison, markdown, means
from pillow_rnc.evaluation.paper_runs import Combination, Measured, area_range, recipe_of
from pillow_rnc.evaluation.paper_table import combinations
from pillow_rnc.evaluation.paper_values import HIGH_ENTROPY, JPEG, SMALL
from pillow_rnc.models.config import RecurrentConfig
from pillow_rnc.training.checkpoint import read_newest
from pillow_rnc.training.pace import Pace
from pillow_rnc.training.recipe import Recipe
from pillow_rnc.training.recurrent.paper_model import paper_config

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = """
name = "tiny-table"
block_iterations = {amount}
batch = 1
crop_px = 32
train_encoder = true
stochastic_codes = false
[model]
family = "recurrent"
network = "paper"
paper_divisor = 16
iterations = 2
"""


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with photographs, pictures of odd sizes to measure, and a recipe of one step."""
    for name, shape in (("data", (128, 128)), ("kodak", (200, 165))):
        (tmp_path / name).mkdir()
        for index in range(2):
            Image.fromarray(photograph(index, *shape)).save(tmp_path / name / f"{name}-{index}.png")
    (tmp_path / "recipe.toml").write_text(RECIPE.format(amount=8))
    monkeypatch.setattr(paper_runs, "_CODER_BATCH", 1)
    return tmp_path


def arguments(folder: Path, *more: str) -> list[str]:
    named = {"--data": "data", "--kodak": "kodak", "--out": "out", "--recipe": "recipe.toml"}
    paths = [text for name, path in named.items() for text in (name, str(folder / path))]
    return ["table", *paths, "--minutes", "0.002", "--limit", "1", *more]


@pytest.mark.slow  # it trains every combination
def test_the_command_writes_the_table_and_does_nothing_twice(
    folders: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(arguments(folders)) == 0
    text = (folders / "out" / "table.md").read_text(encoding="utf-8")
    assert text in capsys.readouterr().out
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    assert rows[2:14] == [label(one) for one in combinations(0)[:12]]
    assert rows[14:] == ["JPEG 4:2:0", "JPEG 4:4:4"]
    assert "over 0.125 to 0.25 bpp" in text
    assert "GRU, one-shot, with another seed" in text

    def never(*_: object, **__: object) -> Any:  # noqa: ANN401
        pytest.fail("nothing is left to do")

    monkeypatch.setattr(paper_runs, "Run", never)
    monkeypatch.setattr(paper_runs, "train_coder", never)
    monkeypatch.setattr(paper_runs, "score", never)
    monkeypatch.setattr(paper_table, "load_photographs", never)
    assert main(arguments(folders)) == 0
    assert (folders / "out" / "table.md").read_text(encoding="utf-8") == text


def test_a_run_goes_on_from_its_checkpoint_and_spends_what_is_left(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = Recipe.from_toml(folders / "recipe.toml")
    recipe = recipe_of(base, Combination("lstm", "additive", 3))
    recipe = dataclasses.replace(recipe, block_iterations=1e9)
    photographs = lambda: paper_table._photographs(folders / "data")  # noqa: E731
    first = paper_runs.train(recipe, photographs, folders / "run", 0.01)
    asked: list[float] = []
    whole = Pace.of_cpu

    def noted(minutes: float, save_seconds: float) -> Pace:
        asked.append(minutes)
        return whole(minutes, save_seconds)

    monkeypatch.setattr(Pace, "of_cpu", noted)
    again = paper_runs.train(recipe, photographs, folders / "run", 0.01)
    assert again.state == first.state
    assert not asked
    more = paper_runs.train(recipe, photographs, folders / "run", 0.02)

    assert asked == [pytest.approx(0.02 - first.state["seconds"] / 60)]
    assert more.state["resumed"] == 1
    assert more.state["step"] > first.state["step"]
    assert more.state["seconds"] > 0.9 * 1.2
    with pytest.raises(ValueError, match="holds a run of another recipe"):
        paper_runs.train(base, photographs, folders / "run", 0.01)


def test_a_run_without_a_checkpoint_is_an_error(folders: Path) -> None:
    recipe = recipe_of(Recipe.from_toml(folders / "recipe.toml"), combinations(0)[0])
    folder = folders / "recipe.toml" / "run"  # below a file nothing can be written

    with pytest.raises(NotADirectoryError, match="run"):
        paper_runs.train(recipe, lambda: paper_table._photographs(folders / "data"), folder, 0.01)


def test_a_run_that_went_on_is_measured_anew_and_nothing_old_stays(folders: Path) -> None:
    base = Recipe.from_toml(folders / "recipe.toml")
    photographs = lambda: paper_table._photographs(folders / "data")  # noqa: E731
    pictures = [Image.fromarray(photograph(5, 200, 165))]
    found = []
    for amount in (8, 16):
        recipe = recipe_of(base, combinations(0)[0])
        recipe = dataclasses.replace(recipe, block_iterations=amount)
        state = read_newest(folders / "run")
        if state is not None:  # as if it had been of the same recipe from the start
            for path in (folders / "run").glob("step-*"):
                _rewrite_recipe(path, recipe)
        found.append(paper_runs.measured(recipe, photographs, pictures, folders / "run", 0.01))

    assert [one.steps for one in found] == [1, 2]
    assert [one.block_iterations for one in found] == [8, 16]
    assert sorted(p.name.partition("-")[0] for p in (folders / "run").glob("*-2*")) == ["coder", "measured"]
    assert not list((folders / "run").glob("measured-1-*"))
    plain, coded = found[1].plain, found[1].coded
    padded = 224 * 192 / 256 * 32
    assert [point.file_bytes * 8 for point in plain] == [padded, 2 * padded]
    assert [point.bpp for point in plain] == [point.file_bytes * 8 / (200 * 165) for point in plain]
    assert [point[3:] for point in plain] == [point[3:] for point in coded]
    assert all(point.bpp > 0 for point in coded)


def _rewrite_recipe(path: Path, recipe: Recipe) -> None:
    state = json.loads((path / "state.json").read_text())
    state.pop("sha256_of_state")
    state["recipe"] = recipe.as_dict()
    (path / "state.json").write_text(json.dumps(state))


def test_a_recipe_of_the_light_network_is_refused(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "recipe.toml").write_text('name = "light"\n')

    assert main(arguments(folders)) == 2
    assert "recipe 'light': the network is not the paper's" in capsys.readouterr().err


def test_the_switch_changes_nothing_else() -> None:
    base = Recipe("base", model=RecurrentConfig(network="paper", iterations=8))
    for one in combinations(0):
        recipe = recipe_of(base, one)
        rest = {name: getattr(recipe, name) for name in recipe.__slots__ if name not in {"name", "seed", "model"}}
        assert rest == {name: getattr(base, name) for name in rest}
        model = paper_config(recipe)
        assert (model.cell, model.framework, model.iterations) == (one.cell, one.framework, 8)
    assert len({one[:2] for one in combinations(0)}) == 12


def flat(height: float) -> list[Point]:
    return [Point(count, 1.0, 0.125 * count, 20.0, height, 30 * height) for count in (1, 8)]


def comparison() -> PaperComparison:
    """Return one in which our order is that of the tiles by MS-SSIM."""
    recipe = Recipe("paper-table", model=RecurrentConfig(network="paper", paper_divisor=8, iterations=8))
    runs = {}
    for one in combinations(0):
        published = HIGH_ENTROPY.get(one[:2])
        height = 0.5 if published is None else published.ms_ssim / 2 + 0.00001
        runs[one] = Measured(flat(height + one.seed / 100), flat(height + 0.01), 100, 2e6, 59.0)
    return PaperComparison(recipe, 1.0, runs, {"jpeg420": flat(0.9), "jpeg444": flat(0.8)}, 24)


def test_the_page_has_every_figure_in_its_place() -> None:
    text = markdown(comparison())
    cells = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    }

    assert cells["LSTM, one-shot"] == ["0.9083", "0.9183", "27.25", "27.55", "0.9689 / 26.06", "0.9633 / 28.04"]
    assert cells["GRU, additive"][4:] == ["-", "-"]
    assert cells["JPEG 4:2:0"] == ["", "0.9000", "", "27.00", "0.9599 / 28.06", "0.9599 / 28.06"]
    assert "over 0.125 to 1 bpp" in text
    assert "100 to 100 steps" in text
    assert "2.00 to 2.00 million block-iterations" in text
    assert "had 1 minutes of CPU time and its coder 15 seconds" in text
    assert "GRU, one-shot, with another seed: MS-SSIM 0.9170 instead of 0.9070" in text
    assert f"- high-entropy tiles, {len(HIGH_ENTROPY)} combinations: MS-SSIM +1.00" in text
    assert f"- 32x32 images, {len(SMALL)} combinations" in text


def test_without_a_second_seed_the_page_says_so() -> None:
    one = comparison()
    text = markdown(one._replace(runs={key: run for key, run in one.runs.items() if key.seed == 0}))

    assert "so the noise is not known" in text


def test_means_are_areas_by_their_width() -> None:
    recipe = Recipe("x", model=RecurrentConfig(network="paper", iterations=16))

    assert area_range(recipe) == (0.125, 2.0)
    assert list(means(flat(0.9), recipe)) == pytest.approx([0.9, 27.0])


def test_rank_correlation_is_spearmans() -> None:
    assert rank_correlation([1, 2, 3], [10, 20, 90]) == pytest.approx(1)
    assert rank_correlation([3, 2, 1], [10, 20, 90]) == pytest.approx(-1)
    assert rank_correlation([1, 3, 2], [1, 2, 3]) == pytest.approx(0.5)
    assert math.isnan(rank_correlation([1], [1]))


def test_published_areas_are_possible() -> None:
    """MS-SSIM is at most 1 and PSNR-HVS of photographs below 40 dB over 1.875 bpp."""
    for values in (HIGH_ENTROPY, SMALL, JPEG):
        areas = np.array(list(values.values()))
        assert ((areas > [1.7, 45]) & (areas < [1.875, 75])).all()
