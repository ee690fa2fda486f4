"""What an evaluation says of a model without entropy coding."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from pillow_rnc.evaluation.curves import Point
from pillow_rnc.evaluation.plain_bits import main, plain_curve, value_at

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

OURS = [Point(k, 1000.0 * k, 0.1 * k, 20.0 + k, 0.8 + 0.01 * k, 19.0 + k) for k in range(1, 17)]
JPEG = [Point(10, 0.0, 0.1, 20.0, 0.7, 20.0), Point(90, 0.0, 2.1, 40.0, 0.9, 40.0)]


def test_every_iteration_costs_the_same() -> None:
    curve = plain_curve(OURS)

    assert [point.bpp for point in curve] == [0.125 * k for k in range(1, 17)]
    assert [point.ms_ssim for point in curve] == [point.ms_ssim for point in OURS]


def test_values_lie_between_the_points_and_are_unknown_outside() -> None:
    assert value_at(JPEG, 1.1, "psnr_hvs") == 30.0
    assert math.isnan(value_at(JPEG, 0.05, "psnr_hvs"))
    assert math.isnan(value_at(JPEG, 2.2, "psnr_hvs"))


def test_the_tables_are_those_of_the_mean_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evaluation.json"
    curves = {"RNC own": [point._asdict() for point in OURS], "JPEG 4:2:0": [point._asdict() for point in JPEG]}
    path.write_text(json.dumps({"label": "RNC own", "mean": curves}))

    assert main([str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines[2].split()) == "| 1 | 0.125 | 20.0 % | 0.8100 / 0.7025 | 20.00 / 20.25 |"
    assert lines[-1].startswith("| JPEG 4:2:0")
    assert " ".join(lines[-2].split()) == "| RNC own, plain bits | 1.6594 | 51.56 |"


def test_without_jpeg_there_is_nothing_to_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps({"label": "RNC own", "mean": {"RNC own": [point._asdict() for point in OURS]}}))

    assert main([str(path)]) == 1
    assert "--peers jpeg420" in capsys.readouterr().err
