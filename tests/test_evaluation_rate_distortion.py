"""WebP stands in for our codec: the evaluation sees files and Pillow, not what is inside."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL
import pytest
from PIL import Image

pytest.importorskip("pytorch_msssim", reason="needs the extra [eval]")
pytest.importorskip("psnr_hvsm", reason="needs the extra [eval]")
pytest.importorskip("bjontegaard", reason="needs the extra [eval]")
pytest.importorskip("matplotlib", reason="needs the extra [eval]")

from pillow_rnc.evaluation import __main__, demo, plots, rate_distortion, report
from pillow_rnc.evaluation.codecs_used import codecs_used
from pillow_rnc.evaluation.contact_sheet import crop_boxes
from pillow_rnc.evaluation.curves import METRICS, Point
from pillow_rnc.evaluation.peer_packages import Heic
from pillow_rnc.evaluation.photographs import find_photographs, load_photograph
from pillow_rnc.evaluation.rate_distortion import (
    Evaluation,
    Matched,
    MeasurementPlan,
    PictureResult,
    Skipped,
    evaluation_of,
    matched_means,
    measure_all,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COUNTS = (1, 2, 4)


@dataclass(frozen=True)
class StandIn:
    """WebP of rising quality, with a fixed number of spare bytes that must be counted."""

    label: str = "Stand-in"
    spare_bytes: int = 100

    def encode(self, image: Image.Image, settings: Sequence[int]) -> dict[int, bytes]:
        files = {}
        for setting in settings:
            file = io.BytesIO()
            image.save(file, "WEBP", quality=setting * 6, method=0)
            files[setting] = file.getvalue() + bytes(self.spare_bytes)
        return files


def photograph(seed: int, width: int = 176, height: int = 168) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    plane = 128 + 80 * np.sin(columns**1.7 / 90 + rows / (11 + seed))
    grain = np.random.default_rng(seed).normal(0, 9, (height, width, 3))
    return Image.fromarray(np.clip(plane[..., None] * (1, 0.8, 0.6) + grain, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photographs")
    for index in range(2):
        photograph(index).save(path / f"good{index}.png")
    photograph(5, 160, 300).save(path / "narrow.png")
    (path / "damaged.png").write_bytes((path / "good0.png").read_bytes()[:200])
    (path / "notes.txt").write_text("not a picture")
    Image.fromarray(np.zeros((200, 200), dtype=np.uint16)).save(path / "deep.png")
    return path


@pytest.fixture(scope="module")
def evaluation(folder: Path) -> Evaluation:
    plan = MeasurementPlan(StandIn(), COUNTS, ("jpeg420", "webp"), None, peer_settings=6)
    return evaluation_of("Stand-in", list(measure_all(find_photographs(folder), plan)))


def test_every_bad_file_is_named_with_its_reason(evaluation: Evaluation) -> None:
    reasons = dict(evaluation.skipped)

    assert [picture.name for picture in evaluation.pictures] == ["good0.png", "good1.png"]
    assert sorted(reasons) == ["damaged.png", "deep.png", "narrow.png"]
    assert "160x300 is too small" in reasons["narrow.png"]
    assert "at least 161" in reasons["narrow.png"]
    assert "not 8-bit" in reasons["deep.png"]


def test_rates_count_every_byte_of_the_file(evaluation: Evaluation) -> None:
    image = photograph(0)
    (size,) = (len(file) for file in StandIn().encode(image, [2]).values())
    measured = evaluation.pictures[0].ours[1]

    assert measured.file_bytes == size
    assert measured.bpp == 8 * size / (176 * 168)


def test_mean_curves_are_means_over_pictures(evaluation: Evaluation) -> None:
    curves = evaluation.curves()
    first, second = (picture.ours[0] for picture in evaluation.pictures)

    assert list(curves) == ["Stand-in", "JPEG 4:2:0", "WebP"]
    assert curves["Stand-in"][0] == pytest.approx([(a + b) / 2 for a, b in zip(first, second, strict=True)])


def test_matched_jpeg_is_never_larger(evaluation: Evaluation) -> None:
    for picture in evaluation.pictures:
        for ours, jpeg in picture.matched:
            assert jpeg is not None
            assert jpeg.file_bytes <= ours.file_bytes


def picture_with(matched: list[Matched]) -> PictureResult:
    return PictureResult("x", 1, 1, [], {}, matched)


def test_matched_means_leave_out_pictures_without_a_jpeg_so_small() -> None:
    ours, jpeg = Point(1, 100, 0.5, 30, 0.9, 28, 60), Point(7, 90, 0.45, 31, 0.8, 28, 50)
    entry, *_ = matched_means(
        [picture_with([Matched(ours, jpeg)]), picture_with([Matched(ours._replace(psnr=9), None)])]
    )

    assert (entry.iterations, entry.pictures) == (1, 1)
    assert entry.ours == ours
    assert entry.jpeg[1:] == jpeg[1:]
    assert entry.wins == {"psnr": 0, "ms_ssim": 1, "psnr_hvs": 0, "ssimulacra2": 1}


def test_matched_means_of_nothing_are_nan() -> None:
    (entry,) = matched_means([picture_with([Matched(Point(1, 1, 1, 1, 1, 1), None)])])

    assert entry.pictures == 0
    assert math.isnan(entry.ours.psnr)


def test_reports_agree_with_the_evaluation(evaluation: Evaluation, tmp_path: Path) -> None:
    report.write_reports(evaluation, tmp_path)
    record = json.loads((tmp_path / "evaluation.json").read_text())
    with (tmp_path / "points.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    ours = [row for row in rows if row["codec"] == "Stand-in"]
    card = (tmp_path / "model-card.md").read_text()

    assert len(ours) == 2 * len(COUNTS)
    assert float(ours[0]["psnr"]) == evaluation.pictures[0].ours[0].psnr
    assert record["mean"]["Stand-in"][0]["bpp"] == evaluation.curves()["Stand-in"][0].bpp
    assert set(record["skipped"]) == {"damaged.png", "deep.png", "narrow.png"}
    assert "Skipped: 3" in card
    assert "| WebP" in card
    assert "nan" not in card


def test_summary_against_oneself_is_zero_bits(evaluation: Evaluation) -> None:
    ours = report.summaries(evaluation)[0]

    assert [ours.bd_rates[metric] for metric in METRICS] == pytest.approx([0, 0, 0, 0])


def test_plots_take_both_forms_of_anchors(evaluation: Evaluation, tmp_path: Path) -> None:
    anchors = tmp_path / "anchors.json"
    anchors.write_text(
        json.dumps(
            {
                "measured": [{"bpp": 0.5, "msssim": 0.9, "hvs": 30}, {"bpp": 1, "msssim": 0.95, "hvs": 33}],
                "published": {"paper": {"bpp": [0.5, 1], "psnr": [30, 32]}},
            }
        )
    )
    read = plots.read_anchors(anchors)

    assert read == [
        plots.Anchor("measured", [0.5, 1], {"ms_ssim": [0.9, 0.95], "psnr_hvs": [30, 33]}),
        plots.Anchor("paper", [0.5, 1], {"psnr": [30, 32]}),
    ]
    for path in plots.write_plots(evaluation.curves(), tmp_path, read):
        with Image.open(path) as plot:
            assert plot.width > 500


def test_published_curves_of_kodak_rise_and_have_their_areas() -> None:
    anchors = {anchor.label: anchor for anchor in plots.read_anchors(plots.KODAK)}
    for anchor in anchors.values():
        for values in (anchor.bpp, *anchor.values.values()):
            assert values == sorted(values)
    paper = anchors["Toderici 2017, before entropy coding"]
    area = np.trapezoid(paper.values["ms_ssim"], paper.bpp)

    assert len(anchors) == 5
    assert area == pytest.approx(1.8116, abs=1e-4)


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": {"psnr": [1]}}', '{"a": {"bpp": [1], "psnr": []}}'])
def test_other_anchor_files_are_refused_by_name(content: str, tmp_path: Path) -> None:
    path = tmp_path / "anchors.json"
    path.write_text(content)

    with pytest.raises(ValueError, match=r"anchors\.json: not a file of anchors"):
        plots.read_anchors(path)


def test_photographs_are_upright_and_carry_no_metadata(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    photograph(0).save(tmp_path / "turned.png", exif=exif, icc_profile=b"profile")
    loaded = load_photograph(tmp_path / "turned.png")

    assert loaded.size == (168, 176)
    assert loaded.info == {}
    assert not loaded.getexif()


def test_command_measures_a_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(rate_distortion, "RncCodec", lambda *_: StandIn())
    options = ["--iterations", "1-2,4", "--peers", "jpeg420", "--jobs", "1", "--out", str(tmp_path)]
    options += ["--anchors", "kodak"]
    drawn: list[plots.Anchor] = []
    write_plots = plots.write_plots

    def write(curves: Any, out: Path, anchors: list[plots.Anchor]) -> list[Path]:  # noqa: ANN401
        drawn.extend(anchors)
        return write_plots(curves, out, anchors)

    monkeypatch.setattr(plots, "write_plots", write)
    status = __main__.main([str(folder), *options])
    output = capsys.readouterr()

    assert status == 0
    assert "2 measured, 3 skipped" in output.err
    assert "skipped: narrow.png: 160x300 is too small" in output.err
    assert "## Evaluation: Stand-in" in output.out
    expected = {"points.csv", "mean.csv", "matched.csv", "evaluation.json", "model-card.md", "peer-cache"}
    expected |= {"psnr.png", "ms-ssim.png", "psnr-hvs.png", "ssimulacra2.png"}
    assert {path.name for path in tmp_path.iterdir()} == expected
    assert drawn == plots.read_anchors(plots.KODAK)


def test_without_matched_jpegs_the_card_has_no_such_table(folder: Path, tmp_path: Path) -> None:
    plan = MeasurementPlan(StandIn(), COUNTS, ("jpegli", "webp"), tmp_path, peer_settings=3, matched=False)
    result = evaluation_of("Stand-in", list(measure_all([folder / "good0.png"], plan)))
    card = report.markdown(result)
    record = report.as_json(result)

    assert "Against the best JPEG" not in card
    assert "Area under the mean curve" in card
    assert "| JPEG by jpegli" in card
    assert record["matched_jpeg420"] == []
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} == {"jpegli", "webp"}


def test_results_name_versions_options_and_settings_of_every_codec(evaluation: Evaluation) -> None:
    used = codecs_used(evaluation)

    assert [codec.label for codec in used] == ["Stand-in", "JPEG 4:2:0", "WebP"]
    assert used[1].package == f"Pillow {PIL.__version__}"
    assert used[1].options == {"subsampling": "4:2:0", "optimize": "True"}
    assert used[2].settings == [point.setting for point in evaluation.pictures[0].peers["webp"]]
    assert report.as_json(evaluation)["codecs"] == [codec._asdict() for codec in used]
    assert f"| {used[1].library} |" in re.sub(" +", " ", report.markdown(evaluation))


def test_command_names_the_package_of_a_peer_that_is_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Heic, "module", "no_such_module")

    assert __main__.main([str(folder), "--peers", "all"]) == 2
    expected = "--peers heic needs the package pillow-heif: pip install 'pillow-rnc[peers]'"
    assert expected in capsys.readouterr().err


def test_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main([str(tmp_path / "absent")]) == 2
    assert "no such file or folder" in capsys.readouterr().err
    assert __main__.main([str(tmp_path)]) == 2
    assert "no image in" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--iterations", "0,1"], "'0,1' is not within 1 to 32"),
        (["--iterations", "two"], "'two' is not an iteration count"),
        (["--peers", "jpeg420,gif"], "unknown: gif"),
        (["--limit", "0"], "'0' is not a number of at least 1"),
    ],
)
def test_command_refuses_bad_options_by_name(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        __main__.main(["folder", *options])

    error = capsys.readouterr().err
    assert message in error
    assert options[0] in error


def test_worker_processes_measure_the_same(folder: Path, evaluation: Evaluation) -> None:
    plan = MeasurementPlan(StandIn(), COUNTS, (), None)
    (result,) = measure_all([folder / "good1.png"], plan, jobs=2)

    assert not isinstance(result, Skipped)
    assert [point.file_bytes for point in result.ours] == [p.file_bytes for p in evaluation.pictures[1].ours]
    assert result.ours[0] == pytest.approx(evaluation.pictures[1].ours[0])


def test_demo_saves_files_prints_a_table_and_draws_a_sheet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = photograph(2, 400, 300)
    demo.show("waves", image, tmp_path, StandIn(), COUNTS)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]

    assert len(lines) == 2 + len(COUNTS)
    assert f" {(tmp_path / 'waves-04.rnc').stat().st_size} " in lines[-1]
    with Image.open(tmp_path / "waves-sheet.png") as sheet:
        assert sheet.width > 6 * 240
        assert sheet.height > len(COUNTS) * 240


def test_demo_of_a_small_photograph_says_that_ms_ssim_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photograph(2, 64, 48).save(tmp_path / "small.png")
    arguments = [str(tmp_path / "small.png"), "--out", str(tmp_path), "--iterations", "1,4"]

    assert demo.main(arguments, StandIn(spare_bytes=0)) == 0
    output = capsys.readouterr()
    assert "64x48 is too small for MS-SSIM" in output.err
    assert (tmp_path / "small-sheet.png").exists()


def test_demo_says_when_no_jpeg_is_so_small(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo.show("flat", Image.new("RGB", (200, 200), "navy"), tmp_path, StandIn(spare_bytes=0), [1])

    assert "none so small" in capsys.readouterr().out


def test_demo_names_a_photo_that_it_cannot_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert demo.main([str(tmp_path / "absent.png")]) == 2
    assert "absent.png" in capsys.readouterr().err


def test_crops_show_the_busiest_and_the_smoothest_part() -> None:
    pixels = np.full((300, 600, 3), 90, dtype=np.uint8)
    pixels[:, :240] = np.random.default_rng(0).integers(0, 256, (300, 240, 3))
    boxes = crop_boxes(Image.fromarray(pixels), side=100)

    assert boxes[0][2] <= 240
    assert boxes[1][0] >= 239
    assert crop_boxes(Image.new("RGB", (90, 50)), side=100) == [(0, 0, 90, 50)]
