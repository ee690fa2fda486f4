"""A model gets further iterations: what it had stays as it was, and what is new is scheduled and learned."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from safetensors.numpy import load_file
from tiny_codec import CONFIG
from tiny_training import photograph, tiny_recipe, write_photographs

import pillow_rnc
from pillow_rnc.models.config import RecurrentConfig
from pillow_rnc.training.crops import CropSampler
from pillow_rnc.training.embedded import extend, start
from pillow_rnc.training.embedded.model import EmbeddedModel
from pillow_rnc.training.embedded.start import greedy_schedule
from pillow_rnc.training.export import weights_bytes
from pillow_rnc.training.families import make_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow

KNOWN, ITERATIONS = CONFIG.iterations, CONFIG.iterations + 2


@pytest.fixture(scope="module", autouse=True)
def _one_step() -> Iterator[None]:
    """Try one step for each coefficient: that of several is slow, and no matter of an extension."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("_FIRST_STEPS", "_LATE_STEPS"):
            patch.setattr(start, name, (1,))
        yield


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a weights file, and the one that the command makes of it."""
    folder = tmp_path_factory.mktemp("extend")
    torch.manual_seed(4)
    photographs = write_photographs(folder / "photographs", 5)
    for index in range(3):
        with Image.open(photographs / f"sample-{index}.png") as opened:
            opened.resize((160, 144)).save(photographs / f"sample-{index}.png")
    recipe = tiny_recipe()
    model = make_model(recipe)
    assert isinstance(model, EmbeddedModel)
    with Image.open(photographs / "sample-0.png") as opened:
        pixels = torch.from_numpy(np.array(opened.resize((96, 80)))).permute(2, 0, 1)[None].float()
    greedy_schedule(model.network, model.network.transform(pixels).detach(), 120.0, 30.0)
    old, new = folder / "old.safetensors", folder / "new.safetensors"
    old.write_bytes(weights_bytes(model))
    retired = {"network": "light", "paper_divisor": 1}
    old.with_suffix(".json").write_text(json.dumps({"recipe": recipe.as_dict() | retired}))
    arguments = [str(old), "--data", str(photographs), "--out", str(new), "--iterations", str(ITERATIONS)]
    extend.main([*arguments, "--minutes", "0.02", "--steps", "25", "8"])
    return old, new


def test_tensors_of_the_known_iterations_are_unchanged(files: tuple[Path, Path]) -> None:
    old, new = map(load_file, files)

    assert old.keys() == new.keys()
    for name, tensor in old.items():
        assert np.array_equal(new[name][: len(tensor)] if tensor.ndim else new[name], tensor), name


def test_new_iterations_are_scheduled_and_learned(files: tuple[Path, Path]) -> None:
    tensors = load_file(files[1])

    assert tensors["network.quantizer.level"].shape[0] == ITERATIONS
    assert (tensors["network.quantizer.step"][KNOWN:] > 0).any(1).all()
    assert np.ptp(tensors["network.log_gain"][KNOWN - 1 :]) == 0
    assert tensors["entropy.output.bias"][KNOWN:].any()


def test_learning_saves_bits_and_leaves_what_is_known(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extend, "_WARMUP_STEPS", 1)
    torch.manual_seed(5)
    model, learned = extend.extended(tiny_recipe(), safetensors.torch.load_file(files[0]), ITERATIONS)
    sampler = CropSampler([photograph(seed) for seed in range(3)], crop_px=48, seed=1)
    pixels = sampler.batch(0, 4)
    extend.schedule(model, pixels, KNOWN, 25.0, 8.0)
    before = extend.new_bits(model, pixels, KNOWN).item()
    known = [part.parameter[: part.known].clone() for part in learned]
    steps = extend.learn(model, learned, sampler, KNOWN, 3.0)

    assert steps > 1
    assert extend.new_bits(model, pixels, KNOWN).item() < before
    for part, values in zip(learned, known, strict=True):
        assert torch.equal(part.parameter[: part.known], values)


def test_files_of_both_models_show_the_same_and_more_iterations_show_more(files: tuple[Path, Path]) -> None:
    names = [pillow_rnc.register_model(file).name for file in files]
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(60, 200, (40, 56, 3), dtype=np.uint8))
    folder = files[0].parent

    def shown(name: str, iterations: int) -> np.ndarray:
        image.save(folder / "a.rnc", model=name, iterations=iterations)
        with Image.open(folder / "a.rnc") as opened:
            return np.asarray(opened).astype(float)

    before, after = (shown(name, KNOWN) for name in names)
    error, last = (np.square(pixels - image).mean() for pixels in (after, shown(names[1], ITERATIONS)))

    assert np.array_equal(before, after)
    assert last < error


def test_what_cannot_be_extended_is_named() -> None:
    with pytest.raises(ValueError, match=f"has {KNOWN} iterations, give more"):
        extend.extended(tiny_recipe(), {}, KNOWN)
    recurrent = dataclasses.replace(tiny_recipe(), model=RecurrentConfig(iterations=4))
    with pytest.raises(ValueError, match="recurrent family cannot be extended"):
        extend.extended(recurrent, {}, 5)
