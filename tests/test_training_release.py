"""A release makes a model the default and keeps those before it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_training import quicken_starts, tiny_recipe, write_photographs

import pillow_rnc
from pillow_rnc.training import export
from pillow_rnc.training.data import load_photographs
from pillow_rnc.training.loop import Run
from pillow_rnc.training.release import release

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _small_start(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken_starts(monkeypatch)


def test_the_newest_release_comes_first_and_the_older_stay(tmp_path: Path) -> None:
    photographs = load_photographs(write_photographs(tmp_path / "photos"), smallest_px=32)
    run = Run(tiny_recipe(), photographs, tmp_path / "run", torch.device("cpu"))
    run.save()
    older = release(tmp_path / "run", tmp_path / "weights")
    for _ in range(4):
        run.train_step()
    run.save()
    newer = release(tmp_path / "run", tmp_path / "weights", "tiny-20261201")

    models = json.loads((tmp_path / "weights" / "MANIFEST.json").read_text())["models"]
    record = json.loads(newer.with_suffix(".json").read_text())

    assert [m["file"] for m in models] == [newer.name, older.name]
    assert all((tmp_path / "weights" / m["file"]).exists() for m in models)
    assert newer.name == f"tiny-20261201-{models[0]['sha256'][:12]}.safetensors"
    assert (record["step"], record["recipe"]["name"]) == (4, "tiny-20261201")


def test_an_export_is_no_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photographs = load_photographs(write_photographs(tmp_path / "photos"), smallest_px=32)
    Run(tiny_recipe(), photographs, tmp_path / "run", torch.device("cpu")).save()
    export.main([str(tmp_path / "run"), "--to", str(tmp_path / "mine"), "--name", "mine"])

    (path,) = (tmp_path / "mine").iterdir()
    assert capsys.readouterr().out == f"{path}\n"
    assert re.fullmatch(r"mine-[0-9a-f]{12}\.safetensors", path.name)
    assert pillow_rnc.register_model(path).name == path.stem
    with pytest.raises(FileNotFoundError, match="no complete checkpoint"):
        export.main([str(tmp_path / "mine"), "--to", str(tmp_path)])


def test_releasing_twice_changes_nothing(tmp_path: Path) -> None:
    photographs = load_photographs(write_photographs(tmp_path / "photos"), smallest_px=32)
    run = Run(tiny_recipe(), photographs, tmp_path / "run", torch.device("cpu"))
    run.save()
    first = release(tmp_path / "run", tmp_path / "weights")
    before = (tmp_path / "weights" / "MANIFEST.json").read_text()

    assert release(tmp_path / "run", tmp_path / "weights") == first
    assert (tmp_path / "weights" / "MANIFEST.json").read_text() == before
