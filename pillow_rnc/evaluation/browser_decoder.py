"""The decoder for browsers, and weights, as elements of a page that works without network.

The script and the modules are built in `web/`; the wheel holds copies of them.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import TYPE_CHECKING

from pillow_rnc.errors import RncError
from pillow_rnc.models import weights
from pillow_rnc.models.embedded.numpy_weights import can_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pillow_rnc.models.weights import Release

SCRIPT = "page-decoder.js"
MODULES = ("rnc.wasm", "rnc-simd.wasm", "rnc-relaxed.wasm")
_PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (_PACKAGE / "_web", _PACKAGE.parent / "web" / "dist")  # of a wheel, of a checkout


def can_decode(model_id: bytes) -> bool:
    """Return whether the decoder knows models of this kind: those of the embedded family that NumPy can run.

    Raises:
        UnsupportedError: No installed model has this id.
        WeightsError: The weights are missing or altered.
    """
    return can_run(weights.load(model_id).config)


def decoder_elements(models: Iterable[Release]) -> Iterator[bytes]:
    """Yield the elements that hold the decoder and the weights of models, nothing if there are no models.

    Raises:
        OSError: Weights cannot be read.
        RncError: The decoder is not installed.
    """
    models = tuple(models)
    if not models:
        return
    yield b'<script type="text/plain" id="decoder">\n' + _read(SCRIPT) + b"</script>\n"
    for name in MODULES:
        yield _element(f'id="{name}"', _read(name))
    for release in models:
        yield _element(f'class="weights" data-model="{release.model_id.hex()}"', release.path.read_bytes())


def _element(attributes: str, data: bytes) -> bytes:
    return f'<script type="text/plain" {attributes}>'.encode() + base64.b64encode(data) + b"</script>\n"


def _read(name: str) -> bytes:
    for folder in _FOLDERS:
        if (folder / name).is_file():
            return (folder / name).read_bytes()
    raise RncError(
        f"the decoder for browsers is missing, {name} is neither in {_FOLDERS[0]} nor in {_FOLDERS[1]}: "
        "install pillow-rnc from a wheel, or run web/build.py of a checkout"
    )
