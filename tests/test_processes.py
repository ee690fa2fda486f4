"""Worker processes decode what their parent decodes, however they are started."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_codec import register_tiny_codec

import pillow_rnc

TESTS = Path(__file__).parent
PACKAGE_FOLDER = Path(pillow_rnc.__file__).parents[1]


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_workers_decode_as_their_parent(method: str, tmp_path: Path) -> None:
    weights = register_tiny_codec(tmp_path)
    result = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", TESTS / "worker_program.py", method, weights],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (PACKAGE_FOLDER, TESTS)))},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )

    assert result.stderr == ""
    assert result.stdout == "the same everywhere\n"
