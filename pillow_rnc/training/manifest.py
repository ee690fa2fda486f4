"""Weights files, the manifest of the released ones, `MANIFEST.json`, and the training records beside them."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import TYPE_CHECKING

from pillow_rnc.models.weights import load, register
from pillow_rnc.plugin.file_io import atomic_write

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MANIFEST = "MANIFEST.json"
_DIGEST_LETTERS = 12


def write_weights(folder: Path, name: str, data: bytes) -> Path:
    """Write a weights file, whose name ends with the start of its SHA-256, and load it once as a check.

    Raises:
        OSError: The file cannot be written; nothing of it is left.
        WeightsError: The model breaks a rule of the format.
    """
    path = folder / f"{name}-{hashlib.sha256(data).hexdigest()[:_DIGEST_LETTERS]}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(path, data)
    load(register(path).model_id)
    return path


def enter(path: Path, name: str, record: Mapping[str, object], *, is_default: bool) -> None:
    """Enter a weights file in the manifest of its folder, and write its training record beside it.

    Args:
        path: The weights file, in the folder of released weights.
        name: Name of the model.
        record: The training record, values that JSON can hold.
        is_default: Whether it comes first, which makes it the default, or after the default and before all others.
    """
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    _write_json(path.with_suffix(".json"), record)
    manifest = path.parent / _MANIFEST
    models = json.loads(manifest.read_text(encoding="utf-8"))["models"] if manifest.exists() else []
    others = [entry for entry in models if entry["sha256"] != sha256]
    dates = {entry["sha256"]: entry["date"] for entry in models}
    date = dates.get(sha256, dt.datetime.now(dt.timezone.utc).date().isoformat())
    entry = {"name": name, "file": path.name, "sha256": sha256, "date": date}
    place = 0 if is_default else 1  # a name without its date stands for the first model of that name
    entries = [*others[:place], entry, *others[place:]]
    _write_json(manifest, {"models": entries})


def _write_json(path: Path, value: Mapping[str, object]) -> None:
    atomic_write(path, (json.dumps(value, indent=1) + "\n").encode())
