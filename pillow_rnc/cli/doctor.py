"""``rnc doctor``: what is installed and registered, and which problems there are."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import sys
import time
from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image

from pillow_rnc.cli import autoload
from pillow_rnc.entropy.kernel import library
from pillow_rnc.errors import RncError, WeightsError
from pillow_rnc.models import weights
from pillow_rnc.plugin.format_names import EXTENSION, FORMAT
from pillow_rnc.plugin.handlers import open_file
from pillow_rnc.plugin.opening import open_image

if TYPE_CHECKING:
    from pillow_rnc.cli.reporting import Record

_LIBRARIES = ("pillow-rnc", "pillow", "numpy", "cffi", "construct", "threadpoolctl")
_LIBRARIES_WITHOUT_KERNEL = ("constriction",)
_OPTIONAL_LIBRARIES = ("torch",)
_IMAGE_SIZE = (96, 64)


def examine(*, run: bool = False) -> Record:
    """Return versions, models, registration, autoload, and a list of problems, which is empty if there are none.

    Args:
        run: Also encode and decode a small image on each device, which loads torch if it is installed.
    """
    problems: list[str] = []
    record: Record = {
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        **_versions(problems),
        "kernel": library.describe(),
        "registered": _is_registered(problems),
        "models": _models(problems),
        "autoload": _autoload_state(problems),
    }
    if run:
        record["seconds"] = _seconds_by_device(problems)
    return record | {"problems": problems}


def _versions(problems: list[str]) -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    required = _LIBRARIES if library.supported() else (*_LIBRARIES, *_LIBRARIES_WITHOUT_KERNEL)
    for name in (*_LIBRARIES, *_LIBRARIES_WITHOUT_KERNEL, *_OPTIONAL_LIBRARIES):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
            if name in required:
                problems.append(f"{name} is not installed")
    return versions


def _is_registered(problems: list[str]) -> bool:
    opens = FORMAT in Image.OPEN and Image.OPEN[FORMAT][0] is open_file
    registered = opens and FORMAT in Image.SAVE and Image.EXTENSION.get(EXTENSION) == FORMAT
    if not registered:
        problems.append(f"another plugin has taken {FORMAT} or {EXTENSION} in Pillow")
    return registered


def _models(problems: list[str]) -> dict[str, str]:
    try:
        models = {release.name: release.model_id.hex() for release in weights.releases()}
    except WeightsError as error:
        problems.append(str(error))
        return {}
    if not models:
        problems.append("no weights are installed")
    return models


def _autoload_state(problems: list[str]) -> str:
    status = autoload.status()
    if not status["files"]:
        return "disabled"
    if not status["works"]:
        problems.append(f"autoload in {status['folder']} does not work, repair it with: rnc autoload enable")
    elif not (status["current"] and status["enabled"]):
        problems.append(f"autoload in {status['folder']} is of another version, update it with: rnc autoload enable")
    return "enabled"


def _devices_of_torch() -> list[str]:
    if importlib.util.find_spec("torch") is None:
        return []
    import torch

    devices = ["cpu:0", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    return [*devices, "mps"] if torch.backends.mps.is_available() else devices


def _seconds_by_device(problems: list[str]) -> dict[str, float]:
    """Return the seconds to encode and decode a small image, by device."""
    image = Image.linear_gradient("L").resize(_IMAGE_SIZE).convert("RGB")
    seconds: dict[str, Any] = {}
    for device in ("cpu", *_devices_of_torch()):
        start = time.perf_counter()
        encoded = BytesIO()
        try:
            image.save(encoded, FORMAT, device=device)
            open_image(encoded, device=device).load()
        except (RncError, RuntimeError, ImportError) as error:
            problems.append(f"device {device}: {error}")
        else:
            seconds[device] = round(time.perf_counter() - start, 3)
    return seconds
