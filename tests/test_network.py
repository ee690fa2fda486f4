"""Frameworks, binarizer and gains of the codec network."""

from __future__ import annotations

import dataclasses
from typing import get_args

import pytest
import torch
from tiny_codec import CONFIG
from torch.nn import functional

from pillow_rnc.models.complexity import macs_per_pixel
from pillow_rnc.models.config import CellName, Framework, ModelConfig
from pillow_rnc.models.embedded.interval_decoder import WIDEST, IntervalDecoder
from pillow_rnc.models.recurrent.activations import Binarizer, significance, squash
from pillow_rnc.models.recurrent.cells import AssociativeLSTMCell, LSTMCell
from pillow_rnc.models.recurrent.network import CodecState, Decoder, DirectWeights, IterationWeights, Network

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
            network.quantizer.set_visits(t, visits[: config.code_channels // 2])
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


def shown_after(network: Network, state: CodecState, t: int) -> torch.Tensor:
    """Return the coefficients that are shown after iteration t."""
    return network.shown(state, torch.full((len(state.coded),), t))


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
    assert isinstance(decoder, Decoder)
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
    assert isinstance(network.decoder, Decoder)
    coded = network.decoder.carried(bits, significance(state.coded, gain), direct_of(weights))
    predicted, _ = network.decoder(bits, direct_of(weights), state.decoder)
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
    assert isinstance(network.decoder, Decoder)
    coded = network.decoder.carried(bits, significance(state.coded, gain), direct_of(weights))
    predicted, _ = network.decoder(bits, direct_of(weights), state.decoder)

    assert gain.shape == (1, 1, 4, 4)
    assert bool((gain > 0).all())
    assert bool((gain <= torch.exp(network.log_gain[2])).all())
    assert gain.std() > 0, "the gain follows what was coded"
    after = network.decode_step(bits, 2, state)
    torch.testing.assert_close(after.reconstruction, state.reconstruction + (predicted + coded) / gain)
    torch.testing.assert_close(after.coded, state.coded + coded / gain)


def test_a_look_depends_on_intervals_and_iteration_alone() -> None:
    network = network_of(CONFIG)
    state = unrolled(network, coefficients(network), 2)[-1]
    noise = torch.randn_like(state.reconstruction)
    shown = shown_after(network, state, 1)

    assert torch.equal(shown, shown_after(network, state._replace(reconstruction=noise), 1))
    assert not torch.equal(shown, shown_after(network, state, 2)), "each iteration has its own gain, bias and shift"
    for part in ("coded", "reach"):
        other = shown_after(network, state._replace(**{part: 1.1 * getattr(state, part)}), 1)
        assert not torch.allclose(shown, other), f"the decoder sees {part}"


def test_pictures_of_different_iterations_are_shown_together() -> None:
    network = network_of(CONFIG)
    states = unrolled(network, coefficients(network), 3)[1:]
    together = CodecState(
        torch.cat([s.coded for s in states]),
        torch.cat([s.reach for s in states]),
        torch.cat([s.reconstruction for s in states]),
        states[0].decoder,
    )
    found = network.shown(together, torch.arange(3))

    for t, state in enumerate(states):
        torch.testing.assert_close(found[t : t + 1], shown_after(network, state, t), atol=1e-3, rtol=0)


def test_what_is_shown_lies_by_half_widths_from_the_middle() -> None:
    """With a silent network, the shift alone: away from zero, and nothing where the middle is zero."""
    network = network_of(CONFIG)
    decoder = network.decoder
    assert isinstance(decoder, IntervalDecoder)
    decoder.silence()
    state = unrolled(network, coefficients(network), 2)[-1]
    gain = network.gain_map(network.log_gain[1], state)
    wide = torch.minimum(state.reach.abs(), WIDEST / gain)
    expected = state.coded + decoder.shift[1].view(1, -1, 1, 1) * state.coded.sign() * wide

    torch.testing.assert_close(shown_after(network, state, 1), expected)
    assert torch.equal(expected[state.coded == 0], torch.zeros_like(expected[state.coded == 0]))


def test_the_cells_take_as_many_steps_as_the_model_says() -> None:
    taken = []
    for steps in (1, 3):
        network = network_of(dataclasses.replace(CONFIG, decoder_steps=steps))
        network.decoder.detail.register_forward_hook(lambda *_: taken.append(1))
        shown_after(network, network.initial_state(1, 4, 4), 0)

    assert len(taken) == 1 + 3


def test_embedded_codes_need_no_decoder() -> None:
    network = network_of(CONFIG)
    target = coefficients(network)
    network.decoder.forward = None  # type: ignore[assignment, method-assign]
    states = unrolled(network, target, CONFIG.iterations)

    assert not torch.equal(states[-1].coded, states[-2].coded)
    assert not states[-1].reconstruction.any()


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
        states = unrolled(network, target, 3)[1:]
        return [(shown_after(network, s, t) - target).square().mean() for t, s in enumerate(states)]

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


def test_what_coding_costs_is_counted() -> None:
    default = ModelConfig()
    learned = dataclasses.replace(default, framework="residual_scaling")

    assert macs_per_pixel(default, 16) < 16 * 10_000, "the budget of the default profile"
    assert macs_per_pixel(dataclasses.replace(default, separable=False), 1) > 2 * macs_per_pixel(default, 1)
    assert macs_per_pixel(default, 1, encoder=False) == macs_per_pixel(default, 1), "its encoder has no network"
    assert macs_per_pixel(learned, 1, encoder=False) < 0.8 * macs_per_pixel(learned, 1)
    look = macs_per_pixel(default, 8) - macs_per_pixel(default, 8, decoder=False)
    assert macs_per_pixel(default, 8, looks=3) == pytest.approx(macs_per_pixel(default, 8, looks=0) + 3 * look)
    assert macs_per_pixel(dataclasses.replace(default, decoder_steps=1), 8) < macs_per_pixel(default, 8)
