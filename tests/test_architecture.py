"""Imports point one way, modules stay small, and opening a file loads nothing heavy."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_file import write_small_file

import pillow_rnc

PACKAGE = Path(pillow_rnc.__file__).parent


def test_the_contracts_of_imports_are_kept() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


def test_no_module_is_longer_than_300_lines() -> None:
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}

    assert not {name: lines for name, lines in lengths.items() if lines > 300}


def test_the_package_has_at_most_thirteen_entries() -> None:
    entries = {path.name for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "_weights", "py.typed")}

    assert len(entries) <= 13, entries


@pytest.fixture
def small_file(tmp_path: Path) -> Path:
    return write_small_file(tmp_path / "small.rnc")


@pytest.mark.parametrize(
    "action",
    [
        "",
        "im = Image.open(path); im.size, im.mode, im.info; im.draft(None, (1, 1)); im.iterations = 1",
        "Image.open(path).verify()",
        "pillow_rnc.open(path, iterations=1, region=(0, 0, 2, 2))",
        "pillow_rnc.info(path); pillow_rnc.verify(path)",
        "pillow_rnc.truncate(path, path + '.short', iterations=1)",
        "from pillow_rnc.cli.main import main; main(['info', path]); main(['verify', '--json', path])",
        "from pillow_rnc.cli.main import main; main(['doctor'])",
        "from pillow_rnc.cli.main import main; main(['autoload', 'status'])",
        "from pillow_rnc.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from pillow_rnc.cli.main import main; main(['truncate', '-i', '1', '-o', path + '.short', path])",
    ],
)
def test_light_work_loads_no_heavy_library(action: str, small_file: Path) -> None:
    script = (
        f"import sys; path = {str(small_file)!r}\n"
        f"import pillow_rnc; from PIL import Image\n{action}\n"
        "heavy = {'torch', 'numpy', 'construct', 'constriction', 'safetensors'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )

    assert result.stderr == ""
    assert result.returncode == 0


def test_copying_a_stream_loads_no_torch(small_file: Path) -> None:
    script = (
        f"import sys; path = {str(small_file)!r}\n"
        "import pillow_rnc; from PIL import Image\n"
        "Image.open(path).save(path + '.rnc', iterations=1)\n"
        "sys.exit(int('torch' in sys.modules))"
    )
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
