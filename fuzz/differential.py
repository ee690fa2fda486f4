"""Package, reference decoder and C decoder accept and reject the same files: python differential.py [--trials N]

    (cd ../spec && cc -std=c99 -O2 -o decoder decoder.c)
    PYTHONPATH=..:../spec python differential.py --program ../spec/decoder

Small extreme files are damaged: half of them at random, which a checksum mostly detects, and half with all checksums
recomputed, which reaches the rules beyond them and sometimes gives another valid file. All decoders must reject the
file or find the same codes; of several faults, each may report another. The C decoder takes part if it is given.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import agreement
import model
import reference_decoder
from damage import DAMAGES, sample_files
from mutator import mutate

from pillow_rnc.container import reader
from pillow_rnc.container.alpha_stream import unpack_alpha
from pillow_rnc.entropy.tile_coder import decode_tile
from pillow_rnc.errors import RncFileError
from pillow_rnc.models.weights import weights_for

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGEST = 1500
"""Maximum size of the valid files in bytes: the reference decoder is slow."""


def compare(files: Sequence[bytes], trials: int, seed: int, program: agreement.Program | None = None) -> Counter[str]:
    """Return how often a file was valid, and how often it was rejected, by fault.

    Args:
        files: Valid files of the small model.
        trials: Number of damaged files to compare.
        seed: Seed of all choices.
        program: The C decoder.

    Raises:
        agreement.Disagreement: Two decoders differ.
    """
    source = random.Random(seed)  # noqa: S311 -- repeatable, not secret
    weights = (model.GOLDEN / "tiny.safetensors").read_bytes()
    outcomes: Counter[str] = Counter()
    for trial in range(trials):
        first, second = source.choice(files), source.choice(files)
        if source.random() < 0.5:
            damaged = DAMAGES[source.choice(list(DAMAGES))](first, second, source)
        else:
            damaged = mutate(first, source)
        lines, fault = _codes(damaged)
        others = {"the reference decoder": reference_decoder.report(weights, damaged)}
        alpha_fault = None if fault else _alpha_fault(damaged)
        if program and not alpha_fault:  # it does not expand alpha
            others["the program"] = program.lines(damaged, weights)
        fault = fault or alpha_fault
        faults = {fault}
        for name, printed in others.items():
            other = agreement.fault_of(printed)
            if bool(other) != bool(fault) or (not other and printed != lines):
                msg = f"trial {trial} of seed {seed}: {name} finds {other or printed}, the package {fault or lines}"
                raise agreement.Disagreement(msg)
            faults.add(other)
        outcomes["different faults" if len(faults) > 1 else fault or "valid"] += 1
    return outcomes


def _codes(data: bytes) -> tuple[list[str], str | None]:
    """Return what a decoder prints of the codes of a file, or the fault that the package finds."""
    model.tiny()
    lines: dict[tuple[int, int], str] = {}
    try:
        file = reader.parse(data)
        weights = weights_for(file.header)
        for index, tile in enumerate(file.header.grid):
            segments = [unit[index] for unit in file.units]
            planes = decode_tile(segments, weights.entropy_model, file.header.code_shape(tile)[1:], tile=index)
            lines |= agreement.lines_of(index, segments, planes)
    except RncFileError as error:
        return [], type(error).__name__
    return [lines[key] for key in sorted(lines)], None


def _alpha_fault(data: bytes) -> str | None:
    """Return the fault that the package finds in the alpha plane of a file that is valid otherwise."""
    file = reader.parse(data)
    try:
        if file.alpha is not None:
            unpack_alpha(file.alpha, file.header.width * file.header.height)
    except RncFileError as error:
        return type(error).__name__
    return None


def main() -> int:
    """Run the command and return its exit status; a disagreement ends it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--program", type=lambda name: Path(name).resolve(), help="the C decoder")
    arguments = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        program = agreement.Program(arguments.program, Path(folder)) if arguments.program else None
        files = sample_files(arguments.files, arguments.seed, LARGEST)
        outcomes = compare(files, arguments.trials, arguments.seed, program)
    seconds = time.perf_counter() - start
    print(f"{arguments.trials} files of seed {arguments.seed} in {seconds:.0f} s, all decoders agree:", dict(outcomes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
