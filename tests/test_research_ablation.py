"""The ablation compares what its rows name, each variant for the same time, and trains nothing twice."""

from __future__ import annotations

import dataclasses
import itertools
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_training import photograph, quicken_starts, tiny_recipe

from pillow_rnc.training.data import Photographs
from pillow_rnc.training.families import make_model
from pillow_rnc.training.objective import codec_iteration, reconstruction_error
from pillow_rnc.training.pace import Pace
from pillow_rnc.training.recurrent.block_model import BlockModel
from research import ablation, ablation_rows
from research.ablation import Result, VariantRun, main, table, trained
from research.ablation_changes import cut, l1, log_mse, share_heads
from research.ablation_rows import ROWS, Row, Variant

if TYPE_CHECKING:
    from pathlib import Path

    from pillow_rnc.models.recurrent.block_network import BlockState
    from pillow_rnc.training.model import TrainableModel

pytestmark = pytest.mark.slow

VARIANTS = {variant.name: variant for row in ROWS.values() for variant in row.variants.values()}
THREADS = ["--threads", "1"]  # as conftest.py sets it: more would wait for each other beside other tests
PHOTOGRAPHS = Photographs([photograph(i, 256, 256) for i in range(2)], [photograph(9, 256, 256)], [])


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    quicken_starts(monkeypatch)
    monkeypatch.setattr("pillow_rnc.training.crops._VALIDATION_CROPS", 1)


def small(variant: Variant) -> Variant:
    """Return the same choice on less: only how much is trained on changes."""

    def less(recipe: Any) -> Any:  # noqa: ANN401
        return dataclasses.replace(recipe, batch=1, crop_px=32)

    return dataclasses.replace(variant, recipe=less(variant.recipe), before=tuple(map(less, variant.before)))


def run_of(variant: Variant) -> VariantRun:
    return VariantRun(variant, variant.recipe, PHOTOGRAPHS, None)


def test_rows_have_something_to_choose_from_and_files_of_their_own() -> None:
    for row in ROWS.values():
        names = [variant.name for variant in row.variants.values()]
        assert len(set(names)) == len(names) >= 2
        assert all(VARIANTS[name] is variant for name, variant in zip(names, row.variants.values(), strict=True))
        assert row.bpp in {ablation_rows.NOISE_BPP, ablation_rows.START_BPP}


def test_every_choice_of_the_issue_has_a_row() -> None:
    wanted = {"heads", "binarizer", "front-end", "cell", "framework", "gradient", "curriculum", "rate-weight"}
    wanted |= {"rate-start", "loss", "width", "optimizer"}

    assert wanted <= ROWS.keys()


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_learns(name: str) -> None:
    run = run_of(small(VARIANTS[name]))
    before = [p.detach().clone() for p in run.stepper.model.parameters()]
    run.train_step()
    report = run.stepper.report()

    assert np.isfinite(report.loss)
    assert not report.bad_in_a_row
    assert any(not torch.equal(p, old) for p, old in zip(run.stepper.model.parameters(), before, strict=True))


def test_shared_maps_are_one_and_stay_so_when_they_are_measured() -> None:
    own, shared = (run_of(small(VARIANTS[name])) for name in ("base", "shared-heads"))
    shared.train_step()
    for run in (own, shared):
        maps = block_model(run.new_model()).network.encoder.direct
        assert (maps[0] is maps[3]) == (run is shared)
    assert len(dict(shared.stepper.model.named_parameters())) < len(dict(own.stepper.model.named_parameters()))
    assert len(shared.result().curve) == 4


def block_model(model: TrainableModel) -> BlockModel:
    assert isinstance(model, BlockModel)
    return model


def target_and_state(model: BlockModel) -> tuple[torch.Tensor, BlockState]:
    """Return coefficients, and a state whose reconstruction came from somewhere."""
    network = model.network
    torch.manual_seed(0)
    target = network.transform(torch.from_numpy(photograph(1, 64, 64)).permute(2, 0, 1)[None].float())
    source = torch.randn_like(target, requires_grad=True)
    return target, network.initial_state(1, 8, 8)._replace(reconstruction=source)


def test_a_cut_iteration_sends_nothing_back() -> None:
    model = block_model(make_model(VARIANTS["base"].recipe))
    found = []
    for wrap in (lambda part: part, cut):
        target, state = target_and_state(model)
        after = wrap(codec_iteration)(model.network, target, model.network.weights_of(0), state, None).state
        after.reconstruction.sum().backward()
        found.append((after.reconstruction, state.reconstruction.grad))
    (whole, reached), (apart, severed) = found

    assert torch.equal(whole, apart)
    assert reached is not None
    assert severed is None


