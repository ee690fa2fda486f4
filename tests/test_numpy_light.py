"""The light network on 16x16 pixels in NumPy makes the codes and images of the one in torch."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import torch
from test_light_network import CONFIG, FRAMEWORKS, decode, encode, images, network_of

from pillow_rnc.errors import WeightsError
from pillow_rnc.models.config import EmbeddedConfig
from pillow_rnc.models.recurrent.light_network import LightNetwork
from pillow_rnc.models.recurrent.numpy_light import LightOperands, LightTiles, can_run_light

if TYPE_CHECKING:
    from pillow_rnc.models.config import Framework
    from pillow_rnc.models.recurrent.light_network import LightNetwork
    from pillow_rnc.models.weights import Weights


def weights_of(network: LightNetwork) -> Weights:
    """Return what a weights file would hold of a network."""
    tensors = {f"network.{name}": tensor.numpy() for name, tensor in network.state_dict().items()}
    return cast("Weights", SimpleNamespace(name="tiny", config=network.config, tensors=tensors))


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("size", [(16, 16), (48, 32), (208, 272)])
@torch.no_grad()
def test_codes_and_pixels_are_those_of_torch(framework: Framework, size: tuple[int, int]) -> None:
    network = network_of(dataclasses.replace(CONFIG, framework=framework))
    pixels = torch.nn.functional.interpolate(images(64), size=size, mode="bilinear").round()
    codes = encode(network, network.transform(pixels), CONFIG.iterations)
    operands = LightOperands(weights_of(network), network.config)
    encoder, follower, decoder = (LightTiles(operands, 2, *size) for _ in range(3))
    encoder.set_target(pixels.permute(0, 2, 3, 1).byte().numpy())
    alike = True
    for t in range(CONFIG.iterations):
        planes = (codes[t] > 0).byte().numpy()
        found = encoder.encode()
        follower.decode(found)
        assert np.array_equal(encoder.pixels(), follower.pixels())
        if alike and not np.array_equal(found, planes):  # a pre-activation so close to zero that rounding decides
            assert t > 0
            assert (found != planes).mean() < 0.02
            alike = False  # from here on the encoders have different residuals
        decoder.decode(planes)
        wanted = network.transform.inverse(decode(network, codes[: t + 1])).permute(0, 2, 3, 1).numpy()
        np.testing.assert_allclose(decoder.pixels(), wanted, atol=0.02)


def test_what_the_numpy_runtime_runs() -> None:
    assert can_run_light(CONFIG)
    changes: list[dict[str, Any]] = [{"cell": "lstm"}, {"code_stride": 8}, {"separable": False}, {"network": "paper"}]
    for change in changes:
        assert not can_run_light(dataclasses.replace(CONFIG, **change))
    assert not can_run_light(EmbeddedConfig())


def test_tensors_that_do_not_fit_the_configuration_are_refused_by_name() -> None:
    weights = weights_of(network_of())
    del cast("dict[str, object]", weights.tensors)["network.decoder.stem.weight"]
    with pytest.raises(WeightsError, match=r"decoder\.stem\.weight"):
        LightOperands(weights, CONFIG)
