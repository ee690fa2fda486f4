"""Muon: which parameters it moves, how far, and that an unsound step moves nothing."""

from __future__ import annotations

import pytest
import torch
from tiny_codec import CONFIG

from pillow_rnc.models.families import make_network
from pillow_rnc.training.muon import Muon, is_matrix, orthogonalised


def test_matrices_are_the_weights_that_mix_channels() -> None:
    found = {name.removeprefix("decoder.") for name, p in make_network(CONFIG).named_parameters() if is_matrix(name, p)}
    maps = {"midpoint_projection", "half_width_projection", "down", "up", "output"}
    maps |= {f"{cell}.{part}" for cell in ("context", "detail") for part in ("input.mix", "hidden.mix")}

    # The candidates of this tiny model have 8 inputs, as few as a depthwise kernel has taps.
    assert found == {
        f"{name}.weight" for name in maps if name in {"midpoint_projection", "half_width_projection", "down"}
    }


@pytest.mark.parametrize("shape", [(12, 12), (40, 12), (12, 200)])
def test_singular_values_come_close_to_one_and_vectors_stay(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    core = u.T @ orthogonalised(matrix) @ v.T
    values = core.diagonal()

    assert 0.4 < values.min() <= values.max() < 1.3
    assert (core - torch.diag(values)).abs().max() < 1e-3
    assert not orthogonalised(torch.zeros(shape)).any()


def parameter_with(gradient: torch.Tensor) -> torch.Tensor:
    parameter = torch.zeros_like(gradient)
    parameter.grad = gradient
    return parameter


def test_a_step_goes_against_the_gradient_by_the_rate() -> None:
    gradient = torch.randn(16, 20, 1, 1, generator=torch.Generator().manual_seed(2))
    parameter = parameter_with(gradient)
    Muon([("a", parameter)], torch.tensor(0.5)).step(torch.tensor(0.0))
    moved = parameter.flatten(1)

    assert (moved * gradient.flatten(1)).sum() < 0
    assert 0.3 < torch.linalg.matrix_norm(moved, 2) < 0.65


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, 1.0])
def test_an_unsound_step_leaves_everything_as_it_was(bad: float) -> None:
    parameter = parameter_with(torch.full((16, 20), bad))
    muon = Muon([("a", parameter)], torch.tensor(0.5))
    muon.step(torch.tensor(1.0))

    assert not parameter.any()
    assert not muon.momentum["a"].any()


def test_a_parameter_without_gradient_stays() -> None:
    parameter = torch.ones(16, 20)
    Muon([("a", parameter)], torch.tensor(0.5)).step(torch.tensor(0.0))

    assert torch.equal(parameter, torch.ones(16, 20))
