"""A weights file of the recurrent codec holds what its runtimes want."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from safetensors.numpy import load
from test_light_network import decode, encode, images, network_of

from pillow_rnc.entropy.model import EntropyModel
from pillow_rnc.models.config import lattice_passes
from pillow_rnc.models.recurrent.numpy_light import LightOperands, LightTiles
from pillow_rnc.training.checkpoint import Checkpoint, write_checkpoint
from pillow_rnc.training.recurrent.dense_entropy_network import DenseEntropyNetwork
from pillow_rnc.training.recurrent.light_export import main
from pillow_rnc.training.recurrent.light_recipe import LightRecipe

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from pillow_rnc.models.weights import Weights

RECIPE = LightRecipe(encoder_channels=8, decoder_channels=8, context_channels=8)
CONFIG = dataclasses.replace(RECIPE.config, passes=lattice_passes(32, groups=4))


@torch.no_grad()
def test_the_file_codes_and_shows_what_the_runs_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codec, entropy = network_of(CONFIG), DenseEntropyNetwork(CONFIG)
    state, choices = dict(codec.state_dict()), dataclasses.asdict(RECIPE)
    counters = {"step": 1, "choices": choices, "block_iterations": 1.0}
    write_checkpoint(tmp_path / "codec", Checkpoint(state, state, {}, {}, counters))
    parameters = dict(entropy.state_dict())
    table = json.loads(CONFIG.to_json()) | {"decoder_steps": 2}  # as runs of before draft 7 have it
    del table["family"]
    config = {"step": 1, "config": table}
    write_checkpoint(tmp_path / "entropy", Checkpoint(parameters, parameters, {}, {}, config))
    main(
        [
            "--codec",
            str(tmp_path / "codec"),
            "--entropy",
            str(tmp_path / "entropy"),
            "--out",
            str(tmp_path),
            "--release",
        ]
    )
    (path,) = tmp_path.glob("recurrent-*.safetensors")
    report = json.loads(capsys.readouterr().out)
    assert report["file"] == str(path)
    assert path.stem == "recurrent-" + report["sha256"][:12]
    (entry,) = json.loads((tmp_path / "MANIFEST.json").read_text())["models"]
    assert (entry["name"], entry["file"], entry["sha256"]) == ("recurrent", path.name, report["sha256"])
    record = json.loads(path.with_suffix(".json").read_text())
    assert (record["recipe"]["name"], record["block_iterations"]) == ("recurrent", 1.0)

    tensors = load(path.read_bytes())
    model = EntropyModel.from_tensors(tensors, CONFIG.passes)
    assert (model.code_channels, model.iterations) == (32, 16)
    floats = {name: tensor for name, tensor in tensors.items() if name.startswith("network.")}
    weights = cast("Weights", SimpleNamespace(name="tiny", config=CONFIG, tensors=floats))
    tiles = LightTiles(LightOperands(weights, CONFIG), 2, 32, 32)
    pixels = images().round()
    tiles.set_target(pixels.permute(0, 2, 3, 1).byte().numpy())
    codes = encode(codec, codec.transform(pixels), 1)
    assert np.array_equal(tiles.encode(), (codes[0] > 0).byte().numpy())
    wanted = codec.transform.inverse(decode(codec, codes)).permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(tiles.pixels(), wanted, atol=0.02)
