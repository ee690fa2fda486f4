"""The command trains, exports and measures cells and frameworks on whole files once, and goes on where it stopped."""

from __future__ import annotations

import functools
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image
from tiny_training import photograph

from pillow_rnc.evaluation import light_runs, light_table
from pillow_rnc.evaluation.__main__ import main
from pillow_rnc.evaluation.curves import Point
from pillow_rnc.evaluation.light_page import LightComparison, areas, markdown
from pillow_rnc.evaluation.light_runs import LightResult
from pillow_rnc.evaluation.light_table import combinations
from pillow_rnc.evaluation.page_tables import label
from pillow_rnc.evaluation.paper_runs import CELLS, Combination
from pillow_rnc.models import weights
from pillow_rnc.training import crops
from pillow_rnc.training.data import Photographs, is_held_out, load_photographs
from pillow_rnc.training.recurrent import light_entropy, timed
from pillow_rnc.training.recurrent.light_model import LightModel
from pillow_rnc.training.recurrent.light_recipe import LightRecipe
from pillow_rnc.training.recurrent.timed import Minutes, TimedRun

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

RECIPE = LightRecipe(encoder_channels=8, decoder_channels=8, context_channels=8, batch=1, crop_px=32, warmup_steps=1)
TINY = ["encoder_channels=8", "decoder_channels=8", "context_channels=8", "batch=1", "crop_px=32", "warmup_steps=1"]
TWO = [Combination("gru", "residual_scaling", 0), Combination("associative_lstm", "one_shot", 0)]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with photographs and an image of odd size to measure; two runs are left, without their start."""
    (tmp_path / "data").mkdir()
    (tmp_path / "kodak").mkdir()
    names = [f"p{i}" for i in range(200)]
    held_out = next(name for name in names if is_held_out(name))
    for index, name in enumerate([next(name for name in names if not is_held_out(name)), held_out]):
        Image.fromarray(photograph(index, 256, 256)).save(tmp_path / "data" / f"{name}.png")
    Image.fromarray(photograph(2, 200, 165)).save(tmp_path / "kodak" / "k.png")
    monkeypatch.setattr(light_table, "combinations", lambda _: TWO)
    monkeypatch.setattr("pillow_rnc.training.recurrent.light_run.start_from_components", lambda *_: [1.0])
    for module, name, value in (
        (crops, "_VALIDATION_CROPS", 1),
        (light_entropy, "_CROP_PX", 64),
        (light_entropy, "_POOL_BATCH", 1),
    ):
        monkeypatch.setattr(module, name, value)
    return tmp_path


def photographs_of(folders: Path) -> Photographs:
    return load_photographs(folders / "data", smallest_px=256)


def arguments(folder: Path, *more: str) -> list[str]:
    paths = [text for name in ("data", "kodak", "out") for text in (f"--{name}", str(folder / name))]
    amounts = ["--minutes", "0.002", "--entropy-minutes", "0.001", "--limit", "1", "--no-compile"]
    return ["light-table", *paths, *amounts, *more, "--set", *TINY]


def never(*_: object, **__: object) -> Any:  # noqa: ANN401
    pytest.fail("nothing is left to do")


def test_the_twelve_are_complete_and_the_framework_of_the_release_comes_first() -> None:
    twelve = combinations(3)[:12]
    assert len({(one.cell, one.framework) for one in twelve}) == 12
    assert {one.framework for one in twelve[:4]} == {"residual_scaling"}
    assert {one.cell for one in twelve[:4]} == set(CELLS)
    assert combinations(3)[12:] == [twelve[0]._replace(seed=4)]


def test_the_command_writes_results_and_page_and_does_nothing_twice(
    folders: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(arguments(folders)) == 0
    out = folders / "out"
    text = (out / "table.md").read_text(encoding="utf-8")
    assert text == capsys.readouterr().out
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")]
    own = [*(label(one) for one in TWO), "JPEG 4:2:0"]
    assert [row for row in rows if set(row) != {"-"}] == ["Kodak", *own, "held-out crops", *own]
    record = json.loads((out / "results.json").read_text())
    assert list(record["runs"]) == [one.folder_name for one in TWO]
    for one in TWO:
        result = record["runs"][one.folder_name]
        model = weights.register(out / one.folder_name / result["weights"])
        image, found = Image.fromarray(photograph(2, 200, 165)), result["curves"]["Kodak"]
        first, *_, last = light_runs.curve_of(image, model.model_id.hex(), RECIPE.config.iterations)
        assert light_runs.curve_as_json([first, last]) == [found[0], found[-1]]
        assert [point[0] for point in found] == list(range(1, 17)), "the area goes up to 2 bpp: all iterations count"

    for name in ("run", "_jpeg_curve"):
        monkeypatch.setattr(light_table, name, never)
    assert main(arguments(folders)) == 0
    assert capsys.readouterr().out == text
    assert main(arguments(folders, "--minutes", "0.003")) == 2
    assert "of other choices" in capsys.readouterr().err


def test_a_run_that_was_stopped_goes_on_from_the_last_complete_part(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object, **__: object) -> Any:  # noqa: ANN401
        raise KeyboardInterrupt

    monkeypatch.setattr(light_table, "combinations", lambda _: TWO[:1])
    parts = [(timed, "TimedRun"), (timed, "network_for"), (light_runs, "curve_of"), (light_table, "_jpeg_curve")]
    for index in range(1, len(parts)):
        with monkeypatch.context() as patch:
            patch.setattr(*parts[index], stopped)
            with pytest.raises(KeyboardInterrupt):
                main(arguments(folders))
        monkeypatch.setattr(*parts[index - 1], never)  # is done
    assert main(arguments(folders)) == 0


def test_a_codec_is_trained_for_what_is_left_of_its_time_and_its_learning_rate_falls_in_the_last_third(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = photographs_of(folders)
    clock = functools.partial(next, itertools.count(0.0))
    shares = []

    class Noted(TimedRun):
        def train_step(self) -> None:
            shares.append(self.rate_share())
            super().train_step()

    def trained(seconds: float) -> TimedRun:
        run = Noted(RECIPE, images, folders / "run", seconds, compiled=False, clock=clock)
        run.finish()
        return run

    monkeypatch.setattr(timed, "_LOG_STEPS", 3)
    monkeypatch.setattr(timed, "_SAVE_SECONDS", 3.5)
    first = trained(4)
    assert (first.step, first.seconds) == (4, 4)
    shares.clear()
    again = trained(12)
    assert (again.step, again.seconds) == (12, 12)
    assert shares == pytest.approx([1, 1, 1, 1, 1, 0.75, 0.5, 0.25])
    monkeypatch.setattr(timed, "TimedRun", never)
    assert timed.train_codec(RECIPE, never, folders / "run", Minutes(0.2, 1))["step"] == 12


def test_a_checkpoint_that_was_not_written_ends_the_run(folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TimedRun, "save", lambda _: None)
    with pytest.raises(OSError, match="the last checkpoint was not written"):
        timed.train_codec(RECIPE, lambda: photographs_of(folders), folders / "run", Minutes(0.001, 1), compiled=False)


def test_the_step_before_the_time_begins_changes_nothing_of_the_run(
    folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiling itself is left out."""
    monkeypatch.setattr(LightModel, "compile_parts", lambda _: None)
    images = photographs_of(folders)
    ended = []
    for compiled in (False, True):
        clock = functools.partial(next, itertools.count(0.0))
        run = TimedRun(RECIPE, images, folders / f"{compiled}", 2, compiled=compiled, clock=clock)
        run.finish()
        ended.append(list(run.model.parameters()))
    assert all(torch.equal(one, other) for one, other in zip(*ended, strict=True))


def test_a_page_of_some_runs_compares_those_and_says_what_another_seed_changes() -> None:
    empty = LightComparison(RECIPE, Minutes(12, 3.5), {}, {})
    assert markdown(empty).startswith("No run is complete.")
    runs = {
        one: LightResult(
            100,
            8e6,
            400,
            300,
            "w",
            {"Kodak": [Point(k, 100, 0.12 * k, 30, 1 - 0.1 / (k + one.seed), 30 + k) for k in range(1, 17)]},
        )
        for one in (*combinations(0)[:3], combinations(0)[12])
    }
    text = markdown(LightComparison(RECIPE, Minutes(12, 3.5), runs, {}))
    assert "JPEG" not in text
    assert "GRU, residual scaling, with another seed: " in text
    assert "- high-entropy tiles, 2 combinations: MS-SSIM" in text
    assert "12 minutes of CPU time and its entropy network 3.5: 100 steps; *Trained*: million" in text
    assert areas([Point(1, 1, 0.125, 30, 0.5, 20), Point(2, 2, 2, 30, 0.5, 20)]) == pytest.approx((0.9375, 37.5))
