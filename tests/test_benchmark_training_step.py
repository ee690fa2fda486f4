"""The benchmark measures whole steps of what it names."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest
import torch
from test_training_process_group import as_toml
from tiny_training import tiny_recipe

from benchmarks.training_step import StepVariant, Turn, compare, main, report, variants
from pillow_rnc.models.config import RecurrentConfig
from pillow_rnc.training.step import Speed

if TYPE_CHECKING:
    from pathlib import Path

CPU = torch.device("cpu")


def test_variants_differ_in_what_their_names_say() -> None:
    recipe = tiny_recipe(batch=4)
    found = {variant.name: variant for variant in variants(recipe, CPU, compiled=True)}

    assert found["as in the recipe"].recipe == recipe
    assert found["full convolutions"].recipe.model == dataclasses.replace(recipe.model, separable=False)
    assert (found["half the batch"].recipe.batch, found["twice the batch"].recipe.batch) == (2, 8)
    assert list(found)[:3] == ["as in the recipe", "plain", "full convolutions"], "what the others are measured by"
    assert found["plain"].recipe == dataclasses.replace(found["full convolutions"].recipe, ms_ssim_iterations=4)
    assert found["compiled"].speed.compiled
    assert found["full convolutions, compiled"] == (
        "full convolutions, compiled", found["full convolutions"].recipe, found["compiled"].speed,
    )  # fmt: skip
    assert found["compiled, twice the batch"].speed.compiled
    assert found["compiled, twice the batch"].recipe.batch == 8
    assert found["in bfloat16"].speed.autocast == torch.bfloat16


def test_speed_is_blocks_times_iterations_over_the_best_time() -> None:
    chosen = variants(tiny_recipe(), CPU, compiled=False)[:2]
    turns = compare(chosen, CPU, rounds=1, steps=1)

    for turn in turns:
        assert turn.block_iterations_per_second == pytest.approx(2 * 4 * 4 / turn.best_seconds)
        assert turn.best_seconds > 0


def test_a_report_has_ratios_to_the_first_three() -> None:
    turns = []
    for name, seconds in (("recipe", 2.0), ("plain", 8.0), ("full", 4.0), ("fast", 1.0)):
        turns.append(Turn(StepVariant(name, tiny_recipe(), Speed()), CPU))
        turns[-1].best_seconds = seconds
    lines = [line.split() for line in report(turns, CPU).splitlines()[1:]]

    assert [line[:6] for line in lines] == [
        ["recipe", "2", "16", "1.00", "4.00", "2.00"],
        ["plain", "2", "4", "0.25", "1.00", "0.50"],
        ["full", "2", "8", "0.50", "2.00", "1.00"],
        ["fast", "2", "32", "2.00", "8.00", "4.00"],
    ]


def test_a_recipe_is_measured_in_another_framework(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "tiny.toml"
    path.write_text(as_toml(tiny_recipe(batch=3)))
    threads = str(torch.get_num_threads())
    options = ["--device", "cpu", "--threads", threads, "--rounds", "1", "--framework", "additive"]
    main([str(path), *options, "--only", "half the batch"])
    lines = capsys.readouterr().out.splitlines()

    assert [line[:27].strip() for line in lines[1:]] == [
        "as in the recipe", "plain", "full convolutions", "half the batch",
    ]  # fmt: skip
    assert [line.split()[-6] for line in lines[1:]] == ["3", "3", "3", "1"]
    with pytest.raises(SystemExit):
        main([str(path), *options, "--only", "a third of the batch"])
    assert "unknown variants ['a third of the batch'], known are ['as in the recipe'," in capsys.readouterr().err


def test_the_network_of_the_paper_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "paper.toml"
    path.write_text(as_toml(tiny_recipe(model=RecurrentConfig(network="paper", paper_divisor=16))))

    with pytest.raises(SystemExit):
        main([str(path), "--device", "cpu", "--threads", str(torch.get_num_threads())])
    assert "the model is not trained for rate and distortion" in capsys.readouterr().err
