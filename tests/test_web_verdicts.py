"""Verdicts of the decoder for browsers, in Node, on damaged files: those of Python. Run with the tests of browsers."""

from __future__ import annotations

import hashlib
import json
import subprocess
from functools import cache
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

import pytest
from safetensors.numpy import load
from several_faults import SEVERAL_FAULTS

from pillow_rnc.container import reader
from pillow_rnc.entropy.model import EntropyModel
from pillow_rnc.entropy.tile_coder import decode_tile
from pillow_rnc.errors import CorruptError, RncFileError, SignatureError, TruncatedError, UnsupportedError

if TYPE_CHECKING:
    from pillow_rnc.container.records import Header

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


@cache
def models() -> dict[bytes, tuple[EntropyModel, int]]:
    """Return the models of the vectors by the identity that files name, and the stride of each.

    The package itself does not load the one that has no decoder network.
    """
    found = {}
    for name in ("complete", "odd"):
        data = (VECTORS / f"{name}.safetensors").read_bytes()
        description = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        config = json.loads(description["__metadata__"]["config"])
        model = EntropyModel.from_tensors(load(data), config["passes"])
        found[hashlib.sha256(data).digest()[:8]] = model, config["code_stride"]
    return found


def model_of(header: Header) -> EntropyModel:
    model, stride = models().get(header.model_id, (None, 0))
    if model is None or (header.code_channels, header.code_stride) != (model.code_channels, stride):
        raise UnsupportedError("another model")
    if header.iterations > model.iterations:
        raise UnsupportedError("more iterations than the model has")
    return model


def verdict(data: bytes) -> str:
    """Return what Python finds in a file: a fault, or ``valid``."""
    try:
        reader.verify(data)
        file = reader.parse(data)
        model = model_of(file.header)
        for index, tile in enumerate(file.header.grid):
            shape = file.header.code_shape(tile)
            decode_tile([unit[index] for unit in file.units], model, (shape.height, shape.width), tile=index)
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
    random = Random(20261130)  # noqa: S311 -- to be repeated, not to be secret
    for path in sorted((VECTORS / "valid").glob("*.rnc")):
        if json.loads(path.with_suffix(".json").read_text())["weights"] not in (
            "complete.safetensors",
            "odd.safetensors",
        ):
            continue  # of another family
        (tmp_path / f"{path.stem}-whole").write_bytes(path.read_bytes())
        for number in range(DAMAGED_COPIES):
            (tmp_path / f"{path.stem}-{number}").write_bytes(damaged(path.read_bytes(), random))
    for path in sorted((VECTORS / "invalid").glob("*.rnc")):
        (tmp_path / f"invalid-{path.stem}").write_bytes(path.read_bytes())
    for path in sorted((ROOT / "fuzz" / "regressions").glob("*/*")):
        (tmp_path / f"regression-{path.parent.name}-{path.name}").write_bytes(path.read_bytes())
    for number, (_, data) in enumerate(SEVERAL_FAULTS.values()):
        (tmp_path / f"several-{number}").write_bytes(data)
    command = ["node", str(ROOT / "web" / "tools" / "decode.js"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    expected = {path.name: verdict(path.read_bytes()) for path in sorted(tmp_path.iterdir())}

    assert json.loads(done.stdout) == expected
    assert set(expected.values()) == {"valid", *FAULTS.values()}
