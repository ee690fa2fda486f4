"""A release makes a model the default and keeps those before it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_training import quicken_starts, tiny_recipe, write_photographs

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


def test_releasing_twice_changes_nothing(tmp_path: Path) -> None:
    photographs = load_photographs(write_photographs(tmp_path / "photos"), smallest_px=32)
    run = Run(tiny_recipe(), photographs, tmp_path / "run", torch.device("cpu"))
    run.save()
    first = release(tmp_path / "run", tmp_path / "weights")
    before = (tmp_path / "weights" / "MANIFEST.json").read_text()

    assert release(tmp_path / "run", tmp_path / "weights") == first
    assert (tmp_path / "weights" / "MANIFEST.json").read_text() == before
