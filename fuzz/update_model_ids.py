"""Bring golden files and seeds up to date with converted models: python fuzz/update_model_ids.py

Run it after `python -m pillow_rnc.training.convert` has converted the default model. It converts the small model of
`tests/golden` too, and writes the ids of both new models into the golden files and the seeds of `corpus/`. Payloads do
not change, only `Model_Id`, `Codes_Crc`, which covers it, and the checksums of chunks. The golden file of the released
model is renamed after its model and keeps the digest of its codes. Running it again changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from mutator import join, opened, sealed, split

from pillow_rnc.container.chunks import unpack_head
from pillow_rnc.container.records import HEAD_TYPE, MODEL_ID_BYTES
from pillow_rnc.training.convert import converted

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"
DIGESTS = GOLDEN / "codes.json"
CORPUS = ROOT / "fuzz" / "corpus"
_DIGEST_LETTERS = 12


def with_model_id(data: bytes, model_id: bytes) -> bytes:
    """Return a file, complete or not, with another model id and everything that depends on it."""
    chunks, rest = split(data)
    chunks = opened(chunks)
    chunk_type, head = chunks[0]
    return join(sealed([(chunk_type, head[:-MODEL_ID_BYTES] + model_id), *chunks[1:]]), rest)


def model_id_of(data: bytes) -> bytes:
    """Return the model id of a file; no bytes if it has no header."""
    chunks, _ = split(data)
    return unpack_head(chunks[0][1]).model_id if chunks and chunks[0][0] == HEAD_TYPE else b""


def update_tiny() -> int:
    """Convert the small model, and update the files that name it; return how many."""
    path = GOLDEN / "tiny.safetensors"
    old = path.read_bytes()
    path.write_bytes(converted(old))
    old_id, new_id = (hashlib.sha256(data).digest()[:MODEL_ID_BYTES] for data in (old, path.read_bytes()))
    files = [*GOLDEN.glob("*.rnc"), *(CORPUS / "container").iterdir(), *(CORPUS / "plugin").iterdir()]
    named = [file for file in files if model_id_of(file.read_bytes()) == old_id != new_id]
    for file in named:
        file.write_bytes(with_model_id(file.read_bytes(), new_id))
    return len(named)


def update_released() -> int:
    """Update the golden file of the released model if its model is gone from the manifest; return how many."""
    models = json.loads((ROOT / "weights" / "MANIFEST.json").read_text(encoding="utf-8"))["models"]
    ids = [bytes.fromhex(model["sha256"])[:MODEL_ID_BYTES] for model in models]
    stale = [path for path in GOLDEN.glob("released-*.rnc") if model_id_of(path.read_bytes()) not in ids]
    if len(stale) > 1:
        raise SystemExit(f"{', '.join(path.name for path in stale)}: more than one model is gone, update these by hand")
    for path in stale:
        new = path.with_name(f"released-{models[0]['sha256'][:_DIGEST_LETTERS]}.rnc")
        new.write_bytes(with_model_id(path.read_bytes(), ids[0]))
        path.unlink()
        path.with_suffix(".png").rename(new.with_suffix(".png"))
        digests = json.loads(DIGESTS.read_text(encoding="utf-8"))
        digests[new.name] = digests.pop(path.name)
        DIGESTS.write_text(json.dumps(digests, indent=1, sort_keys=True) + "\n", encoding="utf-8", newline="\n")
    return len(stale)


def main() -> int:
    print(f"{update_tiny()} files of the small model updated, {update_released()} of the released model")
    return 0


if __name__ == "__main__":
    sys.exit(main())
