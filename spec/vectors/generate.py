"""Writes the test vectors: `cd spec; python -m vectors.generate [FOLDER]`.

Every file is written by this command and none is edited by hand; running it again writes the same bytes.
When a version is released, `python -m vectors.generate --release 1.0` copies a selection of the valid files to
`released/1.0`, which then never changes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reference_decoder import decode_alpha
from reference_network import samples
from vectors.assemble import read_model
from vectors.make_invalid import Fault, invalid_cases
from vectors.make_recurrent_weights import RECURRENT_CONFIGS, recurrent_weights
from vectors.make_valid import Case, valid_cases
from vectors.make_weights import complete_weights, odd_weights

if TYPE_CHECKING:
    from vectors.assemble import Entry

HERE = Path(__file__).parent
_SMALL_PIXELS = 400
"""Images of up to this many pixels have their samples in the sidecar."""


def generate(folder: Path) -> None:
    """Write weights, valid and invalid files."""
    weights = {"complete": complete_weights(), "odd": odd_weights()}
    weights |= {name: recurrent_weights(name) for name in RECURRENT_CONFIGS}
    models = {}
    for name, data in weights.items():
        (folder / f"{name}.safetensors").write_bytes(data)
        models[name] = read_model(data)
    _write(folder / "valid", [(case.name, case.draft.bytes(), _facts(case, weights)) for case in valid_cases(models)])
    _write(folder / "invalid", [(fault.name, fault.data, _faults(fault)) for fault in invalid_cases(models)])


def _write(folder: Path, files: list[tuple[str, bytes, dict[str, Any]]]) -> None:
    folder.mkdir(exist_ok=True)
    for old in (*folder.glob("*.rnc"), *folder.glob("*.json")):
        old.unlink()
    for name, data, facts in files:
        (folder / f"{name}.rnc").write_bytes(data)
        (folder / f"{name}.json").write_text(_text(facts), encoding="utf-8", newline="\n")
    if len({name for name, _, _ in files}) != len(files):
        raise ValueError("two files have one name")


def _text(facts: dict[str, Any]) -> str:
    """Return JSON with one line for each key."""
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in facts.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _facts(case: Case, weights: dict[str, bytes]) -> dict[str, Any]:
    draft, data = case.draft, case.draft.bytes()
    header = asdict(draft.header)
    header |= {"model_id": draft.header.model_id.hex(), "version": list(draft.header.version)}
    alpha = decode_alpha(data)
    facts = {
        "expect": "valid",
        "comment": case.comment,
        "weights": f"{case.weights}.safetensors",
        "header": header,
        "alpha_crc": None if alpha is None else f"{zlib.crc32(alpha):08x}",
        "segments": [[_segment(entry) for entry in unit] for unit in draft.units],
    }
    small = draft.header.width * draft.header.height <= _SMALL_PIXELS
    if case.weights in RECURRENT_CONFIGS or (case.weights == "complete" and small):
        facts["samples"] = samples(weights[case.weights], data)[1].hex()
    return facts


def _segment(entry: Entry) -> str:
    return f"{('entropy', 'raw', 'stopped')[entry.coding]} {entry.codes_crc:08x}"


def _faults(fault: Fault) -> dict[str, Any]:
    facts = {
        "expect": fault.expect,
        "comment": fault.comment,
        "weights": f"{fault.weights}.safetensors",
        "found_in": fault.found_in,
    }
    return facts | ({"complete_iterations": fault.complete_iterations} if fault.expect == "truncated" else {})


def release(version: str) -> None:
    """Copy a selection of the valid files, and the models, to the folder of a released version.

    Args:
        version: Name of the folder.

    Raises:
        FileExistsError: The version has been released.
    """
    folder = HERE / "released" / version
    folder.mkdir(parents=True)
    chosen = ["mode-L", "mode-RGBA", "grid-70x70-64-32", "raw-between", "stop-both-tiles", "chunk-all", "alpha-RGBA-3"]
    chosen += ["nothing", "schedule-noise", "odd-all-32", "drawn-100", "drawn-101"]
    chosen += [f"{name}-grid" for name in RECURRENT_CONFIGS]
    for name in chosen:
        for suffix in ("rnc", "json"):
            shutil.copyfile(HERE / "valid" / f"{name}.{suffix}", folder / f"{name}.{suffix}")
    for name in ("complete", "odd", *RECURRENT_CONFIGS):
        shutil.copyfile(HERE / f"{name}.safetensors", folder / f"{name}.safetensors")
    # Not CRC-32, which does not change with a chunk that contains its own correct CRC-32.
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.iterdir())]
    (folder / "SHA256").write_text("".join(lines), encoding="utf-8", newline="\n")


def main(arguments: list[str]) -> None:
    """Write the vectors, or copy a selection of them to a version."""
    if arguments[:1] == ["--release"]:
        release(arguments[1])
    else:
        folder = Path(arguments[0]) if arguments else HERE
        folder.mkdir(exist_ok=True)
        generate(folder)


if __name__ == "__main__":
    main(sys.argv[1:])
