"""Type checkers see the public names, complete, from outside the package."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pillow_rnc

PROGRAM = Path(__file__).with_name("user_program.py")
PACKAGE_FOLDER = Path(pillow_rnc.__file__).parents[1]

WRONG = """import pillow_rnc
pillow_rnc.open('a.rnc', iterations='six')
pillow_rnc.truncate('a.rnc')
pillow_rnc.info('a.rnc')['nothing']
pillow_rnc.no_such_name
"""

CONFIGURATION = """
[mypy]
strict = true
[mypy-torch.*,numpy.*,construct.*]
# Not part of what users of the public names see, and slow to read.
follow_imports = skip
ignore_missing_imports = true
[mypy-pillow_rnc.*]
# Its own types are checked elsewhere; here, whether they reach a user.
follow_imports = silent
"""


@pytest.mark.slow
def test_a_user_program_is_fully_typed_and_a_wrong_use_is_found(tmp_path: Path) -> None:
    """With nothing of this project's configuration."""
    configuration, wrong = tmp_path / "mypy.ini", tmp_path / "wrong.py"
    configuration.write_text(CONFIGURATION)
    wrong.write_text(WRONG)
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--config-file",
            configuration,
            "--cache-dir",
            tmp_path / "cache",
            PROGRAM,
            wrong,
        ],
        env=os.environ | {"MYPYPATH": str(PACKAGE_FOLDER)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    *faults, summary = result.stdout.splitlines()

    assert [int(re.findall(r"^wrong\.py:(\d+): error", fault)[0]) for fault in faults] == [2, 3, 4, 5]
    assert summary == "Found 4 errors in 1 file (checked 2 source files)", result.stderr


@pytest.mark.hosts
def test_pyright_says_the_same(tmp_path: Path) -> None:
    settings = {"typeCheckingMode": "strict", "extraPaths": [str(PACKAGE_FOLDER)], "pythonVersion": "3.11"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    (tmp_path / "user_program.py").write_text(PROGRAM.read_text(encoding="utf-8"))
    (tmp_path / "wrong.py").write_text(WRONG)
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--pythonpath", sys.executable]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240)
    found = [fault for fault in json.loads(result.stdout)["generalDiagnostics"] if fault["severity"] == "error"]

    assert {(Path(fault["file"]).name, fault["range"]["start"]["line"] + 1) for fault in found} == {
        ("wrong.py", line) for line in (2, 3, 4, 5)
    }


def test_the_user_program_names_everything_public() -> None:
    text = PROGRAM.read_text(encoding="utf-8")

    assert not [name for name in pillow_rnc.__all__ if f"pillow_rnc.{name}" not in text]


def test_the_package_says_that_it_has_types() -> None:
    assert Path(pillow_rnc.__file__).with_name("py.typed").is_file()
