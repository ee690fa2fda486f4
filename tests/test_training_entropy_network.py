"""The entropy network that is trained is, integer for integer, the one that codes files."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from tiny_codec import CONFIG

from pillow_rnc.entropy_model import EntropyModel
from pillow_rnc.entropy_reference import EntropyTensors, ReferenceState, bits_of_pass, cells_of
from pillow_rnc.model_config import ModelConfig
from pillow_rnc.tables import PROBABILITY
from pillow_rnc.training.entropy_network import EntropyNetwork

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.entropy_model import EntropyState

WIDE = dataclasses.replace(
    CONFIG,
    code_channels=32,
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


def simulated_k(entropy: EntropyNetwork, codes: NDArray[np.uint8]) -> list[NDArray[np.uint16]]:
    """Return k of every bit, uint16 [C, h, w] for each iteration, from the logits of the simulation."""
    (shared, integers), hidden, out = entropy.integers(), None, []
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
@pytest.mark.parametrize("config", [CONFIG, WIDE], ids=["tiny", "wide"])
def test_simulated_probabilities_are_those_of_the_integer_network(config: ModelConfig, spread: float) -> None:
    entropy = trained_like(config, spread)
    tensors = {name: tensor.numpy() for name, tensor in entropy.integer_tensors().items()}
    model = EntropyModel.from_tensors(tensors, config.passes)
    shape = (config.iterations, config.code_channels, 5, 6)
    codes = (np.random.default_rng(4).random(shape) < 0.4).astype(np.uint8)
    expected = simulated_k(entropy, codes)

    reference = ReferenceState(EntropyTensors.from_mapping(tensors, config.passes), *shape[2:])
    states: list[EntropyState] = [model.start(*shape[2:]), reference]
    for state in states:
        for t, plane in enumerate(codes):
            state.begin(t, codes[t - 1] if t else None)
            for index, one in enumerate(model.passes):
                cells = cells_of(one.parity, *shape[2:])
                wanted = expected[t].reshape(len(plane), -1)[one.first : one.stop, cells].ravel()
                np.testing.assert_array_equal(state.probabilities(index), wanted)
                state.reveal(index, bits_of_pass(plane, one))


def test_rate_is_the_ideal_code_length() -> None:
    entropy = trained_like(CONFIG, 1.0)
    codes = (np.random.default_rng(5).random((2, 4, 6, 6)) < 0.5).astype(np.uint8)
    k = [plane.astype(np.float64) / 65536 for plane in simulated_k(entropy, codes)]
    ideal = [-np.log2(np.where(bits == 1, p, 1 - p)).sum() for bits, p in zip(codes, k, strict=True)]
    shared, integers = entropy.integers()
    bits = [torch.from_numpy(plane.astype(np.float32))[None] * 2 - 1 for plane in codes]
    hidden = entropy.advance(shared, integers[1], bits[0], None)

    # The table is clamped at 32 / 65536 and rounded, the simulated sigmoid is not.
    assert float(entropy(shared, integers[0], bits[0], None).detach()) == pytest.approx(ideal[0], rel=2e-3)
    assert float(entropy(shared, integers[1], bits[1], hidden).detach()) == pytest.approx(ideal[1], rel=2e-3)


def test_every_parameter_learns() -> None:
    entropy = EntropyNetwork(CONFIG)
    (shared, integers), hidden, previous, rate = entropy.integers(), None, None, torch.zeros(())
    for t in range(CONFIG.iterations):
        bits = torch.where(torch.rand(2, 4, 8, 8) < 0.3, 1.0, -1.0)
        if previous is not None:
            hidden = entropy.advance(shared, integers[t], previous, hidden)
        rate = rate + entropy(shared, integers[t], bits, hidden).sum()
        previous = bits
    rate.backward()  # type: ignore[no-untyped-call]

    assert all(p.grad is not None and bool(p.grad.any()) for p in entropy.parameters())


def test_bits_feel_the_rate() -> None:
    entropy = trained_like(CONFIG, 1.0)
    bits = torch.where(torch.rand(1, 4, 6, 6) < 0.3, 1.0, -1.0).requires_grad_()
    shared, integers = entropy.integers()
    entropy(shared, integers[0], bits, None).sum().backward()

    assert bits.grad is not None
    assert bool(bits.grad.any())
