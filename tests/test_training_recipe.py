"""Recipes say what they do not understand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tiny_training import tiny_recipe

from pillow_rnc.errors import WeightsError
from pillow_rnc.training.recipe import Recipe, recipe_from_mapping, target_slope

if TYPE_CHECKING:
    from pathlib import Path


def test_a_recipe_survives_json() -> None:
    recipe = tiny_recipe(batch=7)

    assert recipe_from_mapping(json.loads(json.dumps(recipe.as_dict()))) == recipe


def test_a_recipe_is_read_from_toml(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('name = "x"\nbatch = 3\n[model]\nfamily = "recurrent"\ncell = "lstm"\n')

    assert Recipe.from_toml(path).batch == 3
    assert Recipe.from_toml(path).model.cell == "lstm"


def test_unknown_keys_are_named_with_the_known_ones(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_text('name = "x"\nbacth = 3\n')

    with pytest.raises(ValueError, match=r"r\.toml: unknown keys \['bacth'\], known are .*'batch'"):
        Recipe.from_toml(path)
    with pytest.raises(WeightsError, match="unknown key 'cel'"):
        recipe_from_mapping({"name": "x", "model": {"cel": "gru"}})


def test_bits_get_cheaper_as_the_rate_rises() -> None:
    slopes = [target_slope(t, 16) for t in range(16)]

    assert slopes == sorted(slopes, reverse=True)
