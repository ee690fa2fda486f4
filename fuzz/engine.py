"""Runs a target under Atheris: the only module that needs it."""

from __future__ import annotations

import importlib
import random
import sys
from typing import TYPE_CHECKING

from mutator import mutate

if TYPE_CHECKING:
    from collections.abc import Callable

ARITHMETIC = ["pillow_rnc.container.checksum", "pillow_rnc.container.tile_grid"]
"""Not instrumented: their control flow hardly depends on the input, and they would dominate the run time."""


def run(name: str, *, structured: bool = True) -> None:
    """Fuzz `test_one_input` of the module `name` with the arguments of the command line.

    Args:
        name: Module of the target.
        structured: Inputs are files of the format, whose checksums the mutations repair.
    """
    import atheris

    # These were imported without instrumentation; modules that refer to them must be imported again too.
    for loaded in [module for module in sys.modules if module.split(".")[0] in ("pillow_rnc", "model", name)]:
        del sys.modules[loaded]
    with atheris.instrument_imports(include=["pillow_rnc"], exclude=ARITHMETIC):
        target = importlib.import_module(name)
    test_one_input: Callable[[bytes], None] = target.test_one_input

    def custom_mutator(data: bytes, max_size: int, seed: int) -> bytes:
        source = random.Random(seed)  # noqa: S311 -- repeatable, not secret
        return mutate(bytes(data), source, lambda part: bytes(atheris.Mutate(bytes(part), len(part) + 8)))[:max_size]

    atheris.Setup(sys.argv, test_one_input, custom_mutator=custom_mutator if structured else None)
    atheris.Fuzz()
