"""``python -m pillow_rnc.training`` keeps its time, says what it has, and outlives being killed."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from test_training_process_group import as_toml, newest
from tiny_codec import recurrent
from tiny_training import tiny_recipe, write_photographs

import pillow_rnc
from pillow_rnc.training.__main__ import main

pytestmark = pytest.mark.slow

STEPS = 40
PATIENCE_S = 240


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """Return the arguments of a run of some steps, all but --out."""
    # The start of an embedded model would take longer than all steps, in each process.
    recipe = tiny_recipe(model=recurrent("residual_scaling"), block_iterations=STEPS * 2 * 4 * 4, entropy_only_steps=3)
    (tmp_path / "recipe.toml").write_text(as_toml(recipe))
    data = write_photographs(tmp_path / "photos")
    (data / "notes.txt").write_text("no picture")
    # Sums depend on how many threads add them up, so all runs have as many.
    threads = str(torch.get_num_threads())
    return [str(tmp_path / "recipe.toml"), "--data", str(data), "--device", "cpu", "--threads", threads]


def last_step(folder: Path) -> int:
    """Return the last step of which there is a checkpoint, or the beginning of one."""
    return max((int(path.name[5:13]) for path in folder.glob("step-*")), default=-1)


def test_a_run_that_is_killed_ends_like_one_that_is_not(command: list[str], tmp_path: Path) -> None:
    """SIGKILL, in the middle of steps and of writing a checkpoint after each; twice."""
    environment = os.environ | {"PYTHONPATH": str(Path(pillow_rnc.__file__).parent.parent)}
    arguments = [*command, "--out", str(tmp_path / "killed"), "--save-minutes", "0"]
    for beyond in (3, 8):
        with subprocess.Popen([sys.executable, "-m", "pillow_rnc.training", *arguments], env=environment) as process:
            start = time.monotonic()
            while last_step(tmp_path / "killed") < beyond:
                assert process.poll() is None, "it ended by itself"
                assert time.monotonic() - start < PATIENCE_S, "no checkpoint comes"
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
    main(arguments)
    main([*command, "--out", str(tmp_path / "whole")])
    killed, whole = newest(tmp_path / "killed"), newest(tmp_path / "whole")

    assert killed.state["resumed"] == 2
    assert killed.state["step"] == whole.state["step"] == STEPS
    for part in ("model", "average", "moment1", "moment2"):
        expected = getattr(whole, part)
        assert all(torch.equal(tensor, expected[name]) for name, tensor in getattr(killed, part).items()), part


def test_it_says_what_it_trains_on_and_ends_in_time(
    command: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        main([*command, "--out", str(tmp_path / "run"), "--minutes", "0"])

    assert "3 images to train on, 1 held out, 1 skipped" in caplog.text
    assert "notes.txt" in caplog.text
    assert newest(tmp_path / "run").state["step"] == 0
