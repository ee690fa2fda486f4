"""The layers of pillow_rnc/README.md are true: who imports whom, and what opening a file loads."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from small_file import write_small_file

from pillow_rnc import container

PACKAGE = Path(container.__file__).parent
THIRD_PARTY = {"PIL", "constriction", "construct", "distributed", "fsspec", "numpy", "safetensors"}
THIRD_PARTY |= {"threadpoolctl", "torch", "tqdm"}
LEAVES = {"contrib", "training", "evaluation"}
"""Subpackages that may import everything; what is imported of them is told below."""


class Imports(NamedTuple):
    """What a module imports when it is imported, and what its functions import when they are called."""

    eager: frozenset[str]
    lazy: frozenset[str]

    def __str__(self) -> str:
        names = [f"`{name}`" for name in sorted(self.eager)] + [f"(`{name}`)" for name in sorted(self.lazy)]
        return ", ".join(names) or "—"


def imports_of(path: Path) -> Imports:
    """Return the imports of a file, without those for type checkers only and those of the standard library."""
    eager: set[str] = set()
    lazy: set[str] = set()

    def visit(node: ast.AST, found: set[str]) -> None:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            found = lazy
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= imported_names(node)
        for child in ast.iter_child_nodes(node):
            visit(child, found)

    visit(ast.parse(path.read_text(encoding="utf-8")), eager)
    return Imports(frozenset(eager), frozenset(lazy - eager))


def imported_names(node: ast.Import | ast.ImportFrom) -> set[str]:
    """Return our modules, by name within the package, and the libraries that a statement imports."""
    if isinstance(node, ast.Import):
        paths = {alias.name for alias in node.names}
    elif node.module == "pillow_rnc":
        paths = {f"pillow_rnc.{alias.name}" for alias in node.names}
    else:
        assert not node.level, "imports are absolute"
        paths = {node.module or ""}
    names = set()
    for path in paths:
        first, _, rest = path.partition(".")
        if first == "pillow_rnc":
            names.add(rest.partition(".")[0] or "__init__")
        elif first in THIRD_PARTY:
            names.add(first)
    return names


def documented() -> dict[str, str]:
    """Return the last column of the table in the README, by module, in its order."""
    text = (PACKAGE / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)\.py` \|.*\| ([^|]*) \|$", text, re.MULTILINE)
    assert rows, "no table of modules"
    return dict(rows)


MODULES = {path.stem: imports_of(path) for path in sorted(PACKAGE.glob("*.py"))}


@pytest.mark.parametrize("module", MODULES)
def test_the_table_lists_what_each_module_imports(module: str) -> None:
    assert documented().get(module) == str(MODULES[module])


def test_the_table_lists_no_other_modules() -> None:
    assert set(documented()) == set(MODULES)


def test_imports_point_down_the_table() -> None:
    order = list(documented())
    upward = [
        (module, name)
        for module, imports in MODULES.items()
        for name in imports.eager | imports.lazy
        if name in MODULES and order.index(name) <= order.index(module) and name != "__init__"
    ]

    assert not upward


def test_only_the_command_line_imports_a_leaf_and_only_when_asked() -> None:
    assert not [module for module, imports in MODULES.items() if imports.eager & LEAVES]
    assert {(module, leaf) for module, imports in MODULES.items() for leaf in imports.lazy & LEAVES} == {
        ("__main__", "evaluation")
    }


@pytest.mark.parametrize(("library", "importers"), [("construct", {"schema"}), ("constriction", {"range_coder"})])
def test_the_libraries_of_the_format_have_one_importer(library: str, importers: set[str]) -> None:
    assert {module for module, imports in MODULES.items() if library in imports.eager | imports.lazy} == importers


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in PACKAGE.rglob("*.py")}

    assert not {name: lines for name, lines in lengths.items() if lines > 400}


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
        "pillow_rnc.info(path); pillow_rnc.check(path)",
        "pillow_rnc.truncate(path, path + '.short', iterations=1)",
        "from pillow_rnc.__main__ import main; main(['info', path]); main(['verify', '--json', path])",
        "from pillow_rnc.__main__ import main; main(['doctor'])",
        "from pillow_rnc.__main__ import main; main(['autoload', 'status'])",
        "from pillow_rnc.__main__ import main\ntry: main(['--help'])\nexcept SystemExit: pass",
        "from pillow_rnc.__main__ import main; main(['truncate', '-i', '1', '-o', path + '.short', path])",
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
