"""A command that is told to stop ends soon, with the status that a shell expects, and leaves nothing half-made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import psutil
import pytest
from default_signals import STOPS, with_default_signals
from PIL import Image

import pillow_rnc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the signals are those of Unix")

PATIENCE_S = 240
ROOT = Path(pillow_rnc.__file__).parents[1]
SUFFIXES = {"encode": (".png", ".rnc"), "decode": (".rnc", ".png")}
"""Of inputs and outputs."""


def start(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 -- of Popen
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PILLOW_RNC_KERNEL": "0"}  # so that work lasts
    command = [sys.executable, "-m", "pillow_rnc", *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
        preexec_fn=with_default_signals,  # noqa: PLW1509 -- made for it
        **options,
    )


def wait_for(claim: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Wait until something holds of a command that runs."""
    end = time.monotonic() + PATIENCE_S
    while not claim():
        assert process.poll() is None, "it ended by itself"
        assert time.monotonic() < end
        time.sleep(0.05)


def stop(process: subprocess.Popen[bytes], name: str, *, impatient: bool = False) -> tuple[int, bytes]:
    """Send a signal to the command and its workers, as a terminal does; return the status, and what it said.

    Whoever is impatient sends it again and again, until there is nothing to send it to.
    """
    os.killpg(process.pid, getattr(signal, name))
    while impatient and process.poll() is None:
        os.killpg(process.pid, getattr(signal, name))
        time.sleep(0.01)
    status = process.wait(PATIENCE_S)
    return status, cast("IO[bytes]", process.stderr).read()


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    yield path
    path.unlink()


@pytest.mark.parametrize(
    ("command", "name"),
    [
        pytest.param(command, name, marks=[] if (command, name) == ("encode", "SIGINT") else pytest.mark.slow)
        for command in ("info", "verify", "truncate", "encode", "decode")
        for name in STOPS
    ],
)
def test_a_stop_ends_a_command(command: str, name: str, pipe: Path) -> None:
    options = ["-i", "1"] if command == "truncate" else []
    with start(command, *options, pipe, cwd=pipe.parent) as process, pipe.open("wb") as fp:  # opens when it is read
        fp.write(b"\x8aRNC")
        fp.flush()
        assert stop(process, name) == (128 + getattr(signal, name), b"")

    assert [path.name for path in pipe.parent.iterdir()] == ["pipe"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "jobs", "name", "impatient"),
    [
        *(("encode", jobs, name, False) for jobs in (1, 2) for name in STOPS),
        *(("encode", jobs, "SIGINT", True) for jobs in (1, 2)),
        ("decode", 1, "SIGTERM", False),
        ("decode", 2, "SIGINT", False),
        ("decode", 2, "SIGTERM", False),
    ],
)
def test_a_stop_ends_a_run_over_a_folder_and_its_workers(
    command: str, jobs: int, name: str, impatient: bool, tmp_path: Path
) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    given, made = SUFFIXES[command]
    params: dict[str, Any] = {"iterations": 16} if given == ".rnc" else {"compress_level": 1}
    Image.effect_noise((600, 600), 80).save(source / f"0{given}", **params)
    for index in range(1, 24):  # work for many seconds
        os.link(source / f"0{given}", source / f"{index}{given}")
    complete = f"[!.]*{made}"  # an unfinished one begins with a dot
    with start(command, source, "-o", out, "-i", 16, "-j", jobs, "--quiet") as process:
        program = psutil.Process(process.pid)
        wait_for(lambda: any(out.glob(complete)), process)  # others are being made
        if jobs > 1:  # processes, and one that tracks resources
            wait_for(lambda: len(program.children(recursive=True)) > jobs, process)
        workers = program.children(recursive=True)
        assert (out / "manifest.jsonl").exists()
        assert stop(process, name, impatient=impatient) == (128 + getattr(signal, name), b"")
        assert not psutil.wait_procs(workers, PATIENCE_S)[1]

    outputs = {path.name for path in out.iterdir()} - {"manifest.jsonl"}
    assert 0 < len(outputs) < 24
    for output in outputs:
        assert output.endswith(made)
        assert not output.startswith(".")
        with Image.open(out / output) as im:
            im.load()
    records = [json.loads(line) for line in (out / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    assert {record["output"] for record in records} <= outputs
    assert not any(record["error"] for record in records)


def test_a_file_in_the_making_is_removed(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys, time\n"
        "from pathlib import Path\n"
        "from pillow_rnc.cli.stopping import end_on_signals\n"
        "from pillow_rnc.plugin.file_io import atomic_replace\n"
        "end_on_signals()\n"
        "with atomic_replace(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        f"    time.sleep({PATIENCE_S})\n"
    )
    (tmp_path / "old.rnc").write_bytes(b"old")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    for name in ("old.rnc", "new.rnc"):
        command = [sys.executable, "-c", program, str(tmp_path / name)]
        assert subprocess.run(command, check=False, env=environment, timeout=PATIENCE_S).returncode == 143

    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("old.rnc", b"old")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("redirection", "status", "said"),
    [
        pytest.param(
            ">/dev/full",
            1,
            b"rnc: standard output: No space left on device\n",
            marks=pytest.mark.skipif(sys.platform != "linux", reason="the device is one of Linux"),
        ),
        (">&-", 1, b"rnc: standard output: Bad file descriptor\n"),
        (">/dev/null 2>&-", 0, b""),
        ("<&- >&- 2>&-", 1, b""),
    ],
)
@pytest.mark.parametrize(
    "arguments",
    ["info x.rnc", "encode x.png -o y.rnc", "encode in -o out", "doctor", "autoload status", "--help", "--version"],
)
def test_standard_streams_may_be_closed_or_full(
    redirection: str, status: int, said: bytes, arguments: str, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("x.rnc", "x.png", "in/a.png"):
        Image.new("L", (8, 8)).save(tmp_path / name)
    ran = subprocess.run(
        ["sh", "-c", f"exec {sys.executable} -m pillow_rnc {arguments} {redirection}"],
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=120,
    )

    assert (ran.returncode, ran.stderr) == (status, said)
    if "-o" in arguments:
        assert (tmp_path / "y.rnc").exists() or (tmp_path / "out" / "a.rnc").exists()


def test_an_image_that_nobody_reads_ends_the_command(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "x.rnc")
    with start("truncate", "-i", 1, tmp_path / "x.rnc", "-o", "-") as process:
        cast("IO[bytes]", process.stdout).close()

        assert process.wait(PATIENCE_S) == 141
        assert cast("IO[bytes]", process.stderr).read() == b""
