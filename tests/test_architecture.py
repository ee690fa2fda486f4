"""Imports point one way, modules stay small, and opening a file loads nothing heavy."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from small_file import write_small_file

import pillow_rnc
from pillow_rnc.entropy.kernel import library

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(pillow_rnc.__file__).parent


def test_the_contracts_of_imports_are_kept() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    result = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stdout + result.stderr


def test_no_module_is_longer_than_300_lines() -> None:
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}

    assert not {name: lines for name, lines in lengths.items() if lines > 300}


def test_the_package_has_at_most_fourteen_entries() -> None:
    entries = {path.name for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "_weights", "py.typed")}

    assert len(entries) <= 14, entries


LOWER_LAYERS = ("plugin", "codec", "models", "entropy", "container")


def unguarded_imports(node: ast.AST) -> Iterator[ast.stmt]:
    """Yield the imports of a function that no `with importing` encloses."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child
        elif not (isinstance(child, ast.With) and ast.unparse(child.items[0]) == "importing"):
            yield from unguarded_imports(child)


def test_whatever_is_imported_within_a_function_is_guarded_against_forks() -> None:
    found = set()
    for path in (path for layer in LOWER_LAYERS for path in (PACKAGE / layer).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found |= {f"{path.name}: {ast.unparse(each)}" for each in unguarded_imports(node)}

    # At the start of the command, where there is one thread.
    assert found == {"command_start.py: import signal", "command_start.py: import threading"}


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
        "heavy = {'torch', 'numpy', 'construct', 'constriction', 'cffi'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    result = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )

    assert result.stderr == ""
    assert result.returncode == 0


def test_importing_the_package_loads_a_handful_of_modules() -> None:
    """What takes time is imported with the first file; see `benchmarks.import_time`."""
    script = "import sys, PIL.Image\nbefore = set(sys.modules)\nimport pillow_rnc\nprint(*set(sys.modules) - before)"
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())

    assert {name for name in loaded if name.startswith("pillow_rnc.")} <= {
        "pillow_rnc.container",
        "pillow_rnc.container.signature",
        "pillow_rnc.errors",
        "pillow_rnc.fork_safety",
        "pillow_rnc.models",
        "pillow_rnc.plugin",
        "pillow_rnc.plugin.command_start",
        "pillow_rnc.plugin.format_names",
        "pillow_rnc.plugin.handlers",
        "pillow_rnc.plugin.model_registry",
    }
    assert not loaded & {"dataclasses", "hashlib", "inspect", "json", "pathlib", "tempfile", "urllib", "PIL.ImageFile"}


def test_every_public_name_is_found_when_it_is_asked_for() -> None:
    assert set(pillow_rnc.__all__) <= set(dir(pillow_rnc))
    for name in pillow_rnc.__all__:
        assert getattr(pillow_rnc, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = pillow_rnc.no_such_name  # type: ignore[attr-defined]


def test_the_function_models_hides_the_sub_package() -> None:
    script = "import pillow_rnc.models.weights, pillow_rnc\nprint(pillow_rnc.models()[0].name)"
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    result = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)

    assert result.stdout.strip() == pillow_rnc.models()[0].name


@pytest.mark.skipif(not library.supported(), reason="the kernel was not built")
def test_coding_with_the_kernel_needs_no_constriction(tmp_path: Path) -> None:
    script = (
        f"import sys; path = {str(tmp_path / 'a.rnc')!r}; sys.modules['constriction'] = None\n"
        "import pillow_rnc; from PIL import Image\n"
        "Image.linear_gradient('L').resize((40, 24)).save(path, iterations=2)\n"
        "Image.open(path).load()"
    )
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent), library.VARIABLE: "1"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


def test_copying_a_stream_loads_no_torch(small_file: Path) -> None:
    script = (
        f"import sys; path = {str(small_file)!r}\n"
        "import pillow_rnc; from PIL import Image\n"
        "Image.open(path).save(path + '.rnc', iterations=1)\n"
        "sys.exit(int('torch' in sys.modules))"
    )
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
