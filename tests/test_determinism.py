"""Codes of golden files never change: not with time, and not with what a host has set."""

from __future__ import annotations

import json
from pathlib import Path

import determinism
import model
import pytest

from pillow_rnc.container import reader, records
from pillow_rnc.models import weights

GOLDEN = sorted(model.GOLDEN.glob("*.rnc"))
VECTORS = Path(__file__).parents[1] / "spec" / "vectors" / "valid"
RECURRENT = [
    VECTORS / f"{name}-grid.rnc" for name in ("light-associative", "light-residual-gru", "block-gru", "paper-lstm")
]
DIGESTS: dict[str, str] = json.loads(determinism.DIGESTS.read_text())


@pytest.fixture(autouse=True, scope="module")
def _tiny() -> None:
    model.tiny()


def test_every_golden_file_has_a_digest_and_a_model() -> None:
    known = {one.model_id for one in weights.releases()}

    assert {path.name for path in GOLDEN} == set(DIGESTS)
    assert {reader.parse(path.read_bytes()).header.model_id for path in GOLDEN} <= known


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.name)
def test_golden_codes_are_what_they_were(path: Path) -> None:
    file = reader.parse(path.read_bytes())

    assert determinism.digest(determinism.codes_alone(file, batch=1, order="forward")) == DIGESTS[path.name]


def test_settings_of_a_host_change_no_code_and_stay_as_they_are() -> None:
    said: list[str] = []

    assert determinism.check([model.GOLDEN / "tiles.rnc"], quick=True, say=said.append) == 0
    assert said[-1].startswith(f"{5 * len(list(determinism.configurations(quick=True)))} comparisons, 0 differ")


def test_a_few_configurations_have_every_value_of_every_setting() -> None:
    few = list(determinism.configurations(quick=True))

    assert few[0] == determinism.Configuration()
    for axis, values in (determinism.AXES | determinism.EXTRAS).items():
        assert {getattr(one, axis) for one in few} == set(values)


@pytest.mark.parametrize("path", RECURRENT, ids=lambda path: path.stem)
def test_settings_of_a_host_change_no_code_of_a_recurrent_model(path: Path) -> None:
    weights.register(path.parents[1] / json.loads(path.with_suffix(".json").read_text())["weights"])
    said: list[str] = []

    assert determinism.check([path], quick=True, say=said.append) == 0
    assert int(said[-1].split()[0]) >= 40


def test_a_difference_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself can fail."""
    model.tiny()
    right = determinism.codes_alone

    def wrong(file: records.RncFile, *, batch: int, order: str) -> determinism.Planes:
        planes = right(file, batch=batch, order=order)
        if order == "random":
            planes[0][0][0, 0, 0] ^= 1
        return planes

    monkeypatch.setattr(determinism, "codes_alone", wrong)
    said: list[str] = []

    differing = determinism.check([model.GOLDEN / "tiles.rnc"], quick=True, say=said.append)

    assert differing == len(said) - 1 > 0
    assert all("order='random'" in line for line in said[:-1])
