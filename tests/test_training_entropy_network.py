"""The entropy network that is trained is, integer for integer, the one that codes files."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tiny_codec import CONFIG

from pillow_rnc.entropy_model import EntropyModel
from pillow_rnc.entropy_reference import EntropyTensors, ReferenceState, bits_of_pass, cells_of
from pillow_rnc.model_config import ModelConfig
from pillow_rnc.network import Decoder, Network
from pillow_rnc.tables import PROBABILITY
from pillow_rnc.training.entropy_network import EntropyNetwork
from pillow_rnc.training.tally import count, features, tallies, tally_coefficients

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.entropy_model import EntropyState

WIDE = dataclasses.replace(
    CONFIG,
    code_channels=ModelConfig().code_channels,
    entropy_state_channels=64,
    entropy_hidden_channels=64,
    iterations=3,
    passes=ModelConfig().passes,
)


def trained_like(config: ModelConfig, spread: float, seed: int = 0) -> EntropyNetwork:
    """Return a network with parameters and biases of all sizes that training reaches, some beyond the clamp."""
    torch.manual_seed(seed)
    entropy = EntropyNetwork(config)
    with torch.no_grad():
        for parameter in entropy.parameters():
            parameter.mul_(spread).add_(0.2 * spread * torch.randn_like(parameter))
    return entropy


def counted_like(config: ModelConfig, spread: float = 1.0, seed: int = 0) -> Network:
    """Return a codec whose bits stand for a few coefficients each, as trained ones do, some of them for many steps."""
    torch.manual_seed(seed)
    network = Network(config)
    if config.framework == "embedded":
        random = np.random.default_rng(seed)
        for t in range(config.iterations):
            tasks = random.choice(tally_coefficients(), max(1, config.code_channels // 4), replace=False)
            sizes = random.uniform(5, 200, len(tasks)) * spread
            network.quantiser.set_visits(t, [(int(c), float(step), 2) for c, step in zip(tasks, sizes, strict=True)])
        return network
    assert isinstance(network.decoder, Decoder)
    with torch.no_grad():
        for direct in network.decoder.direct:
            direct.weight.normal_(std=0.5 * spread).mul_(torch.rand(direct.weight.shape) < 0.2)
    return network


def simulated_k(entropy: EntropyNetwork, network: Network, codes: NDArray[np.uint8]) -> list[NDArray[np.uint16]]:
    """Return k of every bit, uint16 [C, h, w] for each iteration, from the logits of the simulation."""
    (shared, integers), hidden, out = entropy.integers(network), None, []
    with torch.no_grad():
        for t, plane in enumerate(codes):
            bits = torch.from_numpy(plane.astype(np.float32))[None] * 2 - 1
            if t:
                before = torch.from_numpy(codes[t - 1].astype(np.float32))[None] * 2 - 1
                hidden = entropy.advance(shared, integers[t], before, hidden)
            index = entropy.logits(shared, integers[t], bits, hidden)[0].numpy() * 16 + 128
            assert (index == np.rint(index)).all(), "logits are integers over 16"
            out.append(PROBABILITY[index.astype(np.int64)])
    return out


@pytest.mark.parametrize("spread", [0.3, 1.0, 4.0])
@pytest.mark.parametrize(
    "config", [CONFIG, WIDE, dataclasses.replace(WIDE, framework="additive")], ids=["tiny", "wide", "direct"]
)
def test_simulated_probabilities_are_those_of_the_integer_network(config: ModelConfig, spread: float) -> None:
    entropy, network = trained_like(config, spread), counted_like(config, spread)
    tensors = {name: tensor.numpy() for name, tensor in entropy.integer_tensors(network).items()}
    model = EntropyModel.from_tensors(tensors, config.passes)
    shape = (config.iterations, config.code_channels, 5, 6)
    codes = (np.random.default_rng(4).random(shape) < 0.4).astype(np.uint8)
    expected = simulated_k(entropy, network, codes)

    reference = ReferenceState(EntropyTensors.from_mapping(tensors, config.passes), *shape[2:])
    states: list[EntropyState] = [model.start(*shape[2:]), reference]
    for state in states:
        for t, plane in enumerate(codes):
            state.begin(t, codes[t - 1] if t else None)
            for index, one in enumerate(model.passes):
                cells = cells_of(one.lattice, *shape[2:])
                wanted = expected[t].reshape(len(plane), -1)[one.first : one.stop, cells].ravel()
                np.testing.assert_array_equal(state.probabilities(index), wanted)
                state.reveal(index, bits_of_pass(plane, one))


def test_rate_is_the_ideal_code_length() -> None:
    entropy, network = trained_like(CONFIG, 1.0), counted_like(CONFIG)
    codes = (np.random.default_rng(5).random((2, 4, 6, 6)) < 0.5).astype(np.uint8)
    k = [plane.astype(np.float64) / 65536 for plane in simulated_k(entropy, network, codes)]
    ideal = [-np.log2(np.where(bits == 1, p, 1 - p)).sum() for bits, p in zip(codes, k, strict=True)]
    shared, integers = entropy.integers(network)
    bits = [torch.from_numpy(plane.astype(np.float32))[None] * 2 - 1 for plane in codes]
    hidden = entropy.advance(shared, integers[1], bits[0], None)

    # The table is clamped at 32 / 65536 and rounded, the simulated sigmoid is not.
    assert float(entropy(shared, integers[0], bits[0], None).detach()) == pytest.approx(ideal[0], rel=2e-3)
    assert float(entropy(shared, integers[1], bits[1], hidden).detach()) == pytest.approx(ideal[1], rel=2e-3)


def test_every_parameter_learns() -> None:
    entropy, network = EntropyNetwork(CONFIG), counted_like(CONFIG)
    (shared, integers), hidden, previous, rate = entropy.integers(network), None, None, torch.zeros(())
    for t in range(CONFIG.iterations):
        bits = torch.where(torch.rand(2, 4, 8, 8) < 0.3, 1.0, -1.0)
        if previous is not None:
            hidden = entropy.advance(shared, integers[t], previous, hidden)
        rate = rate + entropy(shared, integers[t], bits, hidden).sum()
        previous = bits
    rate.backward()  # type: ignore[no-untyped-call]

    assert all(p.grad is not None and bool(p.grad.any()) for p in entropy.parameters())
    assert entropy.tally_output.grad is not None
    learns = entropy.tally_output.grad.flatten(1).any(1)
    assert learns.tolist() == [True, True, True], "nothing is counted before the first iteration"
    assert all(p.grad is None for p in network.parameters()), "tallies follow the codec, they do not pull at it"


def test_bits_feel_the_rate() -> None:
    """The gradient is half of what flipping would cost: measured at bits of the last pass, which no other bit sees."""
    entropy, network = trained_like(CONFIG, 1.0), counted_like(CONFIG)
    shared, integers = entropy.integers(network)
    first, second = (torch.where(torch.rand(1, 4, 6, 6) < 0.3, 1.0, -1.0) for _ in range(2))
    hidden = entropy.advance(shared, integers[1], first, None)
    bits = second.clone().requires_grad_()
    entropy(shared, integers[1], bits, hidden).sum().backward()
    assert bits.grad is not None
    logits = entropy.logits(shared, integers[1], second, hidden).detach()
    torch.testing.assert_close(bits.grad, -logits / 2 / math.log(2.0))

    def length(codes: torch.Tensor) -> float:
        return float(entropy(shared, integers[1], codes, hidden).detach())

    for channel, row, column in ((2, 0, 1), (3, 2, 3), (2, 5, 4)):
        place = (0, channel, row, column)
        flipped = second.clone()
        flipped[place] *= -1
        cost = length(flipped) - length(second)
        assert abs(cost) > 0.05, "a bit that matters"
        assert float(bits.grad[place] * (flipped - second)[place]) == pytest.approx(cost, abs=1e-3)


def test_tallies_matter() -> None:
    """What is counted stays within its bounds, reaches them, and moves the probabilities."""
    entropy, network = trained_like(CONFIG, 1.0), counted_like(CONFIG)
    codes = (np.random.default_rng(6).random((4, 4, 6, 6)) < 0.4).astype(np.uint8)
    counted, seen = None, []
    for tally, plane in zip(tallies(network), codes, strict=False):
        counted = count(tally, torch.from_numpy(plane.astype(np.float32))[None] * 2 - 1, counted)
        seen.append(features(counted, tally.scale))
    values = torch.stack(seen)
    k = simulated_k(entropy, network, codes)
    other = simulated_k(entropy, counted_like(CONFIG, seed=1), codes)

    assert values.abs().max() == 127
    assert len(set(values.ravel().tolist())) > 60
    assert (k[0] == other[0]).all()
    assert all((one != another).any() for one, another in zip(k[1:], other[1:], strict=True))
