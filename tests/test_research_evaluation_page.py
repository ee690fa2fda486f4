"""The command behind docs/evaluation.md: its sets of images, its words on metrics that disagree, and the page."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pytorch_msssim", reason="needs the extra [eval]")
pytest.importorskip("psnr_hvsm", reason="needs the extra [eval]")
pytest.importorskip("imagecodecs", reason="needs the extra [peers]")

from pillow_rnc.evaluation.curves import Area
from pillow_rnc.evaluation.rate_distortion import MeasurementPlan, measure_image
from pillow_rnc.evaluation.report import Summary
from pillow_rnc.models.weights import find
from pillow_rnc.training.data import load_photographs
from research import evaluation_page, synthetic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pillow_rnc.evaluation.rate_distortion import PictureResult


def summary(label: str, areas: tuple[float, float, float], rates: tuple[float, float, float]) -> Summary:
    metrics = ("ms_ssim", "psnr_hvs", "ssimulacra2")
    return Summary(
        label,
        {metric: Area(area, 0, 0) for metric, area in zip(metrics, areas, strict=True)},  # type: ignore[misc]
        dict(zip(metrics, rates, strict=True)),  # type: ignore[arg-type]
    )


def test_disagreements_are_those_beyond_five_percent() -> None:
    text = evaluation_page.disagreements(
        [
            summary("RNC", (1.8, 70, 100), (0, 0, 0)),
            summary("A", (1.9, 60, 120), (-40, -20, -46)),
            summary("B", (1.7, 65, 110), (4, 6, 12)),
            summary("C", (1.6, 50, 90), (4, 6, 10)),
        ]
    )

    assert text.splitlines() == [
        "- Order by MS-SSIM area: A, RNC, B, C.",
        "- Order by PSNR-HVS area: RNC, B, A, C.",
        "- Order by SSIMULACRA2 area: A, B, RNC, C.",
        (
            "- Against A, SSIMULACRA2 finds our files better than MS-SSIM and PSNR-HVS do: "
            "-46.0 % of the bits, where they say -40.0 to -20.0 %."
        ),
        (
            "- Against B, SSIMULACRA2 finds our files worse than MS-SSIM and PSNR-HVS do: "
            "+12.0 % of the bits, where they say +4.0 to +6.0 %."
        ),
    ]


def test_held_out_photographs_are_those_of_the_training_and_small(tmp_path: Path) -> None:
    names = [f"photograph-{index}.png" for index in range(200)]
    for index, name in enumerate(names):
        Image.new("L", (40, 40), index).save(tmp_path / name)
    trained_on = load_photographs(tmp_path, smallest_px=40)

    found = evaluation_page.held_out(tmp_path, {})
    assert len(found) > 1
    assert [int(np.asarray(Image.open(path))[0, 0]) for path in found] == [p[0, 0, 0] for p in trained_on.held_out]
    Image.new("L", (1200, 900)).save(found[0])
    assert evaluation_page.held_out(tmp_path, {}) == found[1:]


def test_a_record_can_name_what_was_held_out(tmp_path: Path) -> None:
    for name in "abc":
        Image.new("L", (8, 8)).save(tmp_path / f"{name}.png")

    assert evaluation_page.held_out(tmp_path, {"held_out": ["b.png", "d.png"]}) == [tmp_path / "b.png"]


def test_the_default_model_says_what_its_training_held_out() -> None:
    record = json.loads(find("auto").path.with_suffix(".json").read_text(encoding="utf-8"))

    assert len(record["held_out"]) == 17


def test_tables_replace_those_between_the_marks(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{evaluation_page.BEGIN}old\n{evaluation_page.END}after\n")
    for tables in ("one\n", "two\n"):
        evaluation_page.put_into_page(page, tables)

    assert page.read_text() == f"before\n{evaluation_page.BEGIN}\ntwo\n\n{evaluation_page.END}after\n"
    page.write_text("nothing")
    with pytest.raises(ValueError, match=r"page\.md: the marks"):
        evaluation_page.put_into_page(page, "")


def test_the_page_of_the_repository_has_the_marks() -> None:
    text = evaluation_page.PAGE.read_text(encoding="utf-8")

    assert text.count(evaluation_page.BEGIN) == text.count(evaluation_page.END) == 1


class Codec:
    """WebP of rising quality."""

    label = "Stand-in"

    def __init__(self, model: str | None) -> None:
        del model

    def encode(self, image: Image.Image, settings: Sequence[int]) -> dict[int, bytes]:
        from pillow_rnc.evaluation.peers import PEERS

        return {setting: PEERS["webp"].encode(image, 10 * setting) for setting in settings}


def test_the_command_measures_three_sets_and_writes_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plans: list[MeasurementPlan] = []

    def measured(paths: Sequence[Path], plan: MeasurementPlan, *, jobs: int) -> Iterator[PictureResult]:
        assert jobs == 1
        plans.append(plan)
        for path in paths:
            image = Image.fromarray(np.asarray(Image.open(path).convert("RGB"))[:168, :168])
            yield measure_image(path.name, image, replace(plan, cache_folder=None, peers=("jpeg420",)))

    monkeypatch.setattr(evaluation_page, "measure_all", measured)
    monkeypatch.setattr(evaluation_page, "RncCodec", Codec)
    page = tmp_path / "page.md"
    page.write_text(evaluation_page.BEGIN + evaluation_page.END)
    data = tmp_path / "data"
    synthetic.main([str(data)])
    monkeypatch.setattr(evaluation_page, "held_out", lambda folder, _: [folder / "screen.png"])
    options = ["--kodak", str(data), "--data", str(data), "--out", str(tmp_path / "out"), "--page", str(page)]

    assert evaluation_page.main([*options, "--limit", "1", "--peer-settings", "2", "--iterations", "1,9"]) == 0
    text = page.read_text()
    headings = [line for line in text.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Kodak",
        "## Held-out photographs",
        "## Text, scan, line art and screen",
        "## Versions and settings",
    ]
    assert text.count("### Bits of RNC at equal quality") == 3
    assert "1 image, 0.0 megapixels" in text
    assert text.count("On so few images") == 3
    assert {plan.peer_settings for plan in plans} == {2}
    assert (tmp_path / "out" / "held-out-photographs" / "evaluation.json").exists()
    assert (tmp_path / "out" / "text" / "ssimulacra2.png").exists()
    assert "## Kodak" in capsys.readouterr().out
