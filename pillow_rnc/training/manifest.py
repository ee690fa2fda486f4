"""The manifest of released weights, `MANIFEST.json`, and the training records beside them."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MANIFEST = "MANIFEST.json"


def enter(path: Path, name: str, record: Mapping[str, object], *, is_default: bool) -> None:
    """Enter a weights file in the manifest of its folder, and write its training record beside it.

    Args:
        path: The weights file, in the folder of released weights.
        name: Name of the model.
        record: The training record, values that JSON can hold.
        is_default: Whether it comes first, which makes it the default, or after the default and before all others.
    """
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    manifest = path.parent / _MANIFEST
    models = json.loads(manifest.read_text(encoding="utf-8"))["models"] if manifest.exists() else []
    others = [entry for entry in models if entry["sha256"] != sha256]
    dates = {entry["sha256"]: entry["date"] for entry in models}
    date = dates.get(sha256, dt.datetime.now(dt.timezone.utc).date().isoformat())
    entry = {"name": name, "file": path.name, "sha256": sha256, "date": date}
    place = 0 if is_default else 1  # a name without its date stands for the first model of that name
    entries = [*others[:place], entry, *others[place:]]
    manifest.write_text(json.dumps({"models": entries}, indent=1) + "\n", encoding="utf-8")
