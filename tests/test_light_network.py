"""The light network on 16x16 pixels: transform, steps, frameworks, and where training starts."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest
import torch

from pillow_rnc.errors import WeightsError
from pillow_rnc.models.config import CellName, Framework, RecurrentConfig
from pillow_rnc.models.recurrent.cosine_transform import CosineTransform
from pillow_rnc.models.recurrent.light_network import LightNetwork, folded, unfolded
from pillow_rnc.training.recurrent.light_model import LightModel, judged_iterations
from pillow_rnc.training.recurrent.light_start import measure_deviations, start_from_components

FRAMEWORKS = get_args(Framework)
CONFIG = RecurrentConfig(
    framework="residual_scaling",
    iterations=4,
    code_channels=8,
    code_stride=16,
    encoder_channels=12,
    decoder_channels=12,
    context_channels=16,
    passes=((0, 0, 8), (1, 0, 8)),
)
PAIRS = [(cell, framework) for cell in get_args(CellName) for framework in FRAMEWORKS]


def images(side: int = 32, count: int = 2, seed: int = 3) -> torch.Tensor:
    """Return smooth random images, [count, 3, side, side]."""
    small = torch.rand(count, 3, side // 8, side // 8, generator=torch.Generator().manual_seed(seed)) * 255
    return torch.nn.functional.interpolate(small, scale_factor=8, mode="bilinear")


def network_of(config: RecurrentConfig = CONFIG) -> LightNetwork:
    torch.manual_seed(5)
    network = LightNetwork(config)
    measure_deviations(network, [images(seed=s) for s in range(3)])
    if config.framework == "residual_scaling":
        torch.nn.init.normal_(network.gain.weight, std=0.3)
    return network


@torch.no_grad()
def encode(network: LightNetwork, target: torch.Tensor, iterations: int) -> torch.Tensor:
    """Return the bits +-1 of the first iterations, [iterations, N, bits, h / 2, w / 2]."""
    state, memory, planes = network.initial_state(len(target), *target.shape[2:]), None, []
    for weights in network.all_weights()[:iterations]:
        a, memory = network.encode_step(target, weights, state, memory)
        planes.append(network.binarizer(a))
        state = network.decode_step(planes[-1], weights, state)
    return torch.stack(planes)


@torch.no_grad()
def decode(network: LightNetwork, planes: torch.Tensor) -> torch.Tensor:
    """Return the coefficients after some iterations, [N, 192, h, w], from the bits that `encode` returns."""
    _, n, _, h, w = planes.shape
    state = network.initial_state(n, 2 * h, 2 * w)
    for t, bits in enumerate(planes):
        state = network.decode_step(bits, network.weights_of(t), state)
    return network.reconstruct(state, torch.full((n,), len(planes) - 1))


@pytest.mark.parametrize("lapped", [True, False])
def test_the_transform_and_its_inverse_give_the_pixels_back(lapped: bool) -> None:
    transform = CosineTransform(lapped=lapped)
    transform.deviation.uniform_(1, 30)
    pixels = images()
    torch.testing.assert_close(transform.inverse(transform(pixels)), pixels, atol=2e-3, rtol=0)


@pytest.mark.parametrize("lapped", [True, False])
def test_blocks_are_the_plain_dct_whatever_the_lapping_and_the_deviations(lapped: bool) -> None:
    transform, plain = CosineTransform(lapped=lapped), CosineTransform(lapped=False)
    transform.deviation.uniform_(1, 30)
    pixels = images()
    torch.testing.assert_close(transform.blocks(transform(pixels)), plain(pixels), atol=2e-2, rtol=0)


def test_folding_puts_the_cells_of_a_block_in_order_row_by_row_and_unfolding_undoes_it() -> None:
    x = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    blocks = folded(x)
    assert blocks.shape == (2, 12, 2, 3)
    torch.testing.assert_close(blocks[:, 3:6, 1, 2], x[:, :, 2, 5])  # first row, second column
    torch.testing.assert_close(unfolded(blocks), x)


@pytest.mark.parametrize(("cell", "framework"), PAIRS)
@torch.no_grad()
def test_the_decoder_alone_rebuilds_what_the_encoder_saw(cell: CellName, framework: Framework) -> None:
    network = network_of(dataclasses.replace(CONFIG, cell=cell, framework=framework))
    target = network.transform(images())
    state, memory = network.initial_state(2, 4, 4), None
    planes, seen = [], []
    for weights in network.all_weights():
        a, memory = network.encode_step(target, weights, state, memory)
        planes.append(network.binarizer(a))
        state = network.decode_step(planes[-1], weights, state)
        seen.append(state.reconstruction)
    codes = encode(network, target, CONFIG.iterations)
    assert codes.shape == (4, 2, 8, 2, 2)
    assert codes.abs().eq(1).all()
    assert torch.equal(codes, torch.stack(planes))
    for t, built in enumerate(seen):
        assert torch.equal(decode(network, codes[: t + 1]), built)


@torch.no_grad()
def test_a_shorter_encoding_is_the_beginning_of_a_longer_one() -> None:
    network = network_of()
    target = network.transform(images())
    assert torch.equal(encode(network, target, 2), encode(network, target, 4)[:2])


def test_associative_memory_is_for_the_decoder_alone() -> None:
    network = network_of(dataclasses.replace(CONFIG, cell="associative_lstm"))
    assert type(network.encoder.context).__name__ == "LSTMCell"
    assert type(network.decoder.context).__name__ == "AssociativeLSTMCell"


@torch.no_grad()
def test_the_gain_is_that_of_the_iteration_at_first_then_one_for_each_block_within_bounds() -> None:
    network = network_of()
    weights, state = network.all_weights(), network.initial_state(2, 4, 4)
    assert network.gain_map(weights[1], state).shape == (1, 1, 1, 1)
    state = network.decode_step(torch.ones(2, 8, 2, 2), weights[0], state)
    state = state._replace(features=100 * torch.randn(2, 12, 4, 4))
    factor = network.gain_map(weights[1], state) / weights[1].log_gain.exp()
    assert torch.equal(factor, factor[:, :, ::2, ::2].repeat_interleave(2, 2).repeat_interleave(2, 3))
    assert factor.log().abs().max() <= 3 + 1e-5
    assert factor.std() > 0


def test_code_cells_of_other_networks_are_refused() -> None:
    with pytest.raises(WeightsError, match="code_stride is 8"):
        LightNetwork(dataclasses.replace(CONFIG, code_stride=8))


@torch.no_grad()
def test_the_start_codes_principal_components_through_the_linear_paths() -> None:
    network = network_of(dataclasses.replace(CONFIG, framework="additive"))
    pixels = images(64, 8)
    shares = start_from_components(network, pixels)
    assert shares == sorted(shares, reverse=True)
    network.encoder.head.zero_()
    network.decoder.output.weight.zero_()
    target = network.transform(pixels)
    codes = encode(network, target, CONFIG.iterations)
    errors = [(target - decode(network, codes[: t + 1])).square().mean() for t in range(CONFIG.iterations)]
    assert errors[-1] < errors[0] < target.square().mean()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_gradients_reach_every_parameter(framework: Framework) -> None:
    torch.manual_seed(1)
    model = LightModel(dataclasses.replace(CONFIG, framework=framework))
    measure_deviations(model.network, [images()])
    out = model(images(), judged_iterations(0, 0, 4, (4, 2)))
    out.loss.backward()
    silent = [n for n, p in model.network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not silent


def test_every_distortion_judges_one_iteration_of_each_equal_part() -> None:
    judged = judged_iterations(7, 3, 16, (8, 4))
    assert [t // 2 for t in judged.by_hvs] == list(range(8))
    assert [t // 4 for t in judged.by_ms_ssim] == list(range(4))
    assert judged == judged_iterations(7, 3, 16, (8, 4))
