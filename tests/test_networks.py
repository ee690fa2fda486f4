"""The codec networks of both families: frameworks, binarizer, gains and intervals; and what models cost."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, get_args

import pytest
import torch
from tiny_codec import CONFIG, recurrent
from torch.nn import functional

from pillow_rnc.errors import WeightsError
from pillow_rnc.models.complexity import macs_per_pixel
from pillow_rnc.models.config import CellName, EmbeddedConfig, Framework, ModelConfig, RecurrentConfig
from pillow_rnc.models.embedded.network import EmbeddedNetwork
from pillow_rnc.models.embedded.torch_quantizer import Intervals
from pillow_rnc.models.families import make_network
from pillow_rnc.models.layers.activations import Binarizer, softsign
from pillow_rnc.models.layers.cells import AssociativeLSTMCell, LSTMCell
from pillow_rnc.models.limits import MAX_HALF_WIDTH
from pillow_rnc.models.recurrent.block_network import BlockNetwork, significance
from pillow_rnc.models.recurrent.light_network import LightNetwork
from pillow_rnc.training.recipe import as_recurrent

if TYPE_CHECKING:
    from pillow_rnc.models.network import CodecNetwork

    AnyNetwork = CodecNetwork[Any, Any, Any]

FRAMEWORKS = get_args(Framework)
SCALED = recurrent("residual_scaling")


def _randomised(network: AnyNetwork) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad and not parameter.any():
                parameter.normal_(std=0.3)


def embedded_network(config: EmbeddedConfig = CONFIG) -> EmbeddedNetwork:
    torch.manual_seed(11)
    network = EmbeddedNetwork(config)
    _randomised(network)
    for t in range(config.iterations):
        entries = [(c, 40 * step / 2**t, 1) for c, step in ((1, 1), (0, 4), (64, 1), (9, 1))]
        network.quantizer.set_schedule(t, entries[: config.code_channels // 2])
    return network


def block_network(config: RecurrentConfig = SCALED) -> BlockNetwork:
    torch.manual_seed(11)
    network = BlockNetwork(config)
    _randomised(network)
    return network


def coefficients(network: AnyNetwork, seed: int = 2) -> torch.Tensor:
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed)) * 255
    target: torch.Tensor = network.transform(pixels)
    return target


def unrolled(network: AnyNetwork, target: torch.Tensor, iterations: int) -> list[Any]:
    """Return the states before the first and after each iteration."""
    states, memory = [network.initial_state(len(target), *target.shape[2:])], None
    for t in range(iterations):
        weights = network.weights_of(t)
        a, memory = network.encode_step(target, weights, states[-1], memory)
        states.append(network.decode_step(network.binarizer(a), weights, states[-1]))
    return states


def reconstructed(network: AnyNetwork, state: tuple[Any, ...], t: int) -> torch.Tensor:
    """Return the reconstruction after iteration t."""
    return network.reconstruct(state, torch.full((len(state[0]),), t))


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (CONFIG, EmbeddedNetwork),
        *((recurrent(framework), BlockNetwork) for framework in FRAMEWORKS),
        *((recurrent(framework, code_stride=16), LightNetwork) for framework in FRAMEWORKS),
    ],
)
def test_the_configuration_chooses_the_network(config: EmbeddedConfig | RecurrentConfig, kind: type) -> None:
    assert type(make_network(config)) is kind


def test_a_configuration_without_a_network_is_refused() -> None:
    with pytest.raises(WeightsError, match="no network for a ModelConfig"):
        make_network(ModelConfig())


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


def test_softsign_and_its_slope() -> None:
    x = torch.linspace(-30, 30, 41, dtype=torch.float64, requires_grad=True)

    torch.testing.assert_close(softsign(x), x / (1 + x.abs() / 4))
    assert torch.autograd.gradcheck(softsign, (x + 0.01,))


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
    network = block_network()
    decoder, weights = network.decoder, network.weights_of(1)
    bits = torch.where(torch.rand(1, CONFIG.code_channels, 4, 4) < 0.5, 1.0, -1.0)
    significant = (torch.rand(1, 192, 4, 4) < 0.5).float()
    coded = decoder.direct_update(bits, significant, weights)
    new, known = weights.decoder_direct, weights.decoder_direct + weights.decoder_refinement

    torch.testing.assert_close(
        coded, torch.where(significant == 1, functional.conv2d(bits, known), functional.conv2d(bits, new))
    )


def test_cells_are_laid_side_by_side_as_pixel_unshuffle_does() -> None:
    decoder = embedded_network().decoder
    x, wide = torch.randn(2, 8, 4, 6), torch.randn(2, 8, 2, 3)

    torch.testing.assert_close(decoder._halved(x), decoder.down(functional.pixel_unshuffle(x, 2)))
    torch.testing.assert_close(decoder._doubled(wide), functional.pixel_shuffle(decoder.up(wide), 2))


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_encoder_is_fed_the_image_less_its_reconstruction(framework: Framework) -> None:
    """One-shot: x - D(b), as the equations say, and not the residual before less D(b)."""
    network = block_network(recurrent(framework))
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


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_updates_add_up_unless_the_framework_is_one_shot(framework: Framework) -> None:
    network = block_network(recurrent(framework))
    state = unrolled(network, coefficients(network), 2)[-1]
    shift = torch.randn_like(state.reconstruction)
    bits = torch.ones(1, CONFIG.code_channels, 4, 4)
    weights = network.weights_of(2)
    plain = network.decode_step(bits, weights, state)
    moved = network.decode_step(bits, weights, state._replace(reconstruction=state.reconstruction + shift))
    gain = network.gain_map(network.log_gain[0 if framework == "one_shot" else 2], state)
    coded = network.decoder.direct_update(bits, significance(state.coded, gain), weights)
    predicted, _ = network.decoder(bits, weights, state.decoder)
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
    network = block_network()
    state = unrolled(network, coefficients(network), 2)[-1]
    bits = torch.ones(1, CONFIG.code_channels, 4, 4)
    gain = network.gain_map(network.log_gain[2], state)
    weights = network.weights_of(2)
    coded = network.decoder.direct_update(bits, significance(state.coded, gain), weights)
    predicted, _ = network.decoder(bits, weights, state.decoder)

    assert gain.shape == (1, 1, 4, 4)
    assert bool((gain > 0).all())
    assert bool((gain <= torch.exp(network.log_gain[2])).all())
    assert gain.std() > 0, "the gain follows what was coded"
    after = network.decode_step(bits, weights, state)
    torch.testing.assert_close(after.reconstruction, state.reconstruction + (predicted + coded) / gain)
    torch.testing.assert_close(after.coded, state.coded + coded / gain)


def test_a_reconstruction_depends_on_intervals_and_iteration_alone() -> None:
    network = embedded_network()
    state = unrolled(network, coefficients(network), 2)[-1]
    first = reconstructed(network, state, 1)

    assert torch.equal(first, reconstructed(network, state, 1))
    assert not torch.equal(first, reconstructed(network, state, 2)), "each iteration has its own gain, bias and shift"
    for part in ("midpoint", "half_width"):
        other = reconstructed(network, state._replace(**{part: 1.1 * getattr(state, part)}), 1)
        assert not torch.allclose(first, other), f"the decoder uses {part}"


def test_images_of_different_iterations_are_reconstructed_together() -> None:
    network = embedded_network()
    states = unrolled(network, coefficients(network), 3)[1:]
    together = Intervals(*(torch.cat(parts) for parts in zip(*states, strict=True)))
    found = network.reconstruct(together, torch.arange(3))

    for t, state in enumerate(states):
        torch.testing.assert_close(found[t : t + 1], reconstructed(network, state, t), atol=1e-3, rtol=0)


def test_reconstructions_lie_by_half_widths_from_the_midpoint() -> None:
    """With a zero output layer, the shift alone: away from zero, and nothing where the midpoint is zero."""
    network = embedded_network()
    decoder = network.decoder
    decoder.zero_output()
    state = unrolled(network, coefficients(network), 2)[-1]
    gain = network.gain_map(network.log_gain[1], state)
    wide = torch.minimum(state.half_width.abs(), MAX_HALF_WIDTH / gain)
    expected = state.midpoint + decoder.shift[1].view(1, -1, 1, 1) * state.midpoint.sign() * wide

    torch.testing.assert_close(reconstructed(network, state, 1), expected)
    zero = state.midpoint == 0
    assert torch.equal(expected[zero], torch.zeros_like(expected[zero]))


def test_the_cells_take_as_many_steps_as_the_model_says() -> None:
    taken = []
    for steps in (1, 3):
        network = embedded_network(dataclasses.replace(CONFIG, decoder_steps=steps))
        network.decoder.detail.register_forward_hook(lambda *_: taken.append(1))
        reconstructed(network, network.initial_state(1, 4, 4), 0)

    assert len(taken) == 1 + 3


def test_embedded_codes_need_no_decoder() -> None:
    network = embedded_network()
    target = coefficients(network)
    network.decoder.forward = None  # type: ignore[assignment, method-assign]
    states = unrolled(network, target, CONFIG.iterations)

    assert not torch.equal(states[-1].midpoint, states[-2].midpoint)


def test_textured_blocks_have_larger_steps_except_for_their_means() -> None:
    network = embedded_network()
    state = network.initial_state(1, 4, 4)
    assert torch.equal(network.step_scale(state), torch.ones(1, 192, 4, 4))

    coded = 100 * torch.rand(1, 192, 4, 4)
    scale, masking = network.step_scale(state._replace(midpoint=coded)), network.masking(coded)
    means = [0, 64, 128]
    others = [c for c in range(192) if c not in means]

    assert bool((masking < 0.9).all())
    torch.testing.assert_close(scale[:, means], torch.ones(1, 3, 4, 4))
    torch.testing.assert_close(scale[:, others], (1 / masking).expand(-1, len(others), -1, -1))


def test_textured_blocks_and_their_neighbours_have_less_gain() -> None:
    masking = embedded_network().masking
    image = torch.zeros(1, 192, 6, 6)
    image[:, 0] = 500  # the mean of a block is no activity, nor is its colour
    image[:, 64:] = 500
    assert torch.equal(masking(image), torch.ones(1, 1, 6, 6))

    image[:, 5, 2, 2] = 300.0
    found = masking(image)[0, 0]
    activity = 300.0**2 / 63

    for place, share in (((2, 2), 0.5 + 0.5 / 9), ((1, 2), 0.5 / 9), ((3, 3), 0.5 / 9), ((0, 0), 0.0)):
        assert found[place].item() == pytest.approx((1 + share * activity / 200) ** -0.2, rel=1e-5)
    image[:, 5, 2, 2], image[:, 5, 0, 0] = 0.0, 300.0
    assert masking(image)[0, 0, 0, 0].item() == pytest.approx((1 + (0.5 + 0.5 / 4) * activity / 200) ** -0.2, rel=1e-5)


@pytest.mark.slow  # it trains
@pytest.mark.parametrize(
    "config",
    [
        dataclasses.replace(CONFIG, iterations=3, decoder_channels=16),
        *(
            recurrent(framework, cell=cell, iterations=3, encoder_channels=16, decoder_channels=16)
            for framework in FRAMEWORKS
            for cell in get_args(CellName)
            if cell == "gru" or framework == "residual_scaling"
        ),
    ],
    ids=lambda config: f"{config.family} {getattr(config, 'framework', '')} {config.cell} {config.separable}",
)
def test_a_patch_can_be_learned_by_heart(config: EmbeddedConfig | RecurrentConfig) -> None:
    if isinstance(config, EmbeddedConfig):
        network: AnyNetwork = embedded_network(config)
    else:
        network = block_network(config)
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    pixels = torch.stack([4 * x + 3 * y, 255 - 6 * y, 128 + 100 * torch.sin(x / 4)])[None]
    target = network.transform(pixels).detach()
    rate = 4e-3 if config.learns_codes else 2e-2  # the decoder alone learns where codes are fixed
    optimizer = torch.optim.Adam(network.parameters(), lr=rate)

    def errors() -> list[torch.Tensor]:
        states = unrolled(network, target, 3)[1:]
        return [(reconstructed(network, s, t) - target).square().mean() for t, s in enumerate(states)]

    before = [float(e.detach()) for e in errors()]
    for _ in range(60):
        optimizer.zero_grad()
        loss = torch.stack([torch.log(e) for e in errors()]).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    after = [float(e.detach()) for e in errors()]

    assert after[-1] < 0.25 * before[-1]
    if config.learns_codes:  # an embedded decoder knows the patch from its first code
        assert after[2] < after[0], "later iterations add detail"


def test_associative_memory_is_for_the_decoder_alone() -> None:
    network = block_network(recurrent("residual_scaling", cell="associative_lstm"))

    assert isinstance(network.encoder.core, LSTMCell)
    assert isinstance(network.decoder.detail, AssociativeLSTMCell)
    assert isinstance(network.decoder.context, AssociativeLSTMCell)


def test_what_coding_costs_is_counted() -> None:
    default = EmbeddedConfig()
    learned = as_recurrent(default, "residual_scaling")

    assert macs_per_pixel(default, 16) < 16 * 10_000, "the budget of the default profile"
    assert macs_per_pixel(dataclasses.replace(default, separable=False), 1) > 2 * macs_per_pixel(default, 1)
    assert macs_per_pixel(default, 1, encoder=False) == macs_per_pixel(default, 1), "its encoder has no network"
    assert macs_per_pixel(learned, 1, encoder=False) < 0.8 * macs_per_pixel(learned, 1)
    wide = RecurrentConfig(cell="lstm", framework="additive")
    gru = dataclasses.replace(wide, cell="gru")
    assert macs_per_pixel(gru, 16) < 16 * 10_000
    assert macs_per_pixel(gru, 1) < macs_per_pixel(wide, 1)
    assert macs_per_pixel(gru, 1) < macs_per_pixel(dataclasses.replace(gru, framework="residual_scaling"), 1)
    assert macs_per_pixel(gru, 1, encoder=False) < 0.8 * macs_per_pixel(gru, 1)
    once = macs_per_pixel(default, 8) - macs_per_pixel(default, 8, decoder=False)
    without = macs_per_pixel(default, 8, reconstructions=0)
    assert macs_per_pixel(default, 8, reconstructions=3) == pytest.approx(without + 3 * once)
    assert macs_per_pixel(dataclasses.replace(default, decoder_steps=1), 8) < macs_per_pixel(default, 8)
