"""Conversion renames the tensors of a released model, keeps its values, and moves what belongs to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import load, load_file, save, save_file
from tiny_codec import GOLDEN

from pillow_rnc.models.weights import load as load_model
from pillow_rnc.models.weights import register
from pillow_rnc.training.convert import converted, main

if TYPE_CHECKING:
    from pathlib import Path

OLD_PREFIXES = {
    "entropy.accumulator.": "entropy.tally.",
    "entropy.accumulator_input.": "entropy.tally_input.",
    "entropy.accumulator_output.": "entropy.tally_output.",
    "network.quantizer.": "network.quantiser.",
    "network.decoder.midpoint_projection.": "network.decoder.sight.",
    "network.decoder.half_width_projection.": "network.decoder.width.",
}


def config_of(data: bytes) -> str:
    description = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return str(description["__metadata__"]["config"])


def draft_6_name(name: str) -> str:
    for new, old in OLD_PREFIXES.items():
        name = name.replace(new, old)
    return name


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A model of draft 6, with its companions, in a folder of released weights."""
    folder = tmp_path / "weights"
    (folder / "crops").mkdir(parents=True)
    path = folder / "default-0123456789ab.safetensors"
    tensors = {draft_6_name(name): tensor for name, tensor in load_file(GOLDEN).items()}
    save_file(tensors, path, metadata={"config": config_of(GOLDEN.read_bytes())})
    record = {"step": 4, "recipe": {"name": "default", "model": json.loads(config_of(path.read_bytes()))}}
    path.with_suffix(".json").write_text(json.dumps(record))
    path.with_suffix(".md").write_text("# default-0123456789ab\n")
    (folder / "crops" / "default-0123456789ab.json").write_text("{}")
    models = [{"name": name, "file": f"{name}-0123456789ab.safetensors", "sha256": ""} for name in ("default", "other")]
    (folder / "MANIFEST.json").write_text(json.dumps({"models": models}))
    return path


def test_only_names_change(old: Path) -> None:
    data = converted(old.read_bytes())
    before, after = load_file(old), load(data)

    assert {draft_6_name(name) for name in after} == before.keys() != after.keys()
    assert all(np.array_equal(tensor, before[draft_6_name(name)]) for name, tensor in after.items())
    assert {tensor.dtype for tensor in after.values()} == {tensor.dtype for tensor in before.values()}
    assert json.loads(config_of(data)) == json.loads(config_of(old.read_bytes()))


def test_a_converted_model_is_not_converted_again(old: Path) -> None:
    data = converted(old.read_bytes())

    assert converted(data) == data
    assert converted(GOLDEN.read_bytes()) == GOLDEN.read_bytes()


def test_a_file_without_configuration_is_an_error() -> None:
    with pytest.raises(KeyError):
        converted(save({"entropy.tally.scale": np.ones(1, np.int32)}))


def test_the_model_replaces_the_old_one_with_all_that_belongs_to_it(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = old.parent
    main([str(old), "--to", str(folder), "--date", "2026-11-23"])
    (path,) = folder.glob("*.safetensors")
    models = json.loads((folder / "MANIFEST.json").read_text())["models"]

    assert capsys.readouterr().out == f"{path}\n"
    assert path.stem == f"embedded-20261123-{models[0]['sha256'][:12]}"
    assert [model["name"] for model in models] == ["embedded-20261123", "other"]
    assert models[0]["file"] == path.name
    assert models[0]["date"] == "2026-11-23"
    assert path.with_suffix(".md").read_text() == f"# {path.stem}\n"
    assert json.loads(path.with_suffix(".json").read_text())["recipe"]["name"] == "embedded-20261123"
    assert [crops.name for crops in (folder / "crops").iterdir()] == [f"{path.stem}.json"]
    assert {one.name for one in folder.iterdir()} == {
        *("MANIFEST.json", "crops", path.name),
        *(f"{path.stem}.json", f"{path.stem}.md"),
    }
    assert load_model(register(path).model_id).config.iterations == 4


def test_another_folder_keeps_the_old_model(old: Path, tmp_path: Path) -> None:
    main([str(old), "--to", str(tmp_path / "new"), "--date", "2026-11-23", "--name", "mine"])
    (path,) = (tmp_path / "new").glob("*.safetensors")

    assert old.exists()
    assert path.name.startswith("mine-")
    assert [model["name"] for model in json.loads((tmp_path / "new" / "MANIFEST.json").read_text())["models"]] == [
        "mine"
    ]


def test_converting_twice_changes_nothing(old: Path) -> None:
    folder = old.parent
    main([str(old), "--to", str(folder), "--date", "2026-11-23"])
    (path,) = folder.glob("*.safetensors")
    before = {one: one.read_bytes() for one in folder.rglob("*.*")}
    main([str(path), "--to", str(folder), "--date", "2026-11-23"])

    assert {one: one.read_bytes() for one in folder.rglob("*.*")} == before
