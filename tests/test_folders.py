"""A run over a folder converts every image once, reports each bad one, and can be repeated at any time."""

from __future__ import annotations

import io
import json
import re
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import pytest
from photographs import BAD, add_bad, contents, write_pictures
from PIL import Image
from tiny_codec import register_tiny_codec

import pillow_rnc
from pillow_rnc.cli import conversion
from pillow_rnc.cli.folders import run_tasks
from pillow_rnc.cli.main import main
from pillow_rnc.cli.manifest import failure
from pillow_rnc.cli.tasks import Result
from pillow_rnc.cli.workers import Workers
from pillow_rnc.plugin import file_io

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return register_tiny_codec(tmp_path_factory.mktemp("weights"))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    write_pictures(folder, 4)
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "out"


GOOD = ["000", "002", "sub/001", "sub/003"]


class Runner:
    """Runs commands with the small model."""

    def __init__(self, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.model = model
        self.capsys = capsys

    def __call__(self, *arguments: object) -> tuple[int, list[dict[str, Any]]]:
        """Return the exit status and the records."""
        status = main([*map(str, arguments), "--model", str(self.model), "--json"])
        return status, [json.loads(line) for line in self.capsys.readouterr().out.splitlines()]


@pytest.fixture
def run(model: Path, capsys: pytest.CaptureFixture[str]) -> Runner:
    return Runner(model, capsys)


def lines(target: Path) -> dict[str, dict[str, Any]]:
    """Return the manifest, of which each input must have one line."""
    found = [json.loads(line) for line in (target / "manifest.jsonl").read_text().splitlines()]
    assert len({line["input"] for line in found}) == len(found)
    return {line["input"]: line for line in found}


def counts(record: dict[str, Any]) -> tuple[int, int, int]:
    return record["written"], record["skipped"], record["failed"]


def test_every_picture_is_encoded_and_decoded_below_the_folder(
    run: Runner, source: Path, target: Path, tmp_path: Path
) -> None:
    status, (record,) = run("encode", source, "-o", target, "-i", 3)

    assert (status, counts(record), record["other_files"]) == (0, (4, 0, 0), 1)
    assert list(contents(target)) == [f"{name}.rnc" for name in GOOD]
    for name, line in lines(target).items():
        data = (target / line["output"]).read_bytes()
        said = pillow_rnc.info(io.BytesIO(data))
        assert line["output"] == name.replace(".jpg", ".rnc")
        assert line["input_bytes"] == (source / name).stat().st_size
        assert (line["bytes"], line["iterations"], line["error"]) == (len(data), 3, None)
        assert (line["bpp"], line["model"]) == (said["bpp"], said["model"])
        assert line["seconds"] > 0
        with Image.open(source / name) as im:
            again = io.BytesIO()
            im.save(again, "RNC", model="tiny", iterations=3)
        assert again.getvalue() == data

    decoded = tmp_path / "decoded"
    status, (record,) = run("decode", target, "-o", decoded, "-i", 2, "-f", "webp")
    assert (status, counts(record)) == (0, (4, 0, 0))
    assert list(contents(decoded)) == [f"{name}.webp" for name in GOOD]
    line = lines(decoded)["sub/001.rnc"]
    assert (line["output"], line["iterations"]) == ("sub/001.webp", 2)
    assert (line["bpp"], line["model"]) == (lines(target)["sub/001.jpg"]["bpp"], lines(target)["sub/001.jpg"]["model"])
    status, (record,) = run("decode", target, "-o", decoded, "-i", 2, "-f", "webp")
    assert (status, counts(record)) == (0, (0, 4, 0))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["-i", "5"], "--iterations 5 is not allowed, give 1 to 4 for 'tiny'"),
        (["--device", "abacus", "-j", "2"], "--device 'abacus' "),
    ],
)
def test_what_is_wrong_for_every_picture_is_told_before_anything_is_written(
    arguments: list[str], error: str, run: Runner, source: Path, target: Path
) -> None:
    status, (record,) = run("encode", source, "-o", target, *arguments)

    assert status == 2
    assert record["error"].startswith(error)
    assert not target.exists()


def test_bad_inputs_are_told_one_by_one_and_stop_nothing(run: Runner, source: Path, target: Path) -> None:
    add_bad(source)
    status, records = run("encode", source, "-o", target)

    assert status == 1
    assert counts(records[-1]) == (5, 0, 4)
    assert {record["file"]: record["error_type"] for record in records[:-1]} == BAD
    assert list(contents(target)) == ["000.rnc", "002.rnc", "folder.jpg/good.rnc", "sub/001.rnc", "sub/003.rnc"]
    told = lines(target)
    for name, error_type in BAD.items():
        assert (told[name]["error_type"], told[name]["bytes"]) == (error_type, None)
    assert "not an image" in told["sub/text.jpg"]["error"]
    assert main(["encode", str(source), "-o", str(target), "--quiet"]) == 1
    captured = run.capsys.readouterr()
    assert captured.out == ""
    assert sorted(text.split(": ")[1] for text in captured.err.splitlines()) == sorted(BAD)
    assert lines(target) == told


