"""The paper's network: shapes, size and cost as published, in every cell and framework."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import pytest
import torch
from torch import Tensor, nn

from pillow_rnc.errors import WeightsError
from pillow_rnc.models.complexity import bytes_per_pixel, macs_per_pixel
from pillow_rnc.models.config import CellName, Framework, RecurrentConfig
from pillow_rnc.models.families import make_network
from pillow_rnc.models.recurrent.paper_network import CODE_CHANNELS, GainNetwork, Memories, PaperNetwork

if TYPE_CHECKING:
    from typing import Any


def paper(cell: CellName = "lstm", framework: Framework = "additive", divisor: int = 1) -> PaperNetwork:
    return PaperNetwork(RecurrentConfig(network="paper", cell=cell, framework=framework, paper_divisor=divisor))


def run(network: PaperNetwork, target: Tensor, iterations: int) -> tuple[list[Tensor], list[Tensor]]:
    height, width = target.shape[2:]
    state, codes, pictures = network.initial_state(len(target), height // 8, width // 8), [], []
    memory: Memories | None = None
    with torch.no_grad():
        for _ in range(iterations):
            a, memory = network.encode_step(target, None, state, memory)
            bits: Tensor = network.binarizer(a)
            state = network.decode_step(bits, None, state)
            codes.append(bits)
            pictures.append(state.reconstruction)
    return codes, pictures


@pytest.mark.parametrize("cell", get_args(CellName))
def test_every_cell_codes_128_bits_of_a_patch_in_each_iteration(cell: CellName) -> None:
    torch.manual_seed(0)
    codes, pictures = run(paper(cell), torch.rand(1, 3, 32, 32) - 0.5, 2)

    assert [c.shape for c in codes] == [(1, CODE_CHANNELS, 2, 2)] * 2
    assert all(set(c.flatten().tolist()) <= {-1.0, 1.0} for c in codes)
    assert pictures[-1].shape == (1, 3, 32, 32)
    assert not torch.equal(pictures[0], pictures[1])


@pytest.mark.parametrize("framework", get_args(Framework))
def test_updates_stay_within_what_the_framework_allows(framework: Framework) -> None:
    torch.manual_seed(0)
    _, pictures = run(paper("gru", framework), torch.rand(1, 3, 32, 64) - 0.5, 3)
    limit = {"one_shot": 0.5, "additive": 1.5, "residual_scaling": 1.5}[framework]

    assert float(pictures[-1].abs().max()) <= limit
    assert pictures[-1].shape == (1, 3, 32, 64)


def test_other_codes_than_the_papers_are_refused() -> None:
    with pytest.raises(WeightsError, match="32 code channels at stride 8, the paper's network has 32 at 16"):
        make_network(RecurrentConfig(network="paper", code_stride=8))


def test_pixels_come_back_from_the_target() -> None:
    pixels = torch.arange(256.0).expand(1, 3, 8, 256)
    transform = paper(divisor=16).transform

    assert float(transform(pixels).abs().max()) == 0.5
    torch.testing.assert_close(transform.inverse(transform(pixels)), pixels)


@pytest.mark.parametrize("divisor", [4, 8, 16])
def test_a_narrow_network_codes_as_many_bits(divisor: int) -> None:
    codes, pictures = run(paper("lstm", "additive", divisor), torch.rand(1, 3, 32, 32) - 0.5, 2)

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
    network, pixels = paper("lstm"), 32 * 32
    macs: list[float] = []

    def count(module: nn.Module, _inputs: Any, output: Tensor) -> None:  # noqa: ANN401 -- as hooks have it
        assert isinstance(module, nn.Conv2d)
        macs.append(module.weight.numel() * output.shape[2] * output.shape[3] / pixels)

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    target = torch.zeros(1, 3, 32, 32)
    with torch.no_grad():
        state = network.initial_state(1, 4, 4)
        a, memory = network.encode_step(target, None, state, None)
        state = network.decode_step(network.binarizer(a), None, state)
        macs.clear()  # hidden convolutions run from the second iteration on
        a, _ = network.encode_step(target, None, state, memory)
        network.decode_step(network.binarizer(a), None, state)

    weights = sum(p.numel() for p in network.parameters() if p.ndim > 1)
    assert weights == pytest.approx(35.5e6, rel=0.01)
    assert sum(macs) == pytest.approx(0.72e6, rel=0.01)


def test_its_cost_is_that_of_its_convolutions_and_memory_falls_with_its_width() -> None:
    full, narrow = (RecurrentConfig(network="paper", cell="lstm", paper_divisor=q) for q in (1, 16))

    both = macs_per_pixel(full, 1, encoder=True) - macs_per_pixel(full, 1, encoder=False, decoder=False)
    assert 600_000 < both < 800_000
    assert macs_per_pixel(replace(full, framework="additive"), 2) < macs_per_pixel(full, 2)
    assert bytes_per_pixel(full) > 9 * bytes_per_pixel(narrow)
    assert bytes_per_pixel(RecurrentConfig()) < bytes_per_pixel(narrow)
