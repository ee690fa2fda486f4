"""The paper's network: shapes, size and cost as published, in every cell and framework."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import pytest
import torch
from torch import Tensor, nn

from pillow_rnc.models.config import CellName, Framework
from pillow_rnc.models.recurrent.paper_network import CODE_CHANNELS, FRAMEWORKS, GainNetwork, PaperNetwork

if TYPE_CHECKING:
    from typing import Any


def run(network: PaperNetwork, target: Tensor, iterations: int) -> tuple[list[Tensor], list[Tensor]]:
    state, codes, pictures = network.initial_state(target), [], []
    with torch.no_grad():
        for _ in range(iterations):
            bits, state = network.encode_step(target, state)
            state = network.decode_step(bits, state)
            codes.append(bits)
            pictures.append(state.reconstruction)
    return codes, pictures


@pytest.mark.parametrize("cell", get_args(CellName))
def test_every_cell_codes_128_bits_of_a_patch_in_each_iteration(cell: CellName) -> None:
    torch.manual_seed(0)
    codes, pictures = run(PaperNetwork(cell), torch.rand(1, 3, 32, 32) - 0.5, 2)

    assert [c.shape for c in codes] == [(1, CODE_CHANNELS, 2, 2)] * 2
    assert all(set(c.flatten().tolist()) <= {-1.0, 1.0} for c in codes)
    assert pictures[-1].shape == (1, 3, 32, 32)
    assert not torch.equal(pictures[0], pictures[1])


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_updates_stay_within_what_the_framework_allows(framework: Framework) -> None:
    torch.manual_seed(0)
    _, pictures = run(PaperNetwork("gru", framework), torch.rand(1, 3, 32, 64) - 0.5, 3)
    limit = {"one_shot": 0.5, "additive": 1.5, "residual_scaling": 1.5}[framework]

    assert float(pictures[-1].abs().max()) <= limit
    assert pictures[-1].shape == (1, 3, 32, 64)


def test_a_framework_that_is_not_the_papers_is_refused() -> None:
    with pytest.raises(ValueError, match="'nested' is not one of the paper's"):
        PaperNetwork("gru", "nested")  # type: ignore[arg-type]


@pytest.mark.parametrize("divisor", [4, 8, 16])
def test_a_narrow_network_codes_as_many_bits(divisor: int) -> None:
    codes, pictures = run(PaperNetwork("lstm", "additive", divisor), torch.rand(1, 3, 32, 32) - 0.5, 2)

    assert [c.shape for c in codes] == [(1, CODE_CHANNELS, 2, 2)] * 2
    assert pictures[-1].shape == (1, 3, 32, 32)


def test_gains_are_above_one_and_shared_by_patches() -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        gain = GainNetwork()(torch.rand(2, 3, 64, 96) - 0.5)
    patches = gain.unfold(2, 32, 32).unfold(3, 32, 32)  # [N, 1, 2, 3, 32, 32]

    assert gain.shape == (2, 1, 64, 96)
    assert float(gain.min()) > 1.0
    assert torch.equal(patches, patches[..., :1, :1].expand_as(patches))


def test_size_and_cost_are_those_of_the_published_lstm() -> None:
    """35.5 million weights and 0.72 million multiply-accumulates per pixel and iteration."""
    network, pixels = PaperNetwork("lstm"), 32 * 32
    macs: list[float] = []

    def count(module: nn.Module, _inputs: Any, output: Tensor) -> None:  # noqa: ANN401 -- as hooks have it
        assert isinstance(module, nn.Conv2d)
        macs.append(module.weight.numel() * output.shape[2] * output.shape[3] / pixels)

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    target = torch.zeros(1, 3, 32, 32)
    with torch.no_grad():
        _, state = network.encode_step(target, network.initial_state(target))
        state = network.decode_step(torch.ones(1, CODE_CHANNELS, 2, 2), state)
        macs.clear()  # hidden convolutions run from the second iteration on
        bits, state = network.encode_step(target, state)
        network.decode_step(bits, state)

    weights = sum(p.numel() for p in network.parameters() if p.ndim > 1)
    assert weights == pytest.approx(35.5e6, rel=0.01)
    assert sum(macs) == pytest.approx(0.72e6, rel=0.01)