def test_what_is_there_and_whole_is_left_alone(run: Runner, source: Path, target: Path) -> None:
    run("encode", source, "-o", target)
    before, told = contents(target), lines(target)
    times = {path: path.stat().st_mtime_ns for path in target.rglob("*.rnc")}
    data = before["002.rnc"]
    (target / "002.rnc").write_bytes(data[:-3] + bytes([data[-3] ^ 1]) + data[-2:])
    (target / "sub/001.rnc").unlink()
    (target / "sub/003.rnc").write_bytes(b"")
    status, records = run("encode", source, "-o", target, "--no-overwrite")
    assert (status, counts(records[-1])) == (1, (1, 1, 2))
    assert all("exists and is damaged" in record["error"] for record in records[:-1])
    status, records = run("encode", source, "-o", target)

    assert (status, counts(records[-1])) == (0, (2, 2, 0))
    assert contents(target) == before
    assert (target / "000.rnc").stat().st_mtime_ns == times[target / "000.rnc"]
    assert lines(target)["000.jpg"] == told["000.jpg"]
    assert lines(target)["002.jpg"]["error"] is None


def test_a_decoded_picture_that_is_damaged_is_made_again(run: Runner, source: Path, target: Path) -> None:
    run("encode", source, "-o", target)
    decoded = target.with_name("decoded")
    run("decode", target, "-o", decoded)
    before = contents(decoded)
    (decoded / "000.png").write_bytes(before["000.png"][:-40])
    (decoded / "002.png").write_bytes(before["002.png"].replace(b"IDAT", b"IDAU"))
    (record,) = run("decode", target, "-o", decoded)[1]

    assert counts(record) == (2, 2, 0)
    assert contents(decoded) == before


def test_a_lost_manifest_is_made_again_from_the_outputs(run: Runner, source: Path, target: Path) -> None:
    run("encode", source, "-o", target)
    told = lines(target)
    (target / "manifest.jsonl").unlink()
    (record,) = run("encode", source, "-o", target)[1]

    assert counts(record) == (0, 4, 0)
    assert lines(target) == {name: line | {"seconds": None} for name, line in told.items()}


def test_the_manifest_tells_what_the_outputs_are_now(run: Runner, source: Path, target: Path) -> None:
    run("encode", source, "-o", target)
    pillow_rnc.truncate(target / "000.rnc", target / "000.rnc", iterations=1)
    (record,) = run("encode", source, "-o", target)[1]

    assert counts(record) == (0, 4, 0)
    line = lines(target)["000.jpg"]
    assert (line["iterations"], line["bytes"]) == (1, (target / "000.rnc").stat().st_size)


def test_the_manifest_says_only_what_is_known_of_a_decoded_image(run: Runner, target: Path) -> None:
    target.mkdir()
    Image.linear_gradient("L").save(target / "a.rnc", iterations=8)
    decoded = target.with_name("decoded")

    for _ in range(2):
        run("decode", target, "-o", decoded, "--size", "20x20")
        assert lines(decoded)["a.rnc"]["iterations"] == 6
    told = lines(decoded)["a.rnc"]
    assert told["seconds"] > 0
    (decoded / "manifest.jsonl").unlink()
    run("decode", target, "-o", decoded, "--size", "20x20")
    assert lines(decoded)["a.rnc"] == told | {"seconds": None, "iterations": None}


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_bar_ends_with_the_last_file(
    source: Path, target: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source / "000.png").write_bytes(b"of the same output as 000.jpg")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)

    assert main(["encode", str(source), "-o", str(target), "--model", str(model), "-i", "1"]) == 1
    shown = re.findall(r"\d+/\d+ files", terminal.getvalue())
    assert {text.partition("/")[2] for text in shown} == {"5 files"}
    assert shown[-1] == "5/5 files"


def test_two_inputs_never_share_an_output(run: Runner, source: Path, target: Path) -> None:
    Image.new("RGB", (9, 9)).save(source / "000.png")
    status, records = run("encode", source, "-o", target)

    assert (status, counts(records[-1])) == (1, (3, 0, 2))
    assert [record["file"] for record in records[:-1]] == ["000.jpg", "000.png"]
    assert all("000.rnc is also that of another input" in record["error"] for record in records[:-1])
    assert not (target / "000.rnc").exists()


