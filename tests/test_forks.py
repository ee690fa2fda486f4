"""A child that is forked while another thread loads or saves does the same work itself: no lock of ours stays held."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import pillow_rnc
from pillow_rnc.entropy.kernel import library
from pillow_rnc.errors import RncError
from pillow_rnc.fork_safety import ObjectLock

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
PROGRAM = Path(__file__).parent / "fork_program.py"
with_kernel = pytest.mark.skipif(not library.supported(), reason="the kernel was not built")


def run_program(*arguments: str, **variables: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(Path(pillow_rnc.__file__).parents[1])} | variables
    command = [sys.executable, "-W", "ignore", str(PROGRAM), *arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=570)

    assert result.stderr == ""
    assert result.returncode == 0, result.stdout
    return result.stdout.strip()


def forked(action: str, every: int) -> tuple[int, int]:
    """Return in how many children the work was done, and how many there were."""
    done, count = run_program(action, str(every)).split(" of ")
    return int(done), int(count)


@pytest.mark.parametrize("action", ["load", "path", "save", "copy"])
def test_a_child_forked_at_any_line_of_a_load_or_a_save_does_it_too(action: str) -> None:
    done, count = forked(action, 29)
    assert done == count >= 10


@pytest.mark.slow
@pytest.mark.parametrize("action", ["load", "path", "save", "copy"])
def test_a_child_forked_at_every_third_line_of_a_load_or_a_save_does_it_too(action: str) -> None:
    """At every line, `python tests/fork_program.py load 1` does it in a minute; likewise for path, save and copy."""
    done, count = forked(action, 3)
    assert done == count >= 80


@pytest.mark.parametrize(
    ("module", "kernel"),
    [
        ("pillow_rnc.codec.decoder", "0"),
        ("pillow_rnc.entropy.range_coder", "0"),
        ("within constriction", "0"),
        pytest.param("pillow_rnc.entropy.kernel._kernel", "1", marks=with_kernel),
    ],
)
def test_a_fork_waits_for_the_imports_of_the_first_load(module: str, kernel: str) -> None:
    """Otherwise the child would wait for ever for a module that a thread of its parent was importing."""
    assert run_program("first", module, **{library.VARIABLE: kernel}) == "1 of 1"


@pytest.mark.parametrize("kernel", ["0", pytest.param("1", marks=with_kernel)])
@pytest.mark.parametrize(
    "options", [{"iterations": 2}, {"max_bytes": 600}, {"target_psnr": 20}, {"model": "recurrent", "iterations": 1}]
)
def test_a_fork_would_wait_for_each_import_of_a_first_save_and_load(options: dict[str, object], kernel: str) -> None:
    assert run_program("imports", json.dumps(options), **{library.VARIABLE: kernel}) == ""


def test_a_fork_would_wait_for_each_import_of_torch() -> None:
    pytest.importorskip("torch", reason="needs torch")
    assert run_program("imports", json.dumps({"device": "cpu:0", "iterations": 1})) == ""


def test_a_thread_may_fork_within_an_image_of_its_own() -> None:
    lock = ObjectLock()
    with lock.held():
        child = os.fork()
        if not child:
            with lock.held():
                os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
    with lock.held():
        pass


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_that_on_progress_forks_is_told_that_it_cannot_continue(monkeypatch: pytest.MonkeyPatch) -> None:
    """With NumPy a thread is at work beside, which the child does not have; its parent is not disturbed."""
    monkeypatch.setenv(library.VARIABLE, "0")
    children: list[int] = []

    def fork(*_: object) -> None:
        if not children:
            children.append(os.fork())
            signal.alarm(0 if children[0] else 20)  # ends a child that hangs

    fp = io.BytesIO()
    Image.radial_gradient("L").resize((70, 40)).save(fp, "RNC", iterations=2)
    expected = pillow_rnc.open(io.BytesIO(fp.getvalue())).tobytes()
    im = pillow_rnc.open(fp, on_progress=fork)
    try:
        im.load()
    except RncError as error:
        if children == [0]:
            os._exit(5 if "forked child" in str(error) else 6)
        raise
    finally:
        if children == [0]:
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1]) == 5
    assert im.tobytes() == expected
