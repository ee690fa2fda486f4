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

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parent
PACKAGE_FOLDER = Path(pillow_rnc.__file__).parents[1]


METHODS = multiprocessing.get_all_start_methods()


def run(program: str, *arguments: object) -> None:
    """Run a program that says that all its workers agree."""
    result = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", TESTS / program, *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (PACKAGE_FOLDER, TESTS)))},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )

    assert result.stderr == ""
    assert result.stdout == "the same everywhere\n"


@pytest.mark.parametrize("method", METHODS)
def test_workers_decode_as_their_parent(method: str, tmp_path: Path) -> None:
    run("worker_program.py", method, register_tiny_codec(tmp_path))


@pytest.mark.parametrize("method", sorted({"fork", "spawn"} & set(METHODS)))
def test_workers_of_torch_load_what_their_parent_loads(method: str, tmp_path: Path) -> None:
    run("loader_program.py", method, register_tiny_codec(tmp_path), tmp_path)
