"""The benchmark measures whole steps of what it names."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny_training import tiny_recipe

from pillow_rnc.training.benchmark import compare, variants

CPU = torch.device("cpu")


def test_variants_differ_in_what_their_names_say() -> None:
    recipe = tiny_recipe(batch=4)
    found = {variant.name: variant for variant in variants(recipe, CPU, compiled=True)}

    assert found["as in the recipe"].recipe == recipe
    assert found["full convolutions"].recipe.model == dataclasses.replace(recipe.model, separable=False)
    assert (found["half the batch"].recipe.batch, found["twice the batch"].recipe.batch) == (2, 8)
    assert list(found)[:2] == ["as in the recipe", "plain"], "what the others are measured by"
    assert found["plain"].recipe == dataclasses.replace(found["full convolutions"].recipe, ms_ssim_iterations=4)
    assert found["compiled"].speed.compiled
    assert found["compiled, twice the batch"].speed.compiled
    assert found["compiled, twice the batch"].recipe.batch == 8
    assert found["in bfloat16"].speed.autocast == torch.bfloat16


def test_speed_is_blocks_times_iterations_over_the_best_time() -> None:
    chosen = variants(tiny_recipe(), CPU, compiled=False)[:2]
    turns = compare(chosen, CPU, rounds=1, steps=1)

    for turn in turns:
        assert turn.block_iterations_per_second == pytest.approx(2 * 4 * 4 / turn.best_seconds)
        assert 0 < turn.best_seconds < 10
