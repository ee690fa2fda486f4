"""A checkpoint is whole or it is not used; no kill and no full disk loses the one before."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from pillow_rnc.training import checkpoint
from pillow_rnc.training.checkpoint import Checkpoint, read_newest, write_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable


def sample(step: int) -> Checkpoint:
    generator = torch.Generator().manual_seed(step)
    parts = [{"a": torch.randn(4, 3, generator=generator), "b": torch.randn((), generator=generator)} for _ in range(4)]
    return Checkpoint(
        parts[0],
        parts[1],
        parts[2],
        parts[3],
        {"step": step, "updates": step, "block_iterations": 12.5, "recipe": {"name": "x"}},
    )


def same(one: Checkpoint | None, other: Checkpoint) -> bool:
    assert one is not None
    return one.state == other.state and all(
        torch.equal(getattr(one, part)[name], getattr(other, part)[name])
        for part in ("model", "average", "moment1", "moment2")
        for name in "ab"
    )


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, sample(5))

    assert same(read_newest(tmp_path), sample(5))
    assert read_newest(tmp_path / "nothing") is None


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 30, 100):
        write_checkpoint(tmp_path, sample(step))

    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000030", "step-00000100"]


def damage_part(folder: Path) -> None:
    path = folder / "moment1.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def cut_state(folder: Path) -> None:
    path = folder / "state.json"
    path.write_text(path.read_text()[:40])


def change_state(folder: Path) -> None:
    path = folder / "state.json"
    path.write_text(path.read_text().replace('"updates": 9', '"updates": 8'))


def other_json(folder: Path) -> None:
    (folder / "state.json").write_text("[1]")


def lose_part(folder: Path) -> None:
    (folder / "average.safetensors").unlink()


@pytest.mark.parametrize("damage", [damage_part, cut_state, change_state, other_json, lose_part])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(
    damage: Callable[[Path], None],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_checkpoint(tmp_path, sample(7))
    damage(write_checkpoint(tmp_path, sample(9)))
    with caplog.at_level(logging.WARNING):
        found = read_newest(tmp_path)

    assert same(found, sample(7))
    assert "step-00000009 is damaged" in caplog.text


def test_damaged_ones_do_not_push_out_what_is_written_after_them(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, sample(7))
    for step in (8, 9):
        damage_part(write_checkpoint(tmp_path, sample(step)))
    write_checkpoint(tmp_path, sample(7))
    write_checkpoint(tmp_path, sample(8))

    assert same(read_newest(tmp_path), sample(8))
    damage_part(tmp_path / "step-00000008")
    assert same(read_newest(tmp_path), sample(7))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device is one of Linux")
def test_a_full_disk_is_an_error_that_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(tmp_path, sample(1))
    whole_write = checkpoint._write_through

    def write_until_full(path: Path, data: bytes) -> None:
        if path.name == "moment2.safetensors":
            path = Path("/dev/full")  # accepts nothing: ENOSPC, from the kernel itself
        whole_write(path, data)

    monkeypatch.setattr(checkpoint, "_write_through", write_until_full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_checkpoint(tmp_path, sample(2))

    assert caught.value.errno == errno.ENOSPC
    assert same(read_newest(tmp_path), sample(1))
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001"], "nothing half-written is left to fill the disk"


class KilledError(BaseException):
    """Stands for SIGKILL: nothing of the process runs after it."""


@pytest.mark.parametrize("at", range(13))
def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(
    at: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every change that writing makes to the disk is counted; the run dies before number ``at``."""
    write_checkpoint(tmp_path, sample(1))
    write_checkpoint(tmp_path, sample(2))
    left = at
    functions: dict[str, Any] = {
        "write": checkpoint._write_through, "rmtree": shutil.rmtree, "rename": Path.rename, "mkdir": Path.mkdir,
    }  # fmt: skip

    def dying(name: str) -> Any:  # noqa: ANN401
        def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            nonlocal left
            if left == 0:
                raise KilledError
            left -= 1
            return functions[name](*args, **kwargs)

        return call

    with monkeypatch.context() as patched, contextlib.suppress(KilledError):
        patched.setattr(checkpoint, "_write_through", dying("write"))
        patched.setattr(shutil, "rmtree", dying("rmtree"))
        patched.setattr(Path, "rename", dying("rename"))
        patched.setattr(Path, "mkdir", dying("mkdir"))
        write_checkpoint(tmp_path, sample(3))

    assert (left == 0) == (at <= 11), "every moment was tried"
    found = read_newest(tmp_path)
    assert found is not None
    assert found.state["step"] == (3 if at >= 10 else 2)
    assert same(write_and_read(tmp_path, 4), sample(4)), "the run goes on"


def write_and_read(folder: Path, step: int) -> Checkpoint | None:
    write_checkpoint(folder, sample(step))
    return read_newest(folder)


def test_files_are_named_with_their_digests(tmp_path: Path) -> None:
    state = json.loads((write_checkpoint(tmp_path, sample(1)) / "state.json").read_text())

    assert set(state["sha256"]) == {"model", "average", "moment1", "moment2"}


def test_checkpoints_of_the_first_release_can_be_read(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, sample(1)) / "state.json"
    state = json.loads(path.read_text())
    del state["sha256_of_state"]
    path.write_text(json.dumps(state))

    assert same(read_newest(tmp_path), sample(1))
