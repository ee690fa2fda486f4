"""A run that is interrupted again and again is the uninterrupted one, and it shows if it is not."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from test_training_process_group import as_toml
from tiny_training import photograph, quicken_starts, tiny_recipe, write_photographs

from pillow_rnc.training import loop
from pillow_rnc.training.data import Photographs
from pillow_rnc.training.recipe import Recipe
from pillow_rnc.training.step import Stepper
from research.resume_test import ResumeTest, compare, main, markdown

if TYPE_CHECKING:
    from pillow_rnc.training.checkpoint import Checkpoint

pytestmark = pytest.mark.slow

RECIPES = Path(loop.__file__).parents[2] / "weights" / "recipes"
PHOTOGRAPHS = Photographs([photograph(i) for i in range(3)], [], [])
STEPS = 13
BLOCK_ITERATIONS = (STEPS - 0.5) * 2 * 4 * 4  # in the middle of the last step


@pytest.fixture(autouse=True)
def _small_start(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken_starts(monkeypatch)


def test_five_resumptions_leave_no_trace(tmp_path: Path) -> None:
    recipe = tiny_recipe(entropy_only_steps=4, block_iterations=BLOCK_ITERATIONS)
    seams = compare(recipe, PHOTOGRAPHS, tmp_path, 5)

    assert seams.resumed_at == [2, 4, 6, 8, 10]
    assert len(seams.whole) == STEPS
    assert seams.parts == seams.whole
    assert seams.parameter_difference == 0
    assert "resumed 5 times" in markdown(seams)
    assert "Largest difference of a loss: 0; of a parameter, average or moment: 0." in markdown(seams)


def test_a_moment_that_is_forgotten_is_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Stepper.restore

    def forgetful(self: Stepper, checkpoint: Checkpoint) -> None:
        whole(self, checkpoint)
        for state in self.optimizer.state.values():
            state["exp_avg"].zero_()

    monkeypatch.setattr(Stepper, "restore", forgetful)
    seams = compare(tiny_recipe(block_iterations=BLOCK_ITERATIONS), PHOTOGRAPHS, tmp_path, 1)

    assert seams.parts[:7] == seams.whole[:7], "the first step after the resumption is still the same"
    assert seams.parts[7:] != seams.whole[7:]
    assert seams.parameter_difference > 0


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "something").touch()
    with pytest.raises(FileExistsError, match="is not empty"):
        compare(tiny_recipe(), PHOTOGRAPHS, tmp_path, 1)


def test_the_page_shows_losses_round_each_resumption() -> None:
    whole = [float(step) for step in range(40)]
    parts = [*whole[:20], *(loss + 0.5 for loss in whole[20:])]
    lines = markdown(ResumeTest(whole, parts, [20], 0.25)).splitlines()

    assert lines[2] == "| 20 | 14.500000 | 25.000000 | 24.500000 |"
    assert "Largest difference of a loss: 0.5; of a parameter, average or moment: 0.25." in lines[-1]


def test_the_command_writes_every_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, recipe = write_photographs(tmp_path / "photos"), tmp_path / "recipe.toml"
    recipe.write_text(as_toml(tiny_recipe(block_iterations=BLOCK_ITERATIONS)))
    threads = str(torch.get_num_threads())  # left as they are
    out = str(tmp_path / "out")
    main([str(recipe), "--data", str(data), "--out", out, "--resumptions", "2", "--threads", threads])
    with (tmp_path / "out" / "losses.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))

    assert "Largest difference of a loss: 0;" in capsys.readouterr().out
    assert [row["resumptions"] for row in rows] == ["0"] * 4 + ["1"] * 4 + ["2"] * 5
    assert all(row["uninterrupted"] == row["in_parts"] for row in rows)


def test_the_quick_recipe_is_sound_and_goes_through_all_that_training_does() -> None:
    recipe = Recipe.from_toml(RECIPES / "quick.toml")
    steps = recipe.block_iterations / (recipe.batch * (recipe.crop_px / 16) ** 2 * recipe.model.iterations)

    assert recipe.warmup_steps < steps
    assert recipe.entropy_only_steps + recipe.codec_ramp_steps < recipe.constant_share * steps
    assert recipe.train_encoder
