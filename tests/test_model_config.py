"""A configuration chooses its family, says what it does not understand, and survives its weights file."""

from __future__ import annotations

import json

import pytest
from tiny_codec import CONFIG, recurrent

from pillow_rnc.errors import WeightsError
from pillow_rnc.models.config import (
    EmbeddedConfig,
    ModelConfig,
    RecurrentConfig,
    config_from_json,
    config_from_mapping,
    lattice_passes,
)
from pillow_rnc.training.recipe import as_embedded, as_recurrent


@pytest.mark.parametrize(
    "config",
    [CONFIG, EmbeddedConfig(), RecurrentConfig(), recurrent("additive"), RecurrentConfig(network="paper", cell="lstm")],
)
def test_a_configuration_survives_its_json(config: ModelConfig) -> None:
    assert config_from_json(config.to_json()) == config
    assert json.loads(config.to_json())["family"] == config.family


def test_a_weights_file_must_name_its_family_and_a_recipe_need_not() -> None:
    with pytest.raises(WeightsError, match=r"family is missing, allowed are \('embedded', 'recurrent'\)"):
        config_from_json("{}")
    assert config_from_mapping({}) == EmbeddedConfig()


@pytest.mark.parametrize("key", ["separable", "decoder_steps"])
def test_a_weights_file_must_have_every_member_and_a_recipe_need_not(key: str) -> None:
    table = {name: value for name, value in CONFIG.as_dict().items() if name != key}

    with pytest.raises(WeightsError, match=f"model configuration: {key} missing"):
        config_from_json(json.dumps(table))
    assert getattr(config_from_mapping(table), key) == getattr(EmbeddedConfig(), key)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"family": "other"}, "family is 'other', allowed are"),
        ({"family": ["embedded"]}, r"family is \['embedded'\], allowed are"),
        ({"family": "embedded", "framework": "additive"}, "unknown key 'framework'"),
        ({"family": "recurrent", "decoder_steps": 2}, "unknown key 'decoder_steps'"),
        ({"family": "recurrent", "framework": "embedded"}, "framework is 'embedded', allowed are"),
        ({"family": "recurrent", "code_stride": 32}, "code_stride is 32, allowed are"),
        ({"family": "embedded", "code_stride": 16}, "code_stride is 16, allowed are"),
        ({"family": "recurrent", "network": "deep"}, "network is 'deep', allowed are"),
        ({"family": "recurrent", "paper_divisor": 3}, "paper_divisor is 3, allowed are"),
        ({"iterations": 33}, "iterations is 33, allowed are"),
        ({"separable": 1}, "separable is 1, must be like True"),
        ({"cell": "lstm"}, r"cell is 'lstm', allowed are \('gru',\)"),
        ({"code_channels": 3}, "code_channels is 3, allowed are 2, 4 to 254"),
        ({"code_channels": 256}, "code_channels is 256, allowed are 2, 4 to 254"),
        ({"family": "recurrent", "code_channels": 256}, "code_channels is 256, allowed are 1, 2 to 255"),
        ({"family": "recurrent", "paper_divisor": 4}, r"paper_divisor is 4, allowed are \(1,\)"),
        ({"family": "recurrent", "network": "paper", "code_stride": 8}, r"code_stride is 8, allowed are \(16,\)"),
        ({"family": "recurrent", "network": "paper", "code_channels": 16}, r"code_channels is 16, allowed are \(32,\)"),
    ],
)
def test_what_is_not_allowed_is_named(table: dict[str, object], message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        config_from_mapping(table)


def test_default_passes_cover_the_context_coded_channels() -> None:
    for config in (EmbeddedConfig(), RecurrentConfig()):
        assert max(stop for _, _, stop in config.passes) == config.context_coded_channels
    assert lattice_passes(4, groups=2) == ((2, 0, 2), (3, 0, 2), (1, 0, 2), (2, 2, 4), (3, 2, 4), (1, 2, 4))


def test_a_model_of_one_family_has_the_sizes_of_the_other() -> None:
    config = as_recurrent(CONFIG, "additive")

    assert (config.code_channels, config.encoder_channels, config.context_coded_channels) == (8, 8, 8)
    assert as_embedded(config) == as_embedded(CONFIG)
    assert as_embedded(CONFIG).passes == lattice_passes(4)
