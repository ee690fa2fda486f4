"""``python -m pillow_rnc.training.convert OLD.safetensors --to weights``: bring a model of draft 6 up to version 1.0.

Renames the tensors and configuration keys of a weights file of an earlier draft of the format; no value changes. The
record, the model card and the list of crops that stand beside the old file are copied under the new name, and the new
model is entered first in the manifest. If the old file lies in the same folder, the new model replaces it.
Files that name the old model have another model id, and are to be encoded again.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

from safetensors.numpy import load, save

from pillow_rnc.plugin.file_io import atomic_write

_MANIFEST = "MANIFEST.json"
_DIGEST_LETTERS = 12
_RENAMED_PREFIXES = {
    "entropy.tally.": "entropy.accumulator.",
    "entropy.tally_input.": "entropy.accumulator_input.",
    "entropy.tally_output.": "entropy.accumulator_output.",
    "network.quantiser.": "network.quantizer.",
    "network.decoder.sight.": "network.decoder.midpoint_projection.",
    "network.decoder.width.": "network.decoder.half_width_projection.",
}
"""Prefixes of tensor names in drafts up to 6, and those of draft 7."""
_DRAFT_6_DEFAULTS = {
    "cell": "gru",
    "framework": "embedded",
    "iterations": 16,
    "code_channels": 64,
    "code_stride": 8,
    "encoder_channels": 96,
    "decoder_channels": 96,
    "context_channels": 96,
    "decoder_steps": 2,
    "separable": True,
    "entropy_state_channels": 32,
    "entropy_hidden_channels": 48,
    "passes": [[2, 0, 32], [3, 0, 32], [1, 0, 32]],
}
"""What a configuration of draft 6 leaves out."""


def converted(data: bytes) -> bytes:
    """Return the bytes of a weights file of this draft; those of such a file are returned unchanged.

    Args:
        data: A weights file of draft 6 or later.

    Raises:
        SafetensorError: It is not a safetensors file.
        KeyError: It has no model configuration.
    """
    config = _config(data)
    tensors = {_converted_name(name): tensor for name, tensor in load(data).items()}
    return save(tensors, metadata={"config": json.dumps(_converted_config(config), sort_keys=True)})


def convert(source: Path, folder: Path, name: str, date: dt.date) -> Path:
    """Convert a weights file and what stands beside it, and enter the model in the manifest; return the new file.

    Args:
        source: The old weights file, with its record `.json` and card `.md` beside it if it has any.
        folder: Folder of released weights.
        name: Name of the model; must tell it from all others.
        date: When the model was first released.

    Raises:
        OSError: A file cannot be read or written.
    """
    data = converted(source.read_bytes())
    sha256 = hashlib.sha256(data).hexdigest()
    path = folder / f"{name}-{sha256[:_DIGEST_LETTERS]}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    record, card, crops = source.with_suffix(".json"), source.with_suffix(".md"), f"crops/{source.stem}.json"
    companions: dict[Path, str] = {}
    if record.exists():
        table = json.loads(record.read_text(encoding="utf-8"))
        table["recipe"] |= {"name": name, "model": _converted_config(table["recipe"]["model"])}
        companions[path.with_suffix(".json")] = json.dumps(table, indent=1) + "\n"
    if card.exists():
        companions[path.with_suffix(".md")] = card.read_text(encoding="utf-8").replace(source.stem, path.stem)
    if (source.parent / crops).exists():
        companions[folder / "crops" / f"{path.stem}.json"] = (source.parent / crops).read_text(encoding="utf-8")
    replaced = [source, record, card, source.parent / crops] if source.parent.resolve() == folder.resolve() else []
    atomic_write(path, data)
    for companion, text in companions.items():
        companion.parent.mkdir(exist_ok=True)
        companion.write_text(text, encoding="utf-8", newline="\n")
    written = {one.resolve() for one in (path, *companions)}
    for old in replaced:  # last: an error before leaves the old model as it was
        if old.resolve() not in written:
            old.unlink(missing_ok=True)
    manifest = folder / _MANIFEST
    models = json.loads(manifest.read_text(encoding="utf-8"))["models"] if manifest.exists() else []
    others = [entry for entry in models if entry["file"] not in (path.name, *(old.name for old in replaced))]
    entry = {"name": name, "file": path.name, "sha256": sha256, "date": date.isoformat()}
    manifest.write_text(json.dumps({"models": [entry, *others]}, indent=1) + "\n", encoding="utf-8", newline="\n")
    return path


def _config(data: bytes) -> dict[str, Any]:
    """Return the configuration of a weights file as it stands there."""
    description = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    config: dict[str, Any] = json.loads(description["__metadata__"]["config"])
    return config


def _converted_name(name: str) -> str:
    for old, new in _RENAMED_PREFIXES.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _converted_config(table: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of this draft, all fields stated; one that is of this draft is returned unchanged."""
    if "family" in table:
        return table
    full = {**_DRAFT_6_DEFAULTS, **table}
    if full["framework"] == "embedded":
        dropped, added = {"framework", "encoder_channels"}, {"family": "embedded"}
    else:
        dropped, added = {"decoder_steps"}, {"family": "recurrent", "network": "light"}
    return added | {name: value for name, value in full.items() if name not in dropped}


def main(arguments: list[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m pillow_rnc.training.convert", description=__doc__)
    parser.add_argument("weights", type=Path, help="weights file of an earlier draft")
    parser.add_argument("--to", type=Path, required=True, help="folder of released weights")
    parser.add_argument(
        "--date",
        type=dt.date.fromisoformat,
        default=dt.datetime.now(dt.timezone.utc).date(),
        help="of the first release; default: today",
    )
    parser.add_argument("--name", help="name of the model; default: its family and the date")
    args = parser.parse_args(arguments)
    name = args.name or f"{_converted_config(_config(args.weights.read_bytes()))['family']}-{args.date:%Y%m%d}"
    print(convert(args.weights, args.to, name, args.date))


if __name__ == "__main__":
    main()
