"""The start of training is already a codec, in the frameworks whose encoder is learned; see also the schedule."""

from __future__ import annotations

import pytest
import torch
from tiny_codec import recurrent
from tiny_training import photograph

from pillow_rnc.models.recurrent.block_network import BlockNetwork
from pillow_rnc.training.recurrent.start import greedy_quantizer


def test_errors_fall_from_iteration_to_iteration() -> None:
    network = BlockNetwork(recurrent("residual_scaling", code_channels=16))
    pixels = torch.stack([torch.from_numpy(photograph(i)).permute(2, 0, 1).float() for i in range(3)])
    target = network.transform(pixels)
    errors = greedy_quantizer(network, target, 120.0, 20.0).errors

    assert errors == sorted(errors, reverse=True)
    assert errors[0] < float(target.square().sum(1).mean() / 64)
    assert errors[-1] < 0.5 * errors[0]


def test_codes_fire_rarely_and_as_often_as_promised() -> None:
    """Most bits are zeros, which cost almost nothing; only refinements, here mostly of noise, are even odds."""
    torch.manual_seed(3)
    network = BlockNetwork(recurrent("additive", code_channels=32, iterations=8))
    pixels = torch.stack([torch.from_numpy(photograph(i)).permute(2, 0, 1).float() for i in range(3)])
    target = network.transform(pixels)
    ones = greedy_quantizer(network, target, 120.0, 20.0).ones
    state, memory, sent = network.initial_state(*target[:, 0].shape), None, []
    with torch.no_grad():
        for t in range(8):
            weights = network.weights_of(t)
            a, memory = network.encode_step(target, weights, state, memory)
            bits = network.binarizer(a)
            state = network.decode_step(bits, weights, state)
            sent.append((bits > 0).float().mean((0, 2, 3)))

    assert ones.shape == (8, 32)
    assert bool((ones.mean(1) > 0).all()), "each iteration says something"
    assert bool((ones.mean(1) < 0.25).all())
    assert ones[4:].mean() < 0.2
    assert bool((ones[:, :16] + ones[:, 16:] <= 1).all()), "above and below exclude each other"
    assert (torch.stack(sent) - ones).abs().mean(1).max() < 0.03


def test_the_network_is_the_quantizer_that_was_measured() -> None:
    torch.manual_seed(3)
    network = BlockNetwork(recurrent("residual_scaling", code_channels=16))
    pixels = torch.stack([torch.from_numpy(photograph(i)).permute(2, 0, 1).float() for i in range(3)])
    target = network.transform(pixels)
    promised = greedy_quantizer(network, target, 120.0, 20.0).errors
    state, memory, found = network.initial_state(*target[:, 0].shape), None, []
    with torch.no_grad():
        for t in range(4):
            weights = network.weights_of(t)
            a, memory = network.encode_step(target, weights, state, memory)
            state = network.decode_step(network.binarizer(a), weights, state)
            found.append(float((state.reconstruction - target).square().sum(1).mean() / 64))

    assert found == pytest.approx(promised, rel=1e-4)
    assert torch.equal(state.reconstruction, state.coded), "the recurrent path says nothing yet"
