"""A recipe, photographs and starts small enough that a training step takes milliseconds."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from tiny_codec import CONFIG

from pillow_rnc.training import loop
from pillow_rnc.training.embedded import model, start
from pillow_rnc.training.embedded.start import greedy_schedule
from pillow_rnc.training.recipe import Recipe

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from numpy.typing import NDArray
    from torch import Tensor

    from pillow_rnc.models.embedded.network import EmbeddedNetwork
    from pillow_rnc.training.start import Start

_starts: dict[tuple[object, ...], tuple[dict[str, Tensor], Start]] = {}


def schedule_once(network: EmbeddedNetwork, coefficients: Tensor, first_step: float, last_step: float) -> Start:
    """Do what `greedy_schedule` does, which takes many seconds, but only once for the same coefficients."""
    key = (network.config, first_step, last_step, coefficients.numpy(force=True).tobytes())
    if key not in _starts:
        found = greedy_schedule(network, coefficients, first_step, last_step)
        changed = network.quantizer.state_dict(prefix="quantizer.") | {"log_gain": network.log_gain.detach()}
        _starts[key] = deepcopy((changed, found))
    changed, found = deepcopy(_starts[key])
    network.load_state_dict(changed, strict=False)
    with torch.no_grad():
        network.decoder.zero_output()
    return found


def quicken_starts(monkeypatch: pytest.MonkeyPatch, crops: int = 4) -> None:
    """Let runs start from a few crops, and from the same ones only once: that is the slowest part of a short run."""
    monkeypatch.setattr(loop, "_START_CROPS", crops)
    monkeypatch.setattr(start, "_FIRST_STEPS", (1,))
    monkeypatch.setattr(model, "greedy_schedule", schedule_once)


def tiny_recipe(**changes: Any) -> Recipe:  # noqa: ANN401 -- fields of the recipe
    """Return a recipe of 4 iterations and 8 channels; ``changes`` are its fields."""
    values: dict[str, Any] = {
        "name": "tiny", "block_iterations": 1e6, "batch": 2, "crop_px": 32, "warmup_steps": 2, "ms_ssim_iterations": 2,
        "entropy_only_steps": 1, "codec_ramp_steps": 2, "train_encoder": True, "model": CONFIG,
    }  # fmt: skip
    return Recipe(**(values | changes))


def photograph(seed: int, width: int = 96, height: int = 80) -> NDArray[np.uint8]:
    """Return pixels uint8 [height, width, 3] with gradients, an edge and noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / rng.uniform(3, 20) + y / rng.uniform(3, 20)) for _ in range(3)]
    edge = 60.0 * (x + y > rng.uniform(40, 120))
    planes = [128 + 70 * wave + edge + rng.normal(0, 4, wave.shape) for wave in waves]
    pixels: NDArray[np.uint8] = np.clip(np.stack(planes, 2), 0, 255).astype(np.uint8)
    return pixels


def write_photographs(folder: Path, count: int = 4) -> Path:
    """Write lossless photographs into a folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.fromarray(photograph(index)).save(folder / f"sample-{index}.png")
    return folder
