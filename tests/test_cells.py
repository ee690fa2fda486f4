"""The cells compute the published equations, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy_cells as oracle
import pytest
import torch

from pillow_rnc.models.config import CellName
from pillow_rnc.models.layers.cells import State, make_cell

if TYPE_CHECKING:
    from numpy.typing import NDArray

INPUTS, CHANNELS, STEPS = 3, 4, 4
CELLS = get_args(CellName)


def random_cell(name: CellName, *, separable: bool, stride: int = 1, hidden_kernel: int = 3) -> torch.nn.Module:
    """Return a cell all of whose parameters are far from their gentle initial values."""
    generator = torch.Generator().manual_seed(7)
    cell = make_cell(name, INPUTS, CHANNELS, stride=stride, hidden_kernel=hidden_kernel, separable=separable)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.6)
    return cell


def oracle_outputs(name: str, cell: torch.nn.Module, inputs: NDArray[Any], stride: int) -> list[NDArray[np.float64]]:
    """Return the outputs of the restated cell for inputs [steps, N, in, h, w], from a zero state on."""
    tensors = {key: value.numpy().astype(np.float64) for key, value in cell.state_dict().items()}
    steps, n, _, height, width = inputs.shape
    shape = (n, CHANNELS, -(-height // stride), -(-width // stride))
    h = np.zeros(shape)
    memory = np.zeros(shape)
    half = CHANNELS // 2
    buffers = dict(cell.named_buffers())
    orders = [row[:half].tolist() for row in buffers["permutations"]] if "permutations" in buffers else []
    complexes = [np.zeros((n, half, *shape[2:]), complex) for _ in orders]
    if not separable_of(cell):  # a full cell has no biases on the hidden side: a zero state adds nothing
        assert not any(key.startswith("hidden") and key.endswith("bias") for key in tensors)
    outputs = []
    for step in range(steps):
        x = inputs[step].astype(np.float64)
        first = step == 0
        used = {k: (np.zeros_like(v) if first and k.startswith(("hidden", "shortcut_hidden")) else v)
                for k, v in tensors.items()}  # fmt: skip
        if name == "gru":
            h = oracle.gru(used, x, h, stride=stride)
            outputs.append(h)
        elif name == "residual_gru":
            out, h = oracle.residual_gru(used, x, h, stride=stride)
            outputs.append(out)
        elif name == "lstm":
            h, memory = oracle.lstm(used, x, h, memory, stride=stride)
            outputs.append(h)
        else:
            h, complexes = oracle.associative_lstm(used, orders, x, h, complexes, stride=stride)
            outputs.append(h)
    return outputs


def separable_of(cell: torch.nn.Module) -> bool:
    return any(key.endswith("spatial.weight") for key in cell.state_dict())


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("separable", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_cell_follows_its_equations(name: CellName, separable: bool, stride: int) -> None:
    cell = random_cell(name, separable=separable, stride=stride)
    inputs = np.random.default_rng(3).normal(size=(STEPS, 2, INPUTS, 6, 4)).astype(np.float32)

    state: State | None = None
    for step, expected in enumerate(oracle_outputs(name, cell, inputs, stride)):
        out, state = cell(torch.from_numpy(inputs[step]), state)
        np.testing.assert_allclose(out.detach().numpy(), expected, atol=2e-5, err_msg=f"step {step}")


@pytest.mark.parametrize("name", CELLS)
def test_none_is_the_zero_state_of_a_full_cell(name: CellName) -> None:
    cell = random_cell(name, separable=False)
    x = torch.randn(1, INPUTS, 4, 4)
    _, state = cell(x, None)
    zeros = tuple(torch.zeros_like(part) for part in state)

    torch.testing.assert_close(cell(x, zeros)[0], cell(x, None)[0])


def test_hidden_kernel_of_one_is_allowed() -> None:
    out, _ = random_cell("gru", separable=False, hidden_kernel=1)(torch.randn(1, INPUTS, 4, 6), None)

    assert out.shape == (1, CHANNELS, 4, 6)


def test_permutations_are_permutations_that_differ_from_copy_to_copy() -> None:
    rows = dict(make_cell("associative_lstm", 8, 64, separable=True).named_buffers())["permutations"][:, :32].tolist()

    assert all(sorted(row) == list(range(32)) for row in rows)
    assert len({tuple(row) for row in rows}) == len(rows)


def test_associative_cell_wants_complex_pairs() -> None:
    with pytest.raises(ValueError, match="must be even"):
        make_cell("associative_lstm", 4, 5, separable=True)


def test_unknown_cell_is_named() -> None:
    with pytest.raises(ValueError, match="'gro' is not one of"):
        make_cell("gro", 4, 4, separable=True)  # type: ignore[arg-type]
