"""Decode vectors, golden files and fuzzing seeds with the kernel and with NumPy; `.ci/kernel-check` runs it sanitized.

Usage: kernel_program.py [DAMAGED], how many altered copies of each file to try beside (4).
Outcomes must be equal: samples within 1, or an error of the same class. Needs the repository's root on PYTHONPATH, its
`fuzz`, and an extension in `pillow_rnc/entropy/kernel`.
"""

from __future__ import annotations

import io
import os
import random
import sys
import warnings
from pathlib import Path

import fuzz_tile_coder
import numpy as np
from PIL import Image

import pillow_rnc
from pillow_rnc.entropy.kernel import library
from pillow_rnc.errors import RncError
from pillow_rnc.models.weights import register

ROOT = Path(__file__).parent.parent
VECTORS = ROOT / "spec" / "vectors"
MAX_WORK = 1 << 20
REFUSALS = RncError, OSError, Image.DecompressionBombError


def outcome(data: bytes, instruction_set: str) -> tuple[str, np.ndarray[tuple[int, ...], np.dtype[np.int16]]]:
    """Return the class of the error, or "" and the samples."""
    os.environ[library.VARIABLE] = instruction_set
    try:
        with pillow_rnc.use_options(max_work=MAX_WORK), Image.open(io.BytesIO(data)) as image:
            image.load()
            return "", np.asarray(image).astype(np.int16)
    except REFUSALS as error:
        return type(error).__name__, np.empty(0, np.int16)


def damaged(data: bytes, seed: int) -> bytes:
    """Return a copy with a few bytes changed; headers are left alone, payloads are what this is about."""
    random_bytes, altered = random.Random(seed), bytearray(data)  # noqa: S311
    for _ in range(1 + seed % 3 if altered else 0):
        altered[random_bytes.randrange(min(42, len(altered) - 1), len(altered))] ^= 1 << random_bytes.randrange(8)
    return bytes(altered)


def main(copies: int = 4) -> None:
    """Try all files."""
    warnings.simplefilter("ignore")
    for path in (*VECTORS.glob("*.safetensors"), *VECTORS.glob("released/*/*.safetensors")):
        register(path)
    register(ROOT / "tests" / "golden" / "tiny.safetensors")
    files = sorted([*VECTORS.rglob("*.rnc"), *(ROOT / "tests" / "golden").glob("*.rnc")])
    sets, tried, decoded = library.supported(), 0, 0
    assert sets, "there is no kernel"
    for number, path in enumerate(files):
        data = path.read_bytes()
        for copy in range(1 + copies):
            tried += 1
            given = damaged(data, 1000 * number + copy) if copy else data
            reference = outcome(given, "0")
            decoded += not reference[0]
            for name in sets if not copy else (sets[(number + copy) % len(sets)],):
                found = outcome(given, name)
                assert found[0] == reference[0], f"{path}: {found[0]}, expected {reference[0]}"
                assert found[1].shape == reference[1].shape
                assert np.abs(found[1] - reference[1]).max(initial=0) <= 1, f"{path}: samples differ"
    for path in sorted((ROOT / "fuzz" / "corpus" / "tile_coder").iterdir()):
        for name in sets:
            os.environ[library.VARIABLE] = name
            fuzz_tile_coder.test_one_input(path.read_bytes())
    print(f"{tried} files, {decoded} of them decoded, on {', '.join(sets)}: as NumPy has it")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
