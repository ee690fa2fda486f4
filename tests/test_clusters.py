"""Whoever is killed while a folder is encoded, in the end every picture is there once and whole, and is told of."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psutil
import pytest
from default_signals import with_default_signals
from gated_worker import FREE
from photographs import BAD, add_bad, contents, write_pictures
from tiny_codec import register_tiny_codec

import pillow_rnc
from pillow_rnc.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parent
PATIENCE_S = 240
COUNT = 10


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return register_tiny_codec(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures") / "in"
    write_pictures(folder, COUNT)
    add_bad(folder)
    return folder


@pytest.fixture(scope="module")
def expected(source: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files that one process makes."""
    folder = tmp_path_factory.mktemp("expected")
    assert main(["encode", str(source), "-o", str(folder), "--model", str(model), "--quiet"]) == 1
    return contents(folder)


class Programs:
    """Programs in processes of their own, which end with the test."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.stack = stack
        self.gate = folder / "gate"
        self.gate.mkdir()
        self.environment = os.environ | {
            "GATE": str(self.gate),
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(map(str, (Path(pillow_rnc.__file__).parents[1], TESTS))),
        }

    def start(self, name: str, *arguments: object, **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 -- of Popen
        """Start a module of Python; what it says goes to a file."""
        said: IO[bytes] = self.stack.enter_context((self.folder / f"{name}.log").open("wb"))
        command = [sys.executable, "-m", *map(str, arguments)]
        process = subprocess.Popen(command, stdout=said, stderr=said, env=self.environment, **options)
        self.stack.callback(process.wait, PATIENCE_S)
        self.stack.callback(process.kill)
        return process

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, {path.name: path.read_text() for path in self.folder.glob("*.log")}
            time.sleep(0.05)


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[Programs]:
    with ExitStack() as stack:
        yield Programs(tmp_path, stack)


class Cluster:
    """A scheduler and two workers of one thread, that wait at the gate after their first pictures."""

    def __init__(self, programs: Programs) -> None:
        file = programs.folder / "scheduler.json"
        common = ["--scheduler-file", file, "--no-dashboard"]
        self.scheduler = programs.start("scheduler", "distributed.cli.dask_scheduler", "--port", "0", *common)
        alone = ["--nthreads", "1", "--no-nanny", "--preload", TESTS / "gated_worker.py", *common]
        self.workers = [programs.start(f"worker{n}", "distributed.cli.dask_worker", *alone) for n in range(2)]
        programs.wait_for(file.exists)
        programs.wait_for(lambda: all("Registered to" in programs.said(f"worker{n}") for n in range(2)))
        self.address = json.loads(file.read_text())["address"]
        self.programs = programs

    def wait_until_both_work(self) -> None:
        """Wait until each worker has done what it may, and is in the middle of another picture."""
        pids = {str(worker.pid) for worker in self.workers}
        self.programs.wait_for(lambda: pids == {path.name for path in self.programs.gate.iterdir()})

    def open_gate(self) -> None:
        (self.programs.gate / "open").touch()


@pytest.fixture
def cluster(programs: Programs) -> Cluster:
    return Cluster(programs)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def arguments(source: Path, target: Path, model: Path) -> list[object]:
    return [source, "-o", target, "--model", model]


def encode(programs: Programs, name: str, *arguments: object) -> subprocess.Popen[bytes]:
    return programs.start(name, "pillow_rnc", "encode", "--json", *arguments)


def check(programs: Programs, name: str, target: Path, expected: dict[str, bytes]) -> dict[str, Any]:
    """Return the sum of a run, of which all else must be right."""
    records = [json.loads(line) for line in programs.said(name).splitlines() if line.startswith("{")]
    assert {record["file"]: record["error_type"] for record in records[:-1]} == BAD
    assert contents(target) == expected
    for output in expected:
        pillow_rnc.verify(target / output)
    told = [json.loads(line) for line in (target / "manifest.jsonl").read_text().splitlines()]
    assert len(told) == len({line["input"] for line in told}) == len(expected) + len(BAD)
    assert {line["output"]: line["bytes"] for line in told if line["error"] is None} == {
        output: len(data) for output, data in expected.items()
    }
    total: dict[str, Any] = records[-1]
    assert total["failed"] == len(BAD)
    assert total["written"] + total["skipped"] == len(expected)
    return total


def test_a_worker_is_killed(
    cluster: Cluster, arguments: list[object], target: Path, expected: dict[str, bytes]
) -> None:
    programs = cluster.programs
    client = encode(programs, "client", *arguments, "--dask", cluster.address)
    cluster.wait_until_both_work()
    assert len(contents(target)) < len(expected)
    cluster.workers[0].kill()
    cluster.workers[0].wait(PATIENCE_S)
    cluster.open_gate()

    assert client.wait(PATIENCE_S) == 1
    # What the killed worker had written, but not yet told of, was found by the other.
    assert check(programs, "client", target, expected)["written"] >= len(expected) - FREE


def test_the_client_is_killed_and_started_again(
    cluster: Cluster, arguments: list[object], target: Path, expected: dict[str, bytes]
) -> None:
    programs = cluster.programs
    client = encode(programs, "killed", *arguments, "--dask", cluster.address)
    cluster.wait_until_both_work()
    client.kill()
    client.wait(PATIENCE_S)
    before = contents(target)
    assert 0 < len(before) < len(expected)
    assert all(expected[name] == data for name, data in before.items())
    cluster.open_gate()
    again = encode(programs, "again", *arguments, "--dask", cluster.address)

    assert again.wait(PATIENCE_S) == 1
    assert check(programs, "again", target, expected)["skipped"] >= len(before)
    loads = (
        "import sys; from distributed import Client\n"
        "def loads():\n"
        "    from pillow_rnc.models import weights\n"
        "    return weights._load.cache_info().misses\n"
        "print(sorted(Client(sys.argv[1]).run(loads).values()))"
    )
    command = [sys.executable, "-c", loads, cluster.address]
    result = subprocess.run(command, env=programs.environment, capture_output=True, text=True, check=True)
    assert result.stdout == "[1, 1]\n", "each worker loads the model once"


@pytest.mark.skipif(sys.platform == "win32", reason="the signals are those of Unix")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_client_is_stopped_and_started_again(
    name: str, cluster: Cluster, arguments: list[object], target: Path, expected: dict[str, bytes]
) -> None:
    programs, number = cluster.programs, getattr(signal, name)
    everything = ["pillow_rnc", "encode", "--json", *arguments, "--dask", cluster.address]
    client = programs.start("stopped", *everything, preexec_fn=with_default_signals)
    cluster.wait_until_both_work()
    processes = psutil.Process(client.pid).children(recursive=True)
    client.send_signal(number)

    assert client.wait(PATIENCE_S) == 128 + number
    assert "Traceback" not in programs.said("stopped")
    assert psutil.wait_procs(processes, PATIENCE_S)[1] == []
    assert all(worker.poll() is None for worker in cluster.workers), "they are the user's"
    before = contents(target)
    told = [json.loads(line) for line in (target / "manifest.jsonl").read_text().splitlines()]
    assert {line["output"] for line in told if line["error"] is None} <= before.keys() < expected.keys()
    assert all(expected[output] == data for output, data in before.items())
    cluster.open_gate()
    assert programs.start("again", *everything).wait(PATIENCE_S) == 1
    assert check(programs, "again", target, expected)["skipped"] >= len(before)


def test_the_scheduler_is_killed(
    cluster: Cluster, arguments: list[object], target: Path, expected: dict[str, bytes]
) -> None:
    programs = cluster.programs
    programs.environment["DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT"] = "2s"
    client = encode(programs, "client", *arguments, "--dask", cluster.address)
    cluster.wait_until_both_work()
    cluster.scheduler.kill()

    assert client.wait(PATIENCE_S) == 1
    assert "the cluster was lost" in programs.said("client")
    assert encode(programs, "alone", *arguments).wait(PATIENCE_S) == 1
    check(programs, "alone", target, expected)


def test_a_command_with_processes_is_killed_and_started_again(
    programs: Programs, model: Path, expected: dict[str, bytes], target: Path
) -> None:
    source = target.with_name("in")
    write_pictures(source, COUNT)
    add_bad(source)
    held = source / "sub" / "001.jpg"
    picture = held.read_bytes()
    held.unlink()
    os.mkfifo(held)  # who opens it waits
    arguments = [source, "-o", target, "--model", model, "-j", 2]
    client = encode(programs, "killed", *arguments)
    others = expected.keys() - {"sub/001.rnc"}
    programs.wait_for(lambda: all((target / output).exists() for output in others))
    processes = psutil.Process(client.pid).children(recursive=True)
    client.send_signal(signal.SIGKILL)
    client.wait(PATIENCE_S)

    assert psutil.wait_procs(processes, PATIENCE_S)[1] == []
    held.unlink()
    held.write_bytes(picture)
    assert encode(programs, "again", *arguments).wait(PATIENCE_S) == 1
    total = check(programs, "again", target, expected)
    assert (total["written"], total["skipped"]) == (1, len(expected) - 1)
