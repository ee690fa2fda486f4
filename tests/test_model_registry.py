"""Programs can list the models and add their own, with public names alone."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image
from tiny_codec import register_random_codec, register_tiny_codec

import pillow_rnc
from pillow_rnc import RncOptionError
from pillow_rnc.models import weights


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a model under a name that no other test registers."""
    path = tmp_path / "own.safetensors"
    path.write_bytes(register_tiny_codec(tmp_path).read_bytes())
    return path


def test_the_default_model_is_listed_first() -> None:
    models = pillow_rnc.models()
    default = weights.find(weights.DEFAULT)

    assert [model.is_default for model in models] == [True] + [False] * (len(models) - 1)
    assert (models[0].name, models[0].model_id) == (default.name, default.model_id.hex())


def test_a_name_without_its_date_is_the_newest_release_of_that_name() -> None:
    newest = weights.find("recurrent")

    names = [release.name for release in weights.releases() if release.name.startswith("recurrent-")]
    assert len(names) > 1
    assert newest.name == max(names)  # of two of a day, the second has a "b"
    assert weights.find("embedded") == weights.find(weights.DEFAULT)


def test_an_unknown_name_is_answered_with_those_that_may_be_given_each_once() -> None:
    with pytest.raises(RncOptionError) as caught:
        weights.find("nope")
    names = str(caught.value).removeprefix("model 'nope' is unknown, allowed are ").split(", ")
    assert names[:3] == ["auto", "embedded", "recurrent"]
    assert {release.name for release in weights.releases()} <= set(names)
    assert len(set(names)) == len(names)
    assert all(weights.find(name) for name in names)


@pytest.mark.parametrize(
    ("name", "date", "expected"),
    [
        ("own", None, "own"),
        ("own-20261130", None, "own-20261130"),
        ("own-20261130", "2026-11-30", "own"),
        ("own-20261130b", "2026-11-30", "own"),
        ("own-20261130", "2026-11-29", "own-20261130"),
    ],
)
def test_only_the_date_of_its_release_may_be_left_out_of_a_name(name: str, date: str | None, expected: str) -> None:
    assert weights.Release(name, Path(name), "00", date).name_without_date == expected


def test_a_registered_model_is_listed_and_can_be_named(own: Path) -> None:
    model = pillow_rnc.register_model(own)
    fp = io.BytesIO()
    Image.new("RGB", (20, 20)).save(fp, "RNC", model="own", iterations=1)

    assert (model.name, model.is_default, model.date) == ("own", False, None)
    assert model.model_id in {known.model_id for known in pillow_rnc.models()}
    assert pillow_rnc.info(fp)["model"] == model.model_id
    assert pillow_rnc.register_model(str(own)) == model


def test_of_two_models_with_one_name_the_one_registered_last_is_meant(tmp_path: Path) -> None:
    paths = []
    for seed in (11, 12):
        folder = tmp_path / str(seed)
        folder.mkdir()
        paths.append(register_random_codec(folder, seed=seed))
    for path in (*paths, *paths):
        model = pillow_rnc.register_model(path)
        fp = io.BytesIO()
        Image.new("RGB", (20, 20)).save(fp, "RNC", model="random", iterations=1)
        assert pillow_rnc.info(fp)["model"] == model.model_id


def test_a_weights_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(pillow_rnc.WeightsError, match=r"nowhere\.safetensors"):
        pillow_rnc.register_model(tmp_path / "nowhere.safetensors")


def test_the_sub_package_behind_the_function_can_be_imported() -> None:
    """`pillow_rnc.models` is a function, whichever module was imported first."""
    from pillow_rnc.models.weights import Release

    assert callable(pillow_rnc.models)
    assert Release.__module__ == "pillow_rnc.models.weights"
