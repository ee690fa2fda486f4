"""Channels of the state that nothing reads cost nothing to leave out, and the command says what others cost."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image
from tiny_codec import register_random_codec
from tiny_training import photograph

from pillow_rnc.models.weights import Weights, load, register
from research import state_width

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def weights(tmp_path: Path) -> Weights:
    return load(register(register_random_codec(tmp_path)).model_id)


def test_a_channel_that_nothing_reads_is_left_out_first_and_for_nothing(weights: Weights) -> None:
    width = weights.entropy_model.tensors.feature_weight.shape[1]
    idle = state_width.without(weights, [width - 1])
    images = [photograph(3, 64, 64)]
    iterations = (1, weights.config.iterations)

    (first, free), *_, (last, all_of_it) = state_width.measure(images, idle, iterations, width)

    assert (first, last) == (1, width)
    assert free.tolist() == [0, 0]
    stateless = replace(idle, entropy_model=state_width.without(idle, range(width)).entropy_model)
    bytes_of = [state_width.code_bytes(images, model, iterations) for model in (stateless, idle)]
    np.testing.assert_array_equal(all_of_it, bytes_of[0] / bytes_of[1] - 1)


def test_the_command_prints_a_row_for_each_width(
    weights: Weights, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(photograph(1, 64, 48)).save(tmp_path / "a.png")

    status = state_width.main([str(tmp_path), "--model", weights.name, "--iterations", "1,2", "--every", "2"])

    lines = capsys.readouterr().out.splitlines()
    width = weights.entropy_model.tensors.feature_weight.shape[1]
    assert status == 0
    assert lines[0].split("|")[1:4] == [" Channels ", " 1 iterations ", " 2 iterations "]
    assert [int(line.split("|")[1]) for line in lines[2:]] == [width - 1, *range(width - 2, -1, -2)]


def test_a_model_that_does_not_exist_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert state_width.main([str(tmp_path), "--model", "none"]) == 2
    assert "none" in capsys.readouterr().err
