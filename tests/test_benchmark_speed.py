"""The command `speed` measures what it says; how long that takes is nobody's business here."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("pytorch_msssim", reason="needs the extra [eval]")
pytest.importorskip("psnr_hvsm", reason="needs the extra [eval]")

from benchmarks import speed, speed_parts
from benchmarks.speed import main
from benchmarks.stopwatch import Stopwatch

if TYPE_CHECKING:
    from pathlib import Path

WATCH = Stopwatch(1)
linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    slope = np.linspace(20, 200, 192)[None, :, None] + np.linspace(0, 40, 192)[:, None, None]
    pixels = slope + np.random.default_rng(1).normal(0, 6, (192, 192, 3))
    path = tmp_path / "photo.png"
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return path


@linux
@pytest.mark.slow
def test_the_report_holds_every_measurement(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(speed, "SIZE_PX", (192, 192))
    monkeypatch.setattr(speed_parts, "THUMBNAILS", 4)
    monkeypatch.setattr(speed_parts, "_LOAD_BY_TORCH", speed_parts._LOAD)  # each import of torch takes seconds
    options = ["--iterations", "2", "--repeat", "1", "--paper-iterations", "1", "--megapixels", "0.01,0.03", "--out"]

    assert main([str(photo), *options, str(tmp_path)]) == 0

    record = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))
    names = ["codecs", "paper", "arithmetic", "recurrent", "cold_start", "scale", "batches"]
    assert list(record) == ["machine", *names]
    assert [codec["name"] for codec in record["recurrent"]] == ["default", "recurrent", "recurrent, torch"]
    assert [codec["name"] for codec in record["codecs"][:3]] == ["rnc, cpu", "rnc, cpu:0", "JPEG 4:2:0"]
    own, *others = record["codecs"]
    assert all(codec["ms_ssim"] >= own["ms_ssim"] for codec in others[1:])
    assert [round(row["megapixels"], 2) for row in record["scale"]] == [0.01, 0.03]
    text = (tmp_path / "speed.md").read_text(encoding="utf-8")
    assert text.count("\n## ") == len(record)
    assert text in capsys.readouterr().out


@linux
def test_parts_of_the_report_are_measured_alone(photo: Path, tmp_path: Path) -> None:
    options = ["--only", "scale", "--scale-iterations", "1", "--megapixels", "0.3", "--out", str(tmp_path)]

    assert main([str(photo), *options]) == 0

    record = json.loads((tmp_path / "speed.json").read_text(encoding="utf-8"))
    assert list(record) == ["machine", "scale"]
    (row,) = record["scale"]
    assert row["allowed_mib"] == pytest.approx(256 + 16 * 0.3 / 1.048576, abs=0.1)
    assert 0 < row["peak_mib"] < row["allowed_mib"]


def test_parts_that_are_not_known_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "scale,size"])

    assert "unknown: size; known: " in capsys.readouterr().err


def test_a_peer_is_taken_at_its_lowest_setting_that_is_as_good(photo: Path) -> None:
    image = Image.open(photo)
    (jpeg, *_) = speed_parts.peers(image, 0.97, WATCH)

    assert jpeg.ms_ssim >= 0.97
    smaller = [peer.file_bytes for peer in speed_parts.peers(image, 0.9, WATCH)]
    assert smaller[0] < jpeg.file_bytes


def test_the_best_run_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter", iter([0.0, 5.0, 10.0, 12.0, 20.0, 23.0]).__next__)
    runs = []

    assert Stopwatch(3).seconds(lambda: runs.append(1)) == 2
    assert len(runs) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="the clock of child processes is that of Unix")
def test_cpu_time_leaves_waiting_out() -> None:
    assert Stopwatch(1, cpu=True).seconds(lambda: time.sleep(0.2)) < 0.2
    assert Stopwatch(1, cpu=True).program_seconds("import time; time.sleep(1)") < 1
