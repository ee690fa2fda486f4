"""Do the tests notice a fault in the code? python fuzz/mutants.py [--sample N] [MODULE...]

One operator, number or condition of a module is changed at a time, and the tests of the module must then fail.
Each mutant runs in a forked child, in which the libraries are loaded already. What survives is printed; the ones that
change nothing are listed, with the reason, in fuzz/README.md.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import constriction
import construct
import hypothesis
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
TESTS = {
    "container": ("test_container.py",),
    "chunks": ("test_container.py", "test_codes_crc.py"),
    "codes_crc": ("test_codes_crc.py",),
    "rules": ("test_container.py", "test_codestream.py"),
    "range_coder": ("test_range_coder.py",),
    "codestream": ("test_codestream.py",),
}
PATIENCE_S = 20
"""A mutant may loop for ever, which is a way of being noticed."""
PRELOADED = (constriction, construct, hypothesis, np)

_SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.BitAnd: ast.BitOr,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


def mutants(source: str) -> Iterator[tuple[str, ast.Module]]:
    """Yield each mutant of a module with what was changed."""
    tree = ast.parse(source)
    for index, node in enumerate(ast.walk(tree)):
        for variant in range(3):
            mutant = copy.deepcopy(tree)
            target = next(one for place, one in enumerate(ast.walk(mutant)) if place == index)
            before = ast.unparse(node) if hasattr(node, "lineno") else ""
            if not _change(target, variant):
                break
            yield f"line {getattr(node, 'lineno', '?')}: {before} -> {ast.unparse(target)}", mutant


def _change(node: ast.AST, variant: int) -> bool:
    """Change a node in place, if there is a way of that number to change it."""
    if variant == 0 and isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPPED:
        node.ops = [cast("ast.cmpop", _SWAPPED[type(node.ops[0])]()), *node.ops[1:]]
    elif variant == 0 and isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _SWAPPED:
        node.op = cast("ast.operator", _SWAPPED[type(node.op)]())
    elif variant == 0 and isinstance(node, ast.BoolOp):
        node.op = cast("ast.boolop", _SWAPPED[type(node.op)]())
    elif isinstance(node, ast.If) and not variant and ast.unparse(node.test) != "TYPE_CHECKING":
        node.test = ast.UnaryOp(ast.Not(), node.test)
    elif isinstance(node, ast.Constant) and type(node.value) is int and variant < 2:
        node.value += (1, -1)[variant]
    elif isinstance(node, ast.Constant) and type(node.value) is bool and not variant:
        node.value = not node.value
    else:
        return False
    ast.fix_missing_locations(node)
    return True


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives the mutant in place of the module."""

    def __init__(self, name: str, tree: ast.Module) -> None:
        self.name = name
        self.tree = tree

    def find_spec(self, name: str, _path: object, _target: object = None) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(ast.fix_missing_locations(self.tree), self.name, "exec"), module.__dict__)  # noqa: S102 -- our own


def is_noticed(module: str, tree: ast.Module | None) -> bool:
    """Whether the tests of a module fail for a mutant of it; None is the module itself."""
    child = os.fork()
    if not child:
        _run_tests(module, tree)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status != 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


def _run_tests(module: str, tree: ast.Module | None) -> None:
    """Run the tests and end this process."""
    if tree is not None:
        sys.meta_path.insert(0, _Finder(f"pillow_rnc.{module}", tree))
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    status = 1
    try:
        paths = [str(ROOT / "tests" / name) for name in TESTS[module]]
        status = pytest.main(
            [
                "-x",
                "-q",
                "-p",
                "no:cacheprovider",
                "-W",
                "ignore::pytest.PytestAssertRewriteWarning",
                "--rootdir",
                str(ROOT),
                *paths,
            ]
        )
    finally:
        os._exit(min(int(status), 1))


def check(module: str, sample: int | None) -> Sequence[str]:
    """Print and return what survives of a module."""
    source = (ROOT / "pillow_rnc" / f"{module}.py").read_text(encoding="utf-8")
    if is_noticed(module, None):
        raise SystemExit(f"{module}: its tests fail without a mutant")
    found = list(mutants(source))
    if sample is not None and sample < len(found):
        found = random.Random(module).sample(found, sample)  # noqa: S311 -- repeatable, not secret
    start = time.monotonic()
    survivors = [name for name, tree in found if not is_noticed(module, tree)]
    for name in survivors:
        print(f"  {module} {name}")
    caught = len(found) - len(survivors)
    print(f"{module}: {caught} of {len(found)} noticed in {time.monotonic() - start:.0f} s", flush=True)
    return survivors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=list(TESTS))
    parser.add_argument("--sample", type=int)
    arguments = parser.parse_args()
    os.environ.setdefault("HYPOTHESIS_PROFILE", "dev")
    for module in arguments.modules:
        check(module, arguments.sample)
    return 0


if __name__ == "__main__":
    sys.exit(main())