def test_names_that_differ_in_case_only_are_one_output_where_they_are_name_key(
    run: Runner, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_io, "CASE_SENSITIVE", True)
    assert file_io.name_key("Cat.rnc") != file_io.name_key("cat.rnc")
    monkeypatch.setattr(file_io, "CASE_SENSITIVE", False)
    for name in ("Cat.jpg", "cat.png"):
        Image.new("RGB", (9, 9)).save(source / name)
    status, records = run("encode", source, "-o", target)

    assert (status, counts(records[-1])) == (1, (4, 0, 2))
    assert [record["file"] for record in records[:-1]] == ["Cat.jpg", "cat.png"]


def test_files_that_pillow_only_writes_are_no_pictures(run: Runner, source: Path, target: Path) -> None:
    picture = Image.linear_gradient("L").resize((20, 20))
    picture.save(source / "page.pdf")
    picture.save(source / "photo.mpo")
    status, (record,) = run("encode", source, "-o", target)

    assert (status, counts(record), record["other_files"]) == (0, (5, 0, 0), 2)
    assert (target / "photo.rnc").exists()


def test_a_manifest_that_is_none_is_told(run: Runner, source: Path, target: Path) -> None:
    notes = source / "notes.txt"
    status, (record,) = run("encode", source, "-o", target, "--manifest", notes)

    assert (status, record["error_type"]) == (2, "RncOptionError")
    assert notes.read_text() == "no picture"
    assert not target.exists()


def test_outputs_may_lie_beside_their_inputs(run: Runner, source: Path) -> None:
    assert counts(run("encode", source, "-o", source)[1][0]) == (4, 0, 0)
    assert counts(run("encode", source, "-o", source)[1][0]) == (0, 4, 0)


def test_a_file_of_another_format_is_not_replaced(run: Runner, source: Path) -> None:
    schema = source / "000.rnc"
    schema.write_text("element card { text }")
    (source / "002.rnc").write_bytes(b"")
    status, records = run("encode", source, "-o", source)

    assert (status, counts(records[-1])) == (1, (3, 0, 1))
    assert records[0]["error"] == "output 000.rnc exists and is not a .rnc image"
    assert schema.read_text() == "element card { text }"


def test_processes_make_the_same_files(run: Runner, source: Path, target: Path, tmp_path: Path) -> None:
    add_bad(source)
    run("encode", source, "-o", target)
    status, records = run("encode", source, "-o", tmp_path / "two", "-j", 2)

    assert (status, counts(records[-1])) == (1, (5, 0, 4))
    assert contents(tmp_path / "two") == contents(target)
    assert lines(tmp_path / "two").keys() == lines(target).keys()


@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_urls_are_folders_too(scheme: str, run: Runner, source: Path, target: Path, tmp_path: Path) -> None:
    run("encode", source, "-o", target)
    base = f"{scheme}://{tmp_path.as_posix()}/urls"
    manifest = tmp_path / "told" / "manifest.jsonl"
    status, (record,) = run("encode", f"file://{source}", "-o", f"{base}/out", "--manifest", manifest)
    assert (status, counts(record), record["manifest"]) == (0, (4, 0, 0), str(manifest))
    assert lines(manifest.parent).keys() == lines(target).keys()
    (record,) = run("encode", source, "-o", f"{base}/out", "--manifest", manifest)[1]
    assert counts(record) == (0, 4, 0)
    status, (record,) = run("decode", f"{base}/out", "-o", tmp_path / "decoded")

    assert (status, counts(record)) == (0, (4, 0, 0))
    run("decode", target, "-o", tmp_path / "expected")
    assert contents(tmp_path / "decoded") == contents(tmp_path / "expected")


