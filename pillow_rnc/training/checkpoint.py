"""Checkpoints: folders of small safetensors files and one JSON file; a kill never destroys the previous one.

A checkpoint is ``step-NNNNNNNN/`` with ``model``, ``average``, ``moment1``, ``moment2`` (each a safetensors file of the
parameters' size) and ``state.json``, which names the SHA-256 of each. The folder is complete once it has its final
name. The newest two are kept; if one is damaged, that is logged and the previous one is used.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from safetensors.torch import load, save

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

_log = logging.getLogger(__name__)
_PARTS = ("model", "average", "moment1", "moment2")
_KEPT = 2
_OF_STATE = "sha256_of_state"


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Parameters, their average and the moments of the optimizers by parameter name, and the counters of the run.

    Matrices that Muon updates have the first moment alone.
    """

    model: dict[str, Tensor]
    average: dict[str, Tensor]
    moment1: dict[str, Tensor]
    moment2: dict[str, Tensor]
    state: dict[str, Any]


class DamagedCheckpointError(ValueError):
    """A checkpoint is incomplete or its bytes differ from its digests."""


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write a checkpoint, then remove all but this one and the previous one.

    A complete checkpoint of the same step is left as it is, so that a kill can destroy it at no moment.

    Raises:
        OSError: The disk is full or refuses; earlier checkpoints are untouched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{checkpoint.state['step']:08d}"
    if final.exists() and _is_complete(final):
        return final
    temporary = folder / (final.name + ".part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    digests = {}
    try:
        for part in _PARTS:
            data = save({k: v.detach().cpu().contiguous() for k, v in getattr(checkpoint, part).items()})
            digests[part] = hashlib.sha256(data).hexdigest()
            _write_through(temporary / f"{part}.safetensors", data)
        state = {**checkpoint.state, "sha256": digests}
        text = json.dumps({**state, _OF_STATE: _digest_of_state(state)}, indent=1)
        _write_through(temporary / "state.json", text.encode())
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(final, ignore_errors=True)
    temporary.rename(final)
    for path in _newest_first(folder):
        if path > final:  # damaged, or of an abandoned line of training: it must not count as the newest
            _set_aside(path)
    for old in _newest_first(folder)[_KEPT:]:
        shutil.rmtree(old)
    return final


def _set_aside(path: Path) -> None:
    """Rename a checkpoint that is not to be used, so that it can still be inspected; keep the last one only."""
    aside = path.parent / "set-aside"
    shutil.rmtree(aside, ignore_errors=True)
    path.rename(aside)


def _is_complete(path: Path) -> bool:
    try:
        _read(path)
    except (DamagedCheckpointError, OSError):
        return False
    return True


def _digest_of_state(state: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def read_newest(folder: Path) -> Checkpoint | None:
    """Return the newest complete checkpoint, or None if there is none; damaged ones are logged."""
    for path in _newest_first(folder):
        try:
            return _read(path)
        except (DamagedCheckpointError, OSError) as error:
            _log.warning("checkpoint %s is damaged, trying the previous one: %s", path, error)
    return None


def _newest_first(folder: Path) -> list[Path]:
    return sorted((p for p in folder.glob("step-*") if p.suffix != ".part"), reverse=True)


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path) -> Checkpoint:
    try:
        state = json.loads((path / "state.json").read_text(encoding="utf-8"))
        found, wanted = None, state.pop(_OF_STATE, None)  # older checkpoints have none
        if wanted is not None:
            found = _digest_of_state(state)
        digests = dict(state.pop("sha256"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{path / 'state.json'}: {error}"
        raise DamagedCheckpointError(msg) from error
    if found != wanted:
        msg = f"{path / 'state.json'}: SHA-256 {found}, expected {wanted}"
        raise DamagedCheckpointError(msg)
    parts = {}
    for part in _PARTS:
        data = (path / f"{part}.safetensors").read_bytes()
        found = hashlib.sha256(data).hexdigest()
        if found != digests.get(part):
            msg = f"{path / part}.safetensors: SHA-256 {found}, expected {digests.get(part)}"
            raise DamagedCheckpointError(msg)
        parts[part] = load(data)
    return Checkpoint(**parts, state=state)
