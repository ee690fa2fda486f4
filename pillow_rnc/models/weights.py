"""Find, verify and load the weights of a model.

Released weights are safetensors files, listed with their SHA-256 in ``MANIFEST.json``. The header of an image
file names its model by the first 8 bytes of that digest, so weights are never mistaken for others. Nothing is
downloaded, nothing is unpickled. Loading needs numpy but not torch: the codes of a file can be decoded without torch.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pillow_rnc.container.records import MODEL_ID_BYTES
from pillow_rnc.errors import RncOptionError, UnsupportedError, WeightsError
from pillow_rnc.fork_safety import ForkLock, importing
from pillow_rnc.models.config import config_from_json

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from pillow_rnc.container.records import Header
    from pillow_rnc.entropy.model import EntropyModel
    from pillow_rnc.models.config import ModelConfig

DEFAULT = "auto"
"""The name that stands for the first model of the manifest."""
_MANIFEST = "MANIFEST.json"


@dataclass(frozen=True, slots=True)
class Release:
    """A weights file that can be named: its name, its path, its SHA-256 in hexadecimal, and its date if known."""

    name: str
    path: Path
    sha256: str
    date: str | None = None

    @property
    def model_id(self) -> bytes:
        """First 8 bytes of the digest, as the header of an image file holds them."""
        return bytes.fromhex(self.sha256)[:MODEL_ID_BYTES]

    @property
    def name_without_date(self) -> str:
        """The name of "recurrent-20261130", of that day, is "recurrent"; so is that of "recurrent-20261130b"."""
        date = self.date.replace("-", "") if self.date else None
        return re.sub(f"-{date}[a-z]?$", "", self.name)


@dataclass(frozen=True, slots=True)
class Weights:
    """A verified model: its names, its configuration, its float tensors and its entropy network."""

    name: str
    model_id: bytes
    config: ModelConfig
    tensors: dict[str, NDArray[Any]]
    entropy_model: EntropyModel


_registered: dict[bytes, Release] = {}
_lock = ForkLock()


def register(path: str | os.PathLike[str]) -> Release:
    """Make a weights file known to this process, under its file name without suffix.

    Raises:
        WeightsError: The file cannot be read.
    """
    path = Path(path)
    release = Release(path.stem, path, hashlib.sha256(_read(path)).hexdigest())
    with _lock:
        _registered.pop(release.model_id, None)  # last again: a dict keeps the place of a key that it has
        _registered[release.model_id] = release
    return release


def releases() -> tuple[Release, ...]:
    """Return all models that can be named: those of the manifest, the default first, then registered ones."""
    with _lock:
        return (*_manifest(), *_registered.values())


def find(model: str | bytes) -> Release:
    """Return the release of a name (or ``"auto"``), or of the 8-byte model id of a file.

    A name may leave out the date at its end: it then stands for the newest release of that name.

    Raises:
        RncOptionError: No model has this name; the message lists the names.
        UnsupportedError: No model has this id; the message lists the known ids.
        WeightsError: No weights are installed at all.
    """
    known = releases()
    if not known:
        msg = "no weights are installed"
        raise WeightsError(msg)
    if isinstance(model, bytes):
        for release in known:
            if release.model_id == model:
                return release
        msg = f"model {model.hex()} is unknown, installed are {', '.join(r.model_id.hex() for r in known)}"
        raise UnsupportedError(msg)
    if model == DEFAULT:
        return known[0]
    with _lock:
        own = reversed(tuple(_registered.values()))
    for release in (*own, *_manifest()):  # the last registered wins, then the last released
        if model in (release.name, release.name_without_date, release.model_id.hex()):
            return release
    names = dict.fromkeys([DEFAULT, *(r.name_without_date for r in known), *(r.name for r in known)])  # each once
    msg = f"model {model!r} is unknown, allowed are {', '.join(names)}"
    raise RncOptionError(msg)


def load(model: str | bytes) -> Weights:
    """Return the verified weights of a name or model id; loaded once in a process.

    Raises:
        RncOptionError: No model has this name.
        UnsupportedError: No model has this id.
        WeightsError: The file is missing, altered, or not those of a valid model.
    """
    release = find(model)
    with _lock:
        return _load(release)


def weights_for(header: Header) -> Weights:
    """Return the weights of a file's model, once they are known to fit its header.

    Raises:
        UnsupportedError: No installed model has the file's id, or the header does not fit the model.
        WeightsError: The weights are missing or altered.
    """
    weights = load(header.model_id)
    config = weights.config
    found = (header.code_channels, header.code_stride)
    if found != (config.code_channels, config.code_stride) or header.iterations > config.iterations:
        msg = (
            f"{header.code_channels} code channels at stride {header.code_stride}, {header.iterations} iterations; "
            f"model {weights.name!r} has {config.code_channels} at {config.code_stride}, {config.iterations}"
        )
        raise UnsupportedError(msg)
    return weights


def check_iterations(iterations: int, weights: Weights) -> None:
    """Raise unless a model can encode this many iterations.

    Raises:
        RncOptionError: It has fewer, or they are not at least 1.
    """
    if not 1 <= iterations <= weights.config.iterations:
        msg = f"iterations {iterations} is not allowed, give 1 to {weights.config.iterations} for {weights.name!r}"
        raise RncOptionError(msg)


@cache
def _load(release: Release) -> Weights:
    with importing:
        import numpy as np

        from pillow_rnc.entropy.model import EntropyModel
        from pillow_rnc.models.tensor_file import read_tensor_file

    data = _read(release.path)
    digest = hashlib.sha256(data).hexdigest()
    if digest != release.sha256:
        msg = f"{release.path}: SHA-256 {digest}, expected {release.sha256}"
        raise WeightsError(msg)
    try:
        tensors, metadata = read_tensor_file(data)
    except ValueError as error:
        msg = f"{release.path}: not a weights file: {error}"
        raise WeightsError(msg) from error
    if "config" not in metadata:
        msg = f"{release.path}: holds no model configuration"
        raise WeightsError(msg)
    config = config_from_json(metadata["config"])
    floats = {name: tensor for name, tensor in tensors.items() if not name.startswith("entropy.")}
    for name, tensor in floats.items():
        if tensor.dtype != np.float32 or not np.isfinite(tensor).all():
            msg = f"{release.path}: tensor {name} must be finite float32"
            raise WeightsError(msg)
    entropy_model = EntropyModel.from_tensors(tensors, config.passes)
    found = _entropy_sizes(entropy_model)
    expected = {name: getattr(config, name) for name in found}
    if found != expected:
        msg = f"{release.path}: entropy network of sizes {found}, expected {expected}"
        raise WeightsError(msg)
    return Weights(release.name, release.model_id, config, floats, entropy_model)


def _entropy_sizes(model: EntropyModel) -> dict[str, int]:
    own = model.tensors
    return {
        "iterations": model.iterations,
        "code_channels": model.code_channels,
        "context_coded_channels": own.context_coded_channels,
        "entropy_state_channels": own.state_channels,
        "entropy_hidden_channels": own.hidden_channels,
    }


@cache
def _manifest() -> tuple[Release, ...]:
    folder = _folder()
    if folder is None:
        return ()
    try:
        entries = json.loads(_read(folder / _MANIFEST))
        return tuple(Release(e["name"], folder / e["file"], e["sha256"], e.get("date")) for e in entries["models"])
    except (ValueError, KeyError, TypeError) as error:
        msg = f"{folder / _MANIFEST} is damaged: {error}"
        raise WeightsError(msg) from error


def _folder() -> Path | None:
    """Return the folder of released weights: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_weights", package.parent / "weights"):
        if (folder / _MANIFEST).is_file():
            return folder
    return None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"weights {path} cannot be read: {error}"
        raise WeightsError(msg) from error