def test_errors_of_pixels_are_what_their_names_say() -> None:
    model = block_model(make_model(VARIANTS["base"].recipe))
    for wrap, expected in (
        (l1, lambda error: np.abs(error).mean()),
        (log_mse, lambda error: 10 * np.log10(np.square(error).mean() + 0.5)),
    ):
        target, state = target_and_state(model)
        maps, error = wrap(reconstruction_error)(model.network, state, torch.tensor([0]), target, visible=model.visible)
        shown, wanted = (model.network.transform.inverse(x) for x in (maps, target))
        assert torch.equal(maps, state.reconstruction)
        assert float(error.detach()) == pytest.approx(expected((shown - wanted).detach().numpy()), rel=1e-4)  # type: ignore[no-untyped-call]


def test_a_larger_model_goes_on_from_a_smaller_one() -> None:
    variant = small(VARIANTS["iterations-grow"])
    first = VariantRun(variant, variant.before[1], PHOTOGRAPHS, None)
    first.train_step()
    second = VariantRun(variant, variant.recipe, PHOTOGRAPHS, first.stepper.model)
    old, new = (dict(run.stepper.model.named_parameters()) for run in (first, second))

    assert old.keys() < new.keys()
    assert all(torch.equal(new[name][: len(tensor)], tensor) for name, tensor in old.items())
    assert torch.equal(second.stepper.average["network.decoder.output.weight"], old["network.decoder.output.weight"])


def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a second pass whenever the clock is looked at."""

    def pace(minutes: float) -> Pace:
        return Pace(minutes, start=0.0, clock=itertools.count(1).__next__)

    monkeypatch.setattr(Pace, "of_cpu", pace)


def test_every_variant_has_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ticking(monkeypatch)
    plain, grown = (trained(small(VARIANTS[name]), PHOTOGRAPHS, 0.1) for name in ("base", "crops-grow"))

    assert plain.steps == 5
    assert grown.steps == 1, "a third of the time, the last one, is its own"
    assert [bpp for bpp, *_ in plain.curve] == [0.125, 0.25, 0.375, 0.5]


def tiny_row(monkeypatch: pytest.MonkeyPatch) -> None:
    variants = {"one": Variant("one", tiny_recipe()), "other": Variant("other", tiny_recipe(seed=5))}
    monkeypatch.setitem(ROWS, "tiny", Row("Choice", variants, (0.1, 2.0)))


def folder_of(path: Path, count: int = 2) -> Path:
    """Write pictures; that number 1 is held out is decided by its name."""
    path.mkdir()
    for i in range(count):
        Image.fromarray(photograph(i, 256, 256)).save(path / f"sample-{i}.png")
    return path


def test_the_command_trains_once_and_prints_a_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ticking(monkeypatch)
    tiny_row(monkeypatch)
    out = tmp_path / "out"
    arguments = ["tiny", "--data", str(folder_of(tmp_path / "data")), "--out", str(out), "--minutes", "0.05", *THREADS]
    main(arguments)
    first = capsys.readouterr().out
    monkeypatch.setattr(ablation, "trained", None)
    main(arguments)
    lines = first.splitlines()

    assert capsys.readouterr().out == first
    assert lines[2] == "| `tiny` | **Choice**, 0.1 to 2 bpp | | | |"
    assert [line.split(" | ")[1:3] for line in lines[3:]] == [["one", "2"], ["other", "2"]]
    assert {path.name for path in out.iterdir()} == {"one.json", "other.json"}
    assert json.loads((out / "other.json").read_text())["recipe"]["seed"] == 5


def test_results_of_another_time_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticking(monkeypatch)
    tiny_row(monkeypatch)
    arguments = ["tiny", "--data", str(folder_of(tmp_path / "data")), "--out", str(tmp_path / "out"), *THREADS]
    main([*arguments, "--minutes", "0.05"])

    with pytest.raises(ValueError, match=r"one\.json: is of another recipe or time"):
        main([*arguments, "--minutes", "0.1"])


def test_the_command_says_what_it_cannot_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = str(folder_of(tmp_path / "data", count=1))
    with pytest.raises(SystemExit):
        main(["headz", "--data", data, "--out", str(tmp_path)])
    assert "unknown rows ['headz'], known are ['binarizer'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["heads", "--data", data, "--out", str(tmp_path), *THREADS])
    assert "no image of it is held out" in capsys.readouterr().err


def test_a_table_shows_means_between_the_rates_of_the_row() -> None:
    results = [("own", Result(7, [(0.125, 20.0, 0.8), (0.5, 30.0, 0.9)]))]

    assert table([("heads", results)]).splitlines()[2:] == [
        "| `heads` | **Maps between codes and cores**, 0.125 to 0.5 bpp | | | |",
        "| | own | 7 | 25.00 | 0.8500 |",
    ]


def test_maps_are_shared_in_place() -> None:
    model = block_model(make_model(VARIANTS["base"].recipe))
    count = sum(p.numel() for p in model.parameters())
    share_heads(model)

    assert sum(p.numel() for p in model.parameters()) < count
