"""Do the tests detect faults in the code? python fuzz/mutation_testing.py [--each N] [MODULE...]

One operator, number, condition or negation of a module is changed at a time, and its tests must then fail.
Each mutant runs in a forked child process in which the libraries are already loaded. Survivors are printed; those that
are equivalent to the code are listed, with the reason, in fuzz/README.md.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.abc
import importlib.util
import os
import random
import resource
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import constriction
import construct
import hypothesis
import numpy as np
import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
TESTS = {
    "container.reader": ("test_container.py",),
    "container.writer": ("test_container.py",),
    "container.chunks": ("test_container.py", "test_checksum.py"),
    "container.checksum": ("test_checksum.py",),
    "container.validation": ("test_container.py", "test_tile_coder.py"),
    "entropy.range_coder": ("test_range_coder.py",),
    "entropy.tile_coder": ("test_tile_coder.py",),
    "entropy.significance": ("test_significance.py",),
    "entropy.schedule": ("test_numpy_quantizer.py", "test_entropy_model.py"),
}
PATIENCE_S = 20
"""CPU seconds: a mutant may loop forever, which counts as detected."""
PRELOADED = (constriction, construct, hypothesis, np, torch)

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


class Mutant(NamedTuple):
    """A module with one fault, a description of the fault, and the function that contains it."""

    tree: ast.Module
    change: str
    function: str


def mutants(source: str) -> Iterator[Mutant]:
    """Yield each mutant of a module."""
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for index, node in enumerate(ast.walk(tree)):
        for variant in range(3):
            if not _change(copy.copy(node), variant):
                break
            mutant = copy.deepcopy(tree)
            target = next(one for place, one in enumerate(ast.walk(mutant)) if place == index)
            before = ast.unparse(node) if hasattr(node, "lineno") else ""
            _change(target, variant)
            line = getattr(node, "lineno", 0)
            around = [one.name for one in functions if one.lineno <= line <= (one.end_lineno or 0)]
            yield Mutant(mutant, f"line {line}: {before} -> {ast.unparse(target)}", (around or ["the module"])[-1])


def _change(node: ast.AST, variant: int) -> bool:
    """Change a node in place if it has a change of this number."""
    if variant == 0 and isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPPED:
        node.ops = [cast("ast.cmpop", _SWAPPED[type(node.ops[0])]()), *node.ops[1:]]
    elif variant == 0 and isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in _SWAPPED:
        node.op = cast("ast.operator", _SWAPPED[type(node.op)]())
    elif variant == 0 and isinstance(node, ast.BoolOp):
        node.op = cast("ast.boolop", _SWAPPED[type(node.op)]())
    elif variant == 0 and isinstance(node, ast.AugAssign) and isinstance(node.op, ast.BitOr):  # others are type unions
        node.op = ast.BitAnd()
    elif variant == 0 and isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        node.operand = ast.UnaryOp(ast.Invert(), node.operand)
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
    """Imports the mutant instead of the module."""

    def __init__(self, name: str, tree: ast.Module) -> None:
        self.name = name
        self.tree = tree

    def find_spec(self, name: str, _path: object, _target: object = None) -> ModuleSpec | None:
        return importlib.util.spec_from_loader(name, self) if name == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(ast.fix_missing_locations(self.tree), self.name, "exec"), module.__dict__)  # noqa: S102 -- our own


def is_detected(module: str, tree: ast.Module | None) -> bool:
    """Return whether the tests of a module fail for a mutant of it; None is the module itself."""
    child = os.fork()
    if not child:
        _run_tests(module, tree)
    _, status = os.waitpid(child, 0)
    return status != 0


def _run_tests(module: str, tree: ast.Module | None) -> None:
    """Run the tests and end this process."""
    if tree is not None:
        sys.meta_path.insert(0, _Finder(f"pillow_rnc.{module}", tree))
    resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE_S, PATIENCE_S))
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


def check(module: str, each: int | None) -> Sequence[str]:
    """Print and return the surviving mutants of a module."""
    source = (ROOT / "pillow_rnc" / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    if is_detected(module, None):
        raise SystemExit(f"{module}: its tests fail without a mutant")
    found = list(mutants(source))
    if each is not None:
        random.Random(module).shuffle(found)  # noqa: S311 -- repeatable, not secret
        by_function = defaultdict[str, list[Mutant]](list)
        for one in found:
            by_function[one.function].append(one)
        found = [one for same in by_function.values() for one in same[:each]]
    start = time.monotonic()
    survivors = [one.change for one in found if not is_detected(module, one.tree)]
    for change in survivors:
        print(f"  {module} {change}")
    caught, functions = len(found) - len(survivors), len({one.function for one in found})
    print(f"{module}: {caught} of {len(found)} in {functions} functions detected in {time.monotonic() - start:.0f} s")
    return survivors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", default=list(TESTS))
    parser.add_argument("--each", type=int, help="mutants per function; all by default")
    arguments = parser.parse_args()
    os.environ["HYPOTHESIS_PROFILE"] = "mutants"
    for module in arguments.modules:
        check(module, arguments.each)
    return 0


if __name__ == "__main__":
    sys.exit(main())
