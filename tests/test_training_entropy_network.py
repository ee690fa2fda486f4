"""The entropy network that is trained is, integer for integer, the one that codes files."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from tiny_codec import CONFIG, DENSE_PASSES, recurrent
from tiny_models import FIVE_PASSES

from pillow_rnc.entropy.model import EntropyModel
from pillow_rnc.entropy.reference import ReferenceState
from pillow_rnc.entropy.tables import PROBABILITY
from pillow_rnc.entropy.tensors import EntropyTensors, cells_of
from pillow_rnc.models.config import EmbeddedConfig
from pillow_rnc.models.embedded.network import EmbeddedNetwork
from pillow_rnc.models.network import CodedValues
from pillow_rnc.models.recurrent.block_network import BlockNetwork
from pillow_rnc.training.accumulators import (
    accumulate,
    accumulated_coefficients,
    accumulator_weights,
    features,
)
from pillow_rnc.training.entropy_network import EntropyNetwork
from pillow_rnc.training.objective import codec_iteration, rate_iteration, values_of
from research.coder_comparison import own_code_lengths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.entropy.model import EntropyState
    from pillow_rnc.models.coefficient_network import CoefficientNetwork
    from pillow_rnc.models.config import ModelConfig, RecurrentConfig

    AnyNetwork = CoefficientNetwork[Any, Any, Any]

WIDE = dataclasses.replace(
    CONFIG,
    code_channels=EmbeddedConfig().code_channels,
    entropy_state_channels=64,
    entropy_hidden_channels=64,
    iterations=3,
    passes=EmbeddedConfig().passes,
)
PLAIN = recurrent("additive", code_channels=4, passes=FIVE_PASSES)
WIDE_PLAIN = recurrent(
    "additive",
    code_channels=WIDE.context_coded_channels,
    entropy_state_channels=64,
    entropy_hidden_channels=64,
    iterations=3,
    passes=WIDE.passes,
)


def trained_like(config: ModelConfig, spread: float, seed: int = 0) -> EntropyNetwork:
    """Return a network with parameters and biases of all sizes that training reaches, some beyond the clamp."""
    torch.manual_seed(seed)
    entropy = EntropyNetwork(config)
    with torch.no_grad():
        for parameter in entropy.parameters():
            parameter.mul_(spread).add_(0.2 * spread * torch.randn_like(parameter))
    return entropy


def network_like(config: EmbeddedConfig | RecurrentConfig, spread: float = 1.0, seed: int = 0) -> AnyNetwork:
    """Return a codec whose bits stand for a few coefficients each, as trained ones do, some of them for many steps."""
    torch.manual_seed(seed)
    if isinstance(config, EmbeddedConfig):
        embedded = EmbeddedNetwork(config)
        random = np.random.default_rng(seed)
        for t in range(config.iterations):
            tasks = random.choice(accumulated_coefficients(), max(1, config.code_channels // 4), replace=False)
            sizes = random.uniform(5, 200, len(tasks)) * spread
            embedded.quantizer.set_schedule(t, [(int(c), float(step), 2) for c, step in zip(tasks, sizes, strict=True)])
        return embedded
    network = BlockNetwork(config)
    with torch.no_grad():
        for direct in network.decoder.direct:
            direct.weight.normal_(std=0.5 * spread).mul_(torch.rand(direct.weight.shape) < 0.2)
    return network


def values_like(config: ModelConfig, seed: int, iterations: int, height: int, width: int) -> NDArray[np.int8]:
    """Return values of bits, [iterations, M, h, w]: 1 and -1, in the embedded family zeros as well."""
    random, shape = np.random.default_rng(seed), (iterations, config.context_coded_channels, height, width)
    if isinstance(config, EmbeddedConfig):
        return random.choice(np.array([-1, 0, 1], np.int8), shape, p=[0.2, 0.5, 0.3])
    return random.choice(np.array([-1, 1], np.int8), shape, p=[0.6, 0.4])


def simulated_k(entropy: EntropyNetwork, network: AnyNetwork, values: NDArray[np.int8]) -> list[NDArray[np.uint16]]:
    """Return k of every bit, uint16 [M, h, w] for each iteration, from the logits of the simulation."""
    (shared, integers), hidden, out = entropy.integers(network), None, []
    with torch.no_grad():
        for t, plane in enumerate(values):
            if t:
                before = torch.from_numpy(values[t - 1].astype(np.float32))[None]
                hidden = entropy.advance(shared, integers[t], before, hidden)
            x = torch.from_numpy(plane.astype(np.float32))[None]
            index = entropy.logits(shared, integers[t], x, hidden)[0].numpy() * 16 + 128
            assert (index == np.rint(index)).all(), "logits are integers over 16"
            out.append(PROBABILITY[index.astype(np.int64)])
    return out


@pytest.mark.parametrize("spread", [0.3, 1.0, 4.0])
@pytest.mark.parametrize(
    "config", [CONFIG, WIDE, WIDE_PLAIN, PLAIN], ids=["tiny", "wide", "wide and plain", "tiny and plain"]
)
def test_simulated_probabilities_are_those_of_the_integer_network(
    config: EmbeddedConfig | RecurrentConfig, spread: float
) -> None:
    entropy, network = trained_like(config, spread), network_like(config, spread)
    tensors = {name: tensor.numpy() for name, tensor in entropy.integer_tensors(network).items()}
    model = EntropyModel.from_tensors(tensors, config.passes)
    values = values_like(config, 4, config.iterations, 5, 6)
    expected = simulated_k(entropy, network, values)

    reference = ReferenceState(EntropyTensors.from_mapping(tensors, config.passes), 5, 6)
    states: list[EntropyState] = [model.start(5, 6), reference]
    for state in states:
        for t, plane in enumerate(values):
            state.start_iteration(t, values[t - 1] if t else None)
            for index, one in enumerate(model.passes):
                cells = cells_of(one.lattice, 5, 6)
                wanted = expected[t].reshape(len(plane), -1)[one.first : one.stop, cells]
                np.testing.assert_array_equal(state.probabilities(index), wanted)
                state.update(index, plane.reshape(len(plane), -1)[one.first : one.stop, cells])


def test_rate_is_the_ideal_code_length() -> None:
    entropy, network = trained_like(PLAIN, 1.0), network_like(PLAIN)
    values = values_like(PLAIN, 5, 2, 6, 6)
    k = [plane.astype(np.float64) / 65536 for plane in simulated_k(entropy, network, values)]
    ideal = [-np.log2(np.where(bits == 1, p, 1 - p)).sum() for bits, p in zip(values, k, strict=True)]
    shared, integers = entropy.integers(network)
    bits = [torch.from_numpy(plane.astype(np.float32))[None] for plane in values]
    hidden = entropy.advance(shared, integers[1], bits[0], None)

    # The table is clamped at 32 / 65536 and rounded, the simulated sigmoid is not.
    assert float(entropy(shared, integers[0], bits[0], None, None).detach()) == pytest.approx(ideal[0], rel=2e-3)
    assert float(entropy(shared, integers[1], bits[1], None, hidden).detach()) == pytest.approx(ideal[1], rel=2e-3)


def test_rate_is_of_the_bits_that_are_told_and_a_bit_for_each_sign() -> None:
    entropy, network = trained_like(CONFIG, 1.0), network_like(CONFIG)
    tensors = {name: tensor.numpy() for name, tensor in entropy.integer_tensors(network).items()}
    tensors |= {f"network.{name}": one.detach().numpy() for name, one in network.named_parameters()}
    target = torch.randn(1, 192, 6, 6, generator=torch.Generator().manual_seed(2)) * 300
    state, previous, rates, codes = network.initial_state(1, 6, 6), None, [], []
    shared, integers = entropy.integers(network)
    with torch.no_grad():
        for t in range(CONFIG.iterations):
            weights = network.weights_of(t)
            bits, coded, state, _ = codec_iteration(network, target, weights, state, None)
            hidden, rate = rate_iteration(entropy, shared, integers[t], bits, coded, previous)
            previous = values_of(bits, coded), hidden
            rates.append(float(rate))
            codes.append((bits[0] > 0).numpy().astype(np.uint8))
    model = EntropyModel.from_tensors(tensors, CONFIG.passes)

    assert all(plane[4:].any() for plane in codes), "there are signs"
    assert rates == pytest.approx(own_code_lengths(model, np.stack(codes)).tolist(), rel=2e-3)


def test_every_parameter_learns() -> None:
    entropy, network = EntropyNetwork(CONFIG), network_like(CONFIG)
    (shared, integers), hidden, previous, rate = entropy.integers(network), None, None, torch.zeros(())
    for t in range(CONFIG.iterations):
        x = torch.from_numpy(values_like(CONFIG, t, 2, 8, 8).astype(np.float32))
        if previous is not None:
            hidden = entropy.advance(shared, integers[t], previous, hidden)
        coded = CodedValues(x, torch.ones_like(x, dtype=torch.bool), x > 0)
        rate = rate + entropy(shared, integers[t], torch.cat([x, x], 1), coded, hidden).sum()
        previous = x
    rate.backward()  # type: ignore[no-untyped-call]

    assert all(p.grad is not None and bool(p.grad.any()) for p in entropy.parameters())
    assert entropy.accumulator_output.grad is not None
    learns = entropy.accumulator_output.grad.flatten(1).any(1)
    assert learns.tolist() == [True, True, True], "nothing is counted before the first iteration"
    assert all(p.grad is None for p in network.parameters()), "accumulators follow the codec, and pass it no gradient"


def test_bits_feel_the_rate() -> None:
    """The gradient is half of what flipping would cost: measured at bits of the last pass, which no other bit sees."""
    entropy, network = trained_like(PLAIN, 1.0), network_like(PLAIN)
    shared, integers = entropy.integers(network)
    first, second = (torch.where(torch.rand(1, 4, 6, 6) < 0.3, 1.0, -1.0) for _ in range(2))
    hidden = entropy.advance(shared, integers[1], first, None)
    bits = second.clone().requires_grad_()
    entropy(shared, integers[1], bits, None, hidden).sum().backward()
    assert bits.grad is not None
    logits = entropy.logits(shared, integers[1], second, hidden).detach()
    torch.testing.assert_close(bits.grad, -logits / 2 / math.log(2.0))

    def length(codes: torch.Tensor) -> float:
        return float(entropy(shared, integers[1], codes, None, hidden).detach())

    for channel, row, column in ((2, 0, 1), (3, 2, 3), (2, 5, 4)):
        place = (0, channel, row, column)
        flipped = second.clone()
        flipped[place] *= -1
        cost = length(flipped) - length(second)
        assert abs(cost) > 0.05, "a bit that matters"
        assert float(bits.grad[place] * (flipped - second)[place]) == pytest.approx(cost, abs=1e-3)


def test_accumulators_matter() -> None:
    """What is counted stays within its bounds, reaches them, and moves the probabilities."""
    entropy, network = trained_like(CONFIG, 1.0), network_like(CONFIG)
    codes = values_like(CONFIG, 6, 4, 6, 6)
    accumulated, seen = None, []
    for weights, plane in zip(accumulator_weights(network), codes, strict=False):
        accumulated = accumulate(weights, torch.from_numpy(plane.astype(np.float32))[None], accumulated)
        seen.append(features(accumulated, weights.scale))
    values = torch.stack(seen)
    k = simulated_k(entropy, network, codes)
    other = simulated_k(entropy, network_like(CONFIG, seed=1), codes)

    assert values.abs().max() == 127
    assert len(set(values.ravel().tolist())) > 60
    assert (k[0] == other[0]).all()
    assert all((one != another).any() for one, another in zip(k[1:], other[1:], strict=True))


@pytest.mark.parametrize(
    "config", [recurrent("additive", passes=CONFIG.passes), dataclasses.replace(CONFIG, passes=DENSE_PASSES)]
)
def test_passes_of_another_family_are_refused(config: ModelConfig) -> None:
    with pytest.raises(ValueError, match=f"passes reach channel [48], must reach [48] in family '{config.family}'"):
        EntropyNetwork(config)
