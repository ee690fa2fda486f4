"""The benchmark of several workers does every picture in every round, and tells what it found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from photographs import write_pictures
from tiny_codec import register_tiny_codec

import pillow_rnc
from benchmarks.throughput import Round, main, table

PATIENCE_S = 240


def test_a_table_compares_rounds_that_were_run_together() -> None:
    rounds = [
        Round(1, 10, 10.0, 9.0, 1000, 100, 2**20),
        Round(2, 10, 5.0, 9.0, 1000, 100, 2**20),
        Round(1, 10, 20.0, 9.0, 1000, 100, 3 * 2**20),  # the machine did something else
        Round(2, 10, 12.5, 18.0, 1000, 100, 2**20),
        Round(1, 10, 10.0, 9.0, 1000, 100, 2**20),
        Round(2, 10, 5.0, 9.0, 1000, 100, 2**20),
    ]
    lines = table("encode", rounds).splitlines()

    assert "encode, 10 images, 3 rounds" in lines
    assert "| 1 | 1.00 | 1.00 | 0.900 | 250,000 | 3 |" in lines
    assert "| 2 | 2.00 | 2.00 | 0.900 | 250,000 | 1 |" in lines
    assert lines[-1] == "bytes per image: 100 in, 10 out"


CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
TWO = "1,2" if CORES > 1 else "1"


@pytest.mark.parametrize("kind", [["--workers", TWO, "--rounds", "2"], ["--workers", "1", "--rounds", "1", "--dask"]])
def test_workers_of_each_kind_are_measured(kind: list[str], tmp_path: Path) -> None:
    write_pictures(tmp_path / "in", 3)
    model = register_tiny_codec(tmp_path)
    command = [sys.executable, "-m", "benchmarks.throughput", str(tmp_path / "in"), "--model", str(model)]
    result = subprocess.run(
        [*command, *kind],
        env=os.environ | {"PYTHONPATH": str(Path(pillow_rnc.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.count(f"3 images, {kind[3]} rounds") == 2
    for workers in kind[1].split(","):
        assert result.stdout.count(f"| {workers} |") == 2


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="how many cores there are is not checked")
def test_what_cannot_be_measured_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for bad, fault in (("0", "invalid"), ("1,x", "invalid"), ("100000", "as many cores"), ("1", "no images below")):
        with pytest.raises(SystemExit) as caught:
            main([str(tmp_path), "--workers", bad])
        assert caught.value.code == 2
        assert fault in capsys.readouterr().err
