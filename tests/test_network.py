"""Frameworks, binarizer and gains of the codec network."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest
import torch
from tiny_codec import CONFIG
from torch.nn import functional

from pillow_rnc.activations import Binarizer, significance, squash
from pillow_rnc.cells import AssociativeLSTMCell, LSTMCell
from pillow_rnc.model_config import CellName, Framework, ModelConfig
from pillow_rnc.network import CodecState, DirectWeights, IterationWeights, Network, macs_per_pixel

FRAMEWORKS = get_args(Framework)
PUBLISHED = tuple(framework for framework in FRAMEWORKS if framework != "embedded")
SCALED = dataclasses.replace(CONFIG, framework="residual_scaling")


def network_of(config: ModelConfig) -> Network:
    torch.manual_seed(11)
    network = Network(config)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad and not parameter.any():
                parameter.normal_(std=0.3)
    if config.framework == "embedded":
        for t in range(config.iterations):
            visits = [(c, 40 * step / 2**t, 1) for c, step in ((1, 1), (0, 4), (64, 1), (9, 1))]
            network.quantiser.set_visits(t, visits[: config.code_channels // 2])
    return network


def direct_of(weights: IterationWeights) -> DirectWeights:
    assert weights.direct is not None
    return weights.direct


def coefficients(network: Network, seed: int = 2) -> torch.Tensor:
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 255
    target: torch.Tensor = network.transform(pixels)
    return target


def unrolled(network: Network, target: torch.Tensor, iterations: int) -> list[CodecState]:
    """Return the states before the first and after each iteration."""
    states, memory = [network.initial_state(len(target), *target.shape[2:])], None
    for t in range(iterations):
        a, memory = network.encode_step(target, t, states[-1], memory)
        states.append(network.decode_step(network.binarizer(a), t, states[-1]))
    return states


def test_sign_of_zero_is_plus_one() -> None:
    a = torch.tensor([-2.0, -0.0, 0.0, 1e-30, -1e-30])

    assert Binarizer()(a).tolist() == [-1, 1, 1, 1, -1]
    with torch.no_grad():
        assert Binarizer()(a).tolist() == [-1, 1, 1, 1, -1]


def test_gradients_pass_the_binarizer_near_its_threshold_alone() -> None:
    a = torch.tensor([-0.51, -0.49, 0.0, 0.49, 0.51], requires_grad=True)
    (Binarizer()(a) * torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])).sum().backward()

    assert a.grad is not None
    assert a.grad.tolist() == [0, 2, 3, 4, 0]


def test_squash_and_its_slope() -> None:
    x = torch.linspace(-30, 30, 41, dtype=torch.float64, requires_grad=True)

    torch.testing.assert_close(squash(x), x / (1 + x.abs() / 4))
    assert torch.autograd.gradcheck(squash, (x + 0.01,))


def test_coefficients_are_significant_from_half_a_step_to_a_whole_one() -> None:
    step = 16.0
    amounts = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 100.0])
    expected = torch.tensor([0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0])

    assert torch.equal(significance(amounts * step, torch.tensor(1 / step)), expected)
    assert torch.equal(significance(-amounts * step, torch.tensor(1 / step)), expected)
    assert torch.equal(
        significance(amounts * step, torch.tensor(0.5 / step)), significance(amounts / 2, torch.ones(()))
    )


def test_what_a_bit_stands_for_changes_where_its_coefficient_is_significant() -> None:
    decoder = network_of(SCALED).decoder
    weights = direct_of(network_of(SCALED).weights_of(1))
    bits = torch.where(torch.rand(1, CONFIG.code_channels, 4, 4) < 0.5, 1.0, -1.0)
    significant = (torch.rand(1, 192, 4, 4) < 0.5).float()
    coded = decoder.carried(bits, significant, weights)
    fresh, known = weights.decoder_direct, weights.decoder_direct + weights.decoder_refinement

    torch.testing.assert_close(
        coded, torch.where(significant == 1, functional.conv2d(bits, known), functional.conv2d(bits, fresh))
    )


def test_cells_are_laid_side_by_side_as_pixel_unshuffle_does() -> None:
    decoder = network_of(CONFIG).decoder
    x, wide = torch.randn(2, 8, 4, 6), torch.randn(2, 8, 2, 3)

    torch.testing.assert_close(decoder._halved(x), decoder.down(functional.pixel_unshuffle(x, 2)))
    torch.testing.assert_close(decoder._doubled(wide), functional.pixel_shuffle(decoder.up(wide), 2))


@pytest.mark.parametrize("framework", PUBLISHED)
def test_the_encoder_is_fed_the_picture_less_its_reconstruction(framework: Framework) -> None:
    """One-shot: x - D(b), as the equations say, and not the residual before less D(b)."""
    network = network_of(dataclasses.replace(CONFIG, framework=framework))
    target = coefficients(network)
    fed: list[tuple[torch.Tensor, ...]] = []
    network.encoder.register_forward_pre_hook(lambda _, inputs: fed.append(inputs[:3]))
    states = unrolled(network, target, 3)

    assert len(fed) == 3
    for t, (residual, seen, significant) in enumerate(fed):
        gain = network.gain_map(network.log_gain[t], states[t])
        torch.testing.assert_close(residual, (target - states[t].reconstruction) * gain)
        torch.testing.assert_close(seen, states[t].reconstruction * gain)
        torch.testing.assert_close(significant, (2 * (states[t].coded * gain).abs() - 1).clamp(0, 1))


@pytest.mark.parametrize("framework", PUBLISHED)
def test_updates_add_up_unless_the_framework_is_one_shot(framework: Framework) -> None:
    network = network_of(dataclasses.replace(CONFIG, framework=framework))
    state = unrolled(network, coefficients(network), 2)[-1]
    shift = torch.randn_like(state.reconstruction)
    bits = torch.ones(1, CONFIG.code_channels, 4, 4)
    plain = network.decode_step(bits, 2, state)
    moved = network.decode_step(bits, 2, state._replace(reconstruction=state.reconstruction + shift))
    gain = network.gain_map(network.log_gain[0 if framework == "one_shot" else 2], state)
    weights = network.weights_of(2)
    coded = network.decoder.carried(bits, significance(state.coded, gain), direct_of(weights))
    predicted, _ = network.decoder(bits, coded, weights, state.decoder)
    update = (predicted + coded) / gain

    assert predicted.abs().max() > 0.01
    if framework == "one_shot":
        torch.testing.assert_close(moved.reconstruction, plain.reconstruction)
        torch.testing.assert_close(plain.reconstruction, update)
        torch.testing.assert_close(plain.coded, coded / gain)
    else:
        torch.testing.assert_close(plain.reconstruction, state.reconstruction + update)
        torch.testing.assert_close(plain.coded, state.coded + coded / gain)
    if framework == "additive":
        torch.testing.assert_close(moved.reconstruction - plain.reconstruction, shift, atol=1e-3, rtol=0)


def test_residual_scaling_divides_by_the_gain_it_multiplied_with() -> None:
    network = network_of(SCALED)
    state = unrolled(network, coefficients(network), 2)[-1]
    bits = torch.ones(1, CONFIG.code_channels, 4, 4)
    gain = network.gain_map(network.log_gain[2], state)
    weights = network.weights_of(2)
    coded = network.decoder.carried(bits, significance(state.coded, gain), direct_of(weights))
    predicted, _ = network.decoder(bits, coded, weights, state.decoder)

    assert gain.shape == (1, 1, 4, 4)
    assert bool((gain > 0).all())
    assert bool((gain <= torch.exp(network.log_gain[2])).all())
    assert gain.std() > 0, "the gain follows what was coded"
    after = network.decode_step(bits, 2, state)
    torch.testing.assert_close(after.reconstruction, state.reconstruction + (predicted + coded) / gain)
    torch.testing.assert_close(after.coded, state.coded + coded / gain)


def test_embedded_predictions_are_made_afresh_within_the_intervals() -> None:
    network = network_of(CONFIG)
    state = unrolled(network, coefficients(network), 2)[-1]
    shift = torch.randn_like(state.reconstruction)
    bits = torch.where(torch.rand(1, CONFIG.code_channels, 4, 4) < 0.5, 1.0, -1.0)
    after = network.decode_step(bits, 2, state)
    moved = network.decode_step(bits, 2, state._replace(reconstruction=state.reconstruction + shift))
    gain = network.gain_map(network.log_gain[2], state)
    predicted, _ = network.decoder(bits, after.coded * gain, network.weights_of(2), state.decoder)
    blind, _ = network.decoder(bits, torch.zeros_like(after.coded), network.weights_of(2), state.decoder)

    assert gain.std() > 0
    assert (predicted - blind).abs().max() > 0.01, "the decoder sees what was coded"
    assert not torch.equal(after.coded, state.coded)
    torch.testing.assert_close(after.reconstruction, after.coded + predicted / gain)
    assert torch.equal(moved.reconstruction, after.reconstruction)


def test_embedded_codes_say_nothing_of_what_only_floats_know() -> None:
    """Bits and intervals are the same whatever the decoder predicts, so that an encoder needs no decoder."""
    network = network_of(CONFIG)
    target = coefficients(network)
    shown = followed = network.initial_state(1, 4, 4)
    for t in range(CONFIG.iterations):
        a, memory = network.encode_step(target, t, shown, None)
        without, _ = network.encode_step(target, t, followed, None)
        bits = network.binarizer(a)

        assert memory is None
        assert torch.equal(a, without)
        assert (bits > 0).any()
        shown, followed = network.decode_step(bits, t, shown), network.follow_step(bits, t, followed)
        assert torch.equal(shown.coded, followed.coded)
        assert torch.equal(shown.reach, followed.reach)
        assert not followed.reconstruction.any()
        assert not torch.equal(shown.reconstruction, shown.coded)


@pytest.mark.parametrize("framework", PUBLISHED)
def test_other_encoders_follow_the_whole_decoder(framework: Framework) -> None:
    network = network_of(dataclasses.replace(CONFIG, framework=framework))
    state = unrolled(network, coefficients(network), 1)[-1]
    bits = torch.ones(1, CONFIG.code_channels, 4, 4)

    assert torch.equal(
        network.follow_step(bits, 1, state).reconstruction, network.decode_step(bits, 1, state).reconstruction
    )


def test_busy_blocks_have_wider_steps_but_for_their_means() -> None:
    network = network_of(CONFIG)
    state = network.initial_state(1, 4, 4)
    assert torch.equal(network.scale_map(state), torch.ones(1, 192, 4, 4))

    coded = 100 * torch.rand(1, 192, 4, 4)
    scale, masking = network.scale_map(state._replace(coded=coded)), network.masking(coded)
    means = [0, 64, 128]
    others = [c for c in range(192) if c not in means]

    assert bool((masking < 0.9).all())
    torch.testing.assert_close(scale[:, means], torch.ones(1, 3, 4, 4))
    torch.testing.assert_close(scale[:, others], (1 / masking).expand(-1, len(others), -1, -1))


def test_busy_blocks_and_their_neighbours_have_less_gain() -> None:
    masking = network_of(CONFIG).masking
    picture = torch.zeros(1, 192, 6, 6)
    picture[:, 0] = 500  # the mean of a block is no activity, nor is its colour
    picture[:, 64:] = 500
    assert torch.equal(masking(picture), torch.ones(1, 1, 6, 6))

    picture[:, 5, 2, 2] = 300.0
    found = masking(picture)[0, 0]
    activity = 300.0**2 / 63

    for place, share in (((2, 2), 0.5 + 0.5 / 9), ((1, 2), 0.5 / 9), ((3, 3), 0.5 / 9), ((0, 0), 0.0)):
        assert found[place].item() == pytest.approx((1 + share * activity / 200) ** -0.2, rel=1e-5)
    picture[:, 5, 2, 2], picture[:, 5, 0, 0] = 0.0, 300.0
    assert masking(picture)[0, 0, 0, 0].item() == pytest.approx(
        (1 + (0.5 + 0.5 / 4) * activity / 200) ** -0.2, rel=1e-5
    )


@pytest.mark.parametrize(
    ("framework", "cell"),
    [(framework, "gru") for framework in FRAMEWORKS]
    + [(framework, cell) for framework in FRAMEWORKS[2:] for cell in get_args(CellName) if cell != "gru"],
)
def test_a_patch_can_be_learned_by_heart(framework: Framework, cell: CellName) -> None:
    config = dataclasses.replace(
        CONFIG, framework=framework, cell=cell, iterations=3, encoder_channels=16, decoder_channels=16, code_channels=8
    )
    network = network_of(config)
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    pixels = torch.stack([4 * x + 3 * y, 255 - 6 * y, 128 + 100 * torch.sin(x / 4)])[None]
    target = network.transform(pixels).detach()
    rate = 2e-2 if framework == "embedded" else 4e-3  # its codes are already there, the decoder alone learns
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)

    def errors() -> list[torch.Tensor]:
        return [(s.reconstruction - target).square().mean() for s in unrolled(network, target, 3)[1:]]

    before = [float(e.detach()) for e in errors()]
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.stack([torch.log(e) for e in errors()]).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    after = [float(e.detach()) for e in errors()]

    assert after[-1] < 0.25 * before[-1]
    if framework != "embedded":  # whose decoder knows the patch as soon as it sees a code of it
        assert after[2] < after[0], "later iterations add detail"


def test_associative_memory_is_for_the_decoder_alone() -> None:
    network = network_of(dataclasses.replace(SCALED, cell="associative_lstm"))
    embedded = network_of(dataclasses.replace(CONFIG, cell="associative_lstm"))

    assert isinstance(network.encoder.core, LSTMCell)
    for decoder in (network.decoder, embedded.decoder):
        assert isinstance(decoder.detail, AssociativeLSTMCell)
        assert isinstance(decoder.context, AssociativeLSTMCell)


def test_what_a_step_costs_is_counted() -> None:
    default = ModelConfig()

    assert macs_per_pixel(default) < 10_000, "the budget of the default profile"
    assert macs_per_pixel(dataclasses.replace(default, separable=False)) > 2 * macs_per_pixel(default)
    assert macs_per_pixel(default, decoding=True) == macs_per_pixel(default), "its encoder has no network"
    learned = dataclasses.replace(default, framework="residual_scaling")
    assert macs_per_pixel(learned, decoding=True) < 0.8 * macs_per_pixel(learned)
