"""Two processes that train together do what one does with twice the batch."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from tiny_codec import recurrent
from tiny_training import tiny_recipe, write_photographs

import pillow_rnc
from pillow_rnc.training.checkpoint import Checkpoint, read_newest
from pillow_rnc.training.data import load_photographs
from pillow_rnc.training.loop import Run
from pillow_rnc.training.process_group import ProcessGroup

if TYPE_CHECKING:
    from pillow_rnc.training.recipe import Recipe

pytestmark = pytest.mark.slow

STEPS = 4


def as_toml(recipe: Recipe) -> str:
    """Return a recipe as the text that a user would write."""
    values = recipe.as_dict()
    model = values.pop("model")

    def line(name: str, value: object) -> str:
        if isinstance(value, bool):
            return f"{name} = {str(value).lower()}"
        if isinstance(value, tuple):
            return f"{name} = {[list(row) for row in value]}"
        return f"{name} = {value!r}"

    lines = [line(n, v) for n, v in values.items()]
    return "\n".join([*lines, "[model]", *(line(n, v) for n, v in model.items())]).replace("'", '"')


def newest(folder: Path) -> Checkpoint:
    checkpoint = read_newest(folder)
    assert checkpoint is not None
    return checkpoint


def test_the_command_under_torchrun_equals_one_process_with_twice_the_batch(tmp_path: Path) -> None:
    data = write_photographs(tmp_path / "photos")
    # Its start takes no time; the greedy one of an embedded model would take most of that of this test.
    model = recurrent("residual_scaling")
    recipe = tiny_recipe(model=model, batch=2, block_iterations=STEPS * 4 * 4 * 4, downscaled_share=0.3)
    (tmp_path / "recipe.toml").write_text(as_toml(recipe))
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2",
        "-m", "pillow_rnc.training", str(tmp_path / "recipe.toml"), "--data", str(data), "--out", str(tmp_path / "two"),
        "--device", "cpu", "--threads", "1",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(Path(pillow_rnc.__file__).parent.parent), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert result.returncode == 0, result.stderr
    alone = Run(
        dataclasses.replace(recipe, batch=4),
        load_photographs(data, smallest_px=recipe.crop_px),
        tmp_path / "one",
        torch.device("cpu"),
    )
    for _ in range(STEPS):
        alone.train_step()
    alone.save()
    two, one = newest(tmp_path / "two"), newest(tmp_path / "one")

    assert "2 processes" in result.stderr
    assert two.state["step"] == one.state["step"] == STEPS
    assert two.state["block_iterations"] == one.state["block_iterations"]
    assert two.state["level"] == pytest.approx(one.state["level"], rel=1e-5)
    for name, tensor in one.moment1.items():
        torch.testing.assert_close(two.moment1[name], tensor, rtol=2e-3, atol=2e-5, msg=name)


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted as Linux shows them")
def test_the_threads_of_a_group_end_when_it_is_left(tmp_path: Path) -> None:
    """One at work while the interpreter ends would abort the process, after all has been done."""
    program = tmp_path / "program.py"
    program.write_text(
        "import pathlib, torch\n"
        "from pillow_rnc.training.process_group import ProcessGroup\n"
        "def threads():\n"
        "    names = [path.read_text() for path in pathlib.Path('/proc/self/task').glob('*/comm')]\n"
        "    return sum('gloo' in name for name in names)\n"
        "group = ProcessGroup.join(torch.device('cpu'))\n"
        "model = group.distributed(torch.nn.Linear(2, 2))\n"
        "model(torch.ones(1, 2)).sum().backward()\n"
        "assert threads() > 0\n"
        "del model\n"
        "group.leave()\n"
        "print('left with', threads(), flush=True)\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(program)]
    environment = os.environ | {"PYTHONPATH": str(Path(pillow_rnc.__file__).parent.parent), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("left with 0") == 2


def test_a_single_process_is_a_group_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    group = ProcessGroup.join(torch.device("cpu"))
    values = torch.tensor([1.0, 2.0])

    assert group == ProcessGroup(0, 1)
    assert group.is_main
    assert group.shard(4) == slice(0, 4)
    assert group.mean(values).tolist() == [1, 2]
    assert group.broadcast("yes") == "yes"
    group.leave()
