"""Nothing in the package runs code from a file, unpickles or talks to a network; what runs programs is known by name.

What happens when a picture is really saved and loaded is watched in `test_released_weights`.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

import pillow_rnc

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(pillow_rnc.__file__).parent
MODULES = {str(path.relative_to(PACKAGE)): path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}

FORBIDDEN_IMPORTS = {
    *("cloudpickle", "ctypes", "dill", "joblib", "marshal", "pickle", "shelve"),
    *(
        "aiohttp",
        "distributed",
        "fsspec",
        "ftplib",
        "http",
        "huggingface_hub",
        "requests",
        "smtplib",
        "socket",
        "ssl",
        "urllib",
        "xmlrpc",
    ),
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_METHODS = {
    *("torch.load", "torch.save", "np.load", "numpy.load", "torch.hub", "os.system", "os.popen"),
    *("builtins.eval", "builtins.exec", "builtins.compile", "builtins.__import__", "importlib.import_module"),
}
ALLOWED = {
    "__init__.py": {"importlib.import_module"},  # its own modules, by a table
    "cli/stopping.py": {"socket"},  # a pair of connected sockets, by which signals wake a thread of this process
    "cli/storage.py": {"fsspec"},  # a store, where a command is given its URL
    "cli/workers.py": {"distributed"},  # a cluster, where a command is given its address
    "evaluation/__main__.py": {"importlib.import_module"},  # one of its own commands
}
"""What single modules may do, and why."""
PROGRAMS = {"cli/autoload.py"}
"""Start programs: our own interpreter."""


def faults(source: str) -> Iterator[str]:
    """Yield what a module does that none may do."""
    for node in ast.walk(ast.parse(source)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.split(".")[0] for name in names if name.split(".")[0] in FORBIDDEN_IMPORTS)
        yield from (name for name in names if name in FORBIDDEN_METHODS)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
            yield node.func.id
        if isinstance(node, ast.Attribute) and ast.unparse(node) in FORBIDDEN_METHODS:
            yield ast.unparse(node)
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            yield "allow_pickle"


@pytest.mark.parametrize("name", sorted(MODULES))
def test_nothing_is_evaluated_unpickled_or_fetched(name: str) -> None:
    assert set(faults(MODULES[name])) == ALLOWED.get(Path(name).as_posix(), set())


def test_programs_are_started_by_few() -> None:
    assert {name for name, source in MODULES.items() if "subprocess" in source} == PROGRAMS


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from urllib.request import urlopen",
        "import os, http.client",
        "from torch import load",
        "from os import system",
        "import_module('pickle')\nfrom importlib import import_module",
        "builtins.exec(text)",
        "from fsspec import open",
        "from distributed import Client",
        "eval(text)",
        "exec(compile(text, name, 'exec'))",
        "torch.load(path)",
        "np.load(path)",
        "read(path, allow_pickle=True)",
    ],
)
def test_each_of_these_is_seen(source: str) -> None:
    assert list(faults(source))


@pytest.mark.parametrize("source", ["network.eval()", "torch.compile(part)", "re.compile(words)", "json.load(file)"])
def test_what_only_sounds_like_it_is_not(source: str) -> None:
    assert not list(faults(source))


def test_the_recipe_of_conda_needs_what_the_package_needs() -> None:
    repository = PACKAGE.parent
    recipe = yaml.safe_load((repository / "recipe" / "recipe.yaml").read_text(encoding="utf-8"))
    project = (repository / "pyproject.toml").read_text(encoding="utf-8")
    needed = re.findall(r'^    "([^"]+)"', project.partition("\ndependencies = [")[2].partition("\n]")[0], re.MULTILINE)
    python = re.findall(r'^requires-python = "(.*)"$', project, re.MULTILINE)

    found = {requirement.replace(" ", "") for requirement in recipe["requirements"]["run"]}
    assert found == {*needed, f"python{python[0]}"}


def test_all_packages_have_the_version() -> None:
    repository = PACKAGE.parent
    recipe = yaml.safe_load((repository / "recipe" / "recipe.yaml").read_text(encoding="utf-8"))
    citation = yaml.safe_load((repository / "CITATION.cff").read_text(encoding="utf-8"))
    npm = json.loads((repository / "web" / "package.json").read_text(encoding="utf-8"))

    versions = {recipe["context"]["version"], str(citation["version"]), npm["version"]}
    assert versions == {pillow_rnc.__version__}