class Interrupted(ThreadPoolExecutor):
    """Executes two tasks, then the user has had enough."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:  # noqa: ANN401 -- as its base
        super().__init__(*arguments, **keywords)
        self.submitted: list[Future[Any]] = []

    def submit(self, *arguments: Any, **keywords: Any) -> Future[Any]:  # noqa: ANN401 -- as its base
        if len(self.submitted) == 2:
            wait(self.submitted)  # a task that has not begun would be cancelled
            raise KeyboardInterrupt
        future = super().submit(*arguments, **keywords)
        self.submitted.append(future)
        return future


def test_an_interrupted_run_goes_on_where_it_was(
    run: Runner, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("pillow_rnc.cli.workers.ThreadPoolExecutor", Interrupted)
        assert run("encode", source, "-o", target) == (130, [])
    assert len(contents(target)) == 2
    (record,) = run("encode", source, "-o", target)[1]

    assert counts(record) == (2, 2, 0)
    assert sorted(lines(target)) == sorted(f"{name}.jpg" for name in GOOD)


def test_tasks_in_flight_are_bounded() -> None:
    in_flight: list[Future[Result]] = []

    class Idle(ThreadPoolExecutor):
        def submit(self, *_arguments: Any, **_keywords: Any) -> Future[Any]:  # noqa: ANN401 -- as its base
            future: Future[Result] = Future()
            in_flight.append(future)
            if len(in_flight) == 7:
                for held in in_flight[:5]:
                    held.set_result(Result(line))
                del in_flight[:5]
            assert len(in_flight) <= 7
            return future

    line = failure("a", None, "error", "OSError")
    tasks = iter(range(10_000))
    done = run_tasks(tasks, Workers(Idle(1), 7))  # type: ignore[arg-type]

    assert next(done).line == line
    assert next(tasks) == 8


class StrangeError(Exception):
    """Is known to nobody."""


@pytest.mark.parametrize("error", [ZeroDivisionError("strange"), RecursionError("strange"), StrangeError("strange")])
def test_a_fault_that_nobody_expects_stops_nothing_either(
    error: Exception, run: Runner, source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = conversion.encode

    def encoded(fp: Any, options: Any) -> Any:  # noqa: ANN401 -- as it is
        if fp.name.endswith("002.jpg"):
            raise error
        return made(fp, options)

    monkeypatch.setattr(conversion, "encode", encoded)
    status, records = run("encode", source, "-o", target)

    assert (status, counts(records[-1])) == (1, (3, 0, 1))
    assert records[0] == {"file": "002.jpg", "error": "strange", "error_type": type(error).__name__}


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["encode", "IN", "-o", "OUT", "-i", "33"], "1 to 32"),
        (["encode", "IN", "-o", "OUT", "--model", "none"], "model 'none' is unknown"),
        (["encode", "IN", "-o", "OUT", "--model", "none.safetensors"], "cannot be read"),
        (["decode", "IN", "-o", "OUT"], "/in, but 5 other files\n"),
        (["decode", "IN", "-o", "OUT"], "no .rnc files below "),
        (["encode", "EMPTY", "-o", "OUT"], "/in/empty\n"),
        (["encode", "EMPTY", "-o", "OUT"], "no images below "),
        (["decode", "IN", "-o", "OUT", "-i", "0"], "1 to 32"),
        (["decode", "IN", "-o", "OUT", "-f", "nothing"], "'nothing' cannot be written"),
        (["encode", "IN", "-o", "memory://out"], "name one with --manifest"),
        (["encode", "IN", "-o", "memory://out", "--manifest", "m", "-j", "2"], "one process only"),
        (["encode", "memory://in", "-o", "OUT", "--dask", "tcp://here:1"], "one process only"),
        (["encode", "IN", "-o", "nothing://out"], "Protocol not known"),
        (["encode", "IN", "-o", "OUT", "--dask", "here"], "here"),
    ],
)
def test_what_would_fail_for_all_is_told_once_before_the_work(
    arguments: list[str], fault: str, source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"IN": str(source), "OUT": str(target), "EMPTY": str(source / "empty")}
    (source / "empty").mkdir()
    of_files = fault == "cannot be read" or "/in" in fault or " below " in fault
    assert main([places.get(argument, argument) for argument in arguments]) == (1 if of_files else 2)

    captured = capsys.readouterr()
    assert fault in captured.err
    assert captured.err.count("\n") == 1
    assert not target.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["encode", "IN"],
        ["encode", "IN", "-o", "-"],
        ["encode", "IN", "-o", "FILE"],
        ["encode", "IN", "FILE", "-o", "OUT"],
        ["encode", "FILE", "-o", "memory://out"],
        ["encode", "FILE", "--dask", "tcp://here:1"],
        ["encode", "FILE", "--manifest", "m"],
        ["encode", "IN", "-o", "OUT", "-j", "2", "--dask", "tcp://here:1"],
        ["decode", "IN", "-o", "OUT", "--steps"],
        ["decode", "memory://in"],
    ],
)
def test_wrong_usage_of_folders_has_its_own_status(arguments: list[str], source: Path, target: Path) -> None:
    places = {"IN": str(source), "OUT": str(target), "FILE": str(source / "000.jpg")}
    with pytest.raises(SystemExit) as caught:
        main([places.get(argument, argument) for argument in arguments])

    assert caught.value.code == 2
    assert not target.exists()
