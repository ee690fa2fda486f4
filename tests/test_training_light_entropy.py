"""The entropy network of dense codes is, integer for integer, one that codes files."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from test_light_network import CONFIG

from pillow_rnc.entropy.model import EntropyModel
from pillow_rnc.entropy.reference import ReferenceState
from pillow_rnc.entropy.tables import PROBABILITY
from pillow_rnc.entropy.tensors import EntropyTensors, cells_of
from pillow_rnc.models.config import lattice_passes
from pillow_rnc.training.recurrent.dense_entropy_network import DenseEntropyNetwork

if TYPE_CHECKING:
    from pillow_rnc.models.config import RecurrentConfig

DENSE = dataclasses.replace(
    CONFIG, passes=lattice_passes(8, 2), iterations=3, entropy_state_channels=8, entropy_hidden_channels=10
)
FULL = dataclasses.replace(CONFIG, code_channels=32, passes=lattice_passes(32, 2), iterations=3)


@pytest.mark.parametrize("spread", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("config", [DENSE, FULL], ids=["tiny", "full"])
@torch.no_grad()
def test_odds_are_those_of_the_integers_that_the_weights_file_holds(config: RecurrentConfig, spread: float) -> None:
    torch.manual_seed(2)
    network = DenseEntropyNetwork(config)
    for parameter in network.parameters():
        parameter.mul_(spread).add_(0.2 * spread * torch.randn_like(parameter))
    planes = torch.where(torch.rand(config.iterations, 1, config.code_channels, 5, 6) < 0.6, 1.0, -1.0)
    tensors = {name: tensor.numpy() for name, tensor in network.dense_tensors().items()}
    model = EntropyModel.from_tensors(tensors, config.passes)
    reference = ReferenceState(EntropyTensors.from_mapping(tensors, config.passes), 5, 6)
    values = planes[:, 0].numpy().astype(np.int8)
    odds = [one[0].numpy() for one in network.odds(planes)]
    fast = model.start(5, 6)
    for t, plane in enumerate(values):
        for state in (reference, fast):
            state.start_iteration(t, values[t - 1] if t else None)
        for index, (lattice, first, stop) in enumerate(config.passes):
            cells = cells_of(lattice, 5, 6)
            bits, own = (m[first:stop].reshape(stop - first, -1)[:, cells] for m in (plane, odds[t]))
            k = reference.probabilities(index)
            assert np.array_equal(k, fast.probabilities(index))
            assert np.array_equal(k, PROBABILITY[(own * 16 + 128).astype(np.int64)])
            for state in (reference, fast):
                state.update(index, bits)


def test_passes_code_every_bit_once() -> None:
    height, width = 6, 7
    coded = np.zeros((32, height * width), np.int64)
    for lattice, first, stop in lattice_passes(32, 4):
        coded[first:stop, cells_of(lattice, height, width)] += 1
    assert (coded == 1).all()


def test_it_learns_what_one_bit_says_of_the_next_iteration() -> None:
    torch.manual_seed(0)
    network = DenseEntropyNetwork(DENSE)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.03)
    for _ in range(90):
        first = torch.where(torch.rand(1, 8, 8, 6, 6) < 0.5, 1.0, -1.0)
        planes = torch.cat([first, -first, first])
        optimizer.zero_grad()
        loss = network.lengths(planes).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    shares = network.lengths(planes).detach().mean(1) / planes[0, 0].numel()
    assert 0.98 < shares[0] < 1.02
    assert shares[1:].max() < 0.3
