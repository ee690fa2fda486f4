"""Verdicts of the decoder for browsers, in Node, on damaged files: those of Python. Run with the tests of browsers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from random import Random

import pytest

from pillow_rnc.container import reader
from pillow_rnc.entropy.tile_coder import decode_tile
from pillow_rnc.errors import CorruptError, RncFileError, SignatureError, TruncatedError, UnsupportedError
from pillow_rnc.models.weights import register, weights_for

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[1]
VECTORS = ROOT / "spec" / "vectors"
FAULTS = {
    SignatureError: "signature",
    UnsupportedError: "unsupported",
    CorruptError: "corrupt",
    TruncatedError: "truncated",
}
DAMAGED_COPIES = 12


def verdict(data: bytes) -> str:
    """Return what Python finds in a file: a fault, or ``valid``."""
    try:
        reader.verify(data)
        file = reader.parse(data)
        model = weights_for(file.header).entropy_model
        for index, tile in enumerate(file.header.grid):
            shape = file.header.code_shape(tile)
            decode_tile(model, [unit[index] for unit in file.units], shape.height, shape.width, tile=index)
    except RncFileError as error:
        return FAULTS[type(error)]
    return "valid"


def damaged(data: bytes, random: Random) -> bytes:
    """Return a copy with one bit changed, cut off, or with bytes inserted or removed."""
    position = random.randrange(len(data))
    kind = random.randrange(4)
    if kind == 0:
        return data[:position]
    if kind == 1:
        return data[:position] + random.randbytes(random.randint(1, 8)) + data[position:]
    if kind == 2:
        return data[:position] + data[position + random.randint(1, 8) :]
    return data[:position] + bytes([data[position] ^ 1 << random.randrange(8)]) + data[position + 1 :]


def test_damaged_files_and_regressions_have_the_verdicts_of_python(tmp_path: Path) -> None:
    for name in ("complete", "odd"):
        register(VECTORS / f"{name}.safetensors")
    random = Random(20261130)  # noqa: S311 -- to be repeated, not to be secret
    for path in sorted((VECTORS / "valid").glob("*.rnc")):
        if json.loads(path.with_suffix(".json").read_text())["weights"] not in (
            "complete.safetensors",
            "odd.safetensors",
        ):
            continue  # of another family
        for number in range(DAMAGED_COPIES):
            (tmp_path / f"{path.stem}-{number}").write_bytes(damaged(path.read_bytes(), random))
    for path in sorted((ROOT / "fuzz" / "regressions").glob("*/*")):
        (tmp_path / f"regression-{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
    command = ["node", ROOT / "web" / "tools" / "decode.js", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    expected = {path.name: verdict(path.read_bytes()) for path in sorted(tmp_path.iterdir())}

    assert json.loads(done.stdout) == expected
    assert set(expected.values()) >= {"corrupt", "truncated", "signature"}
