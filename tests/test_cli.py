"""The command line does each file on its own, says what it did, and never harms an old file."""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
from fake_codec import FakeCodec
from PIL import ExifTags, Image

import pillow_rnc
from pillow_rnc.cli import commands, conversion
from pillow_rnc.cli.main import main
from pillow_rnc.container import writer
from pillow_rnc.container.signature import SIGNATURE
from pillow_rnc.entropy.kernel import library
from pillow_rnc.models import weights
from pillow_rnc.models.config import EmbeddedConfig


@pytest.fixture(autouse=True)
def codec(monkeypatch: pytest.MonkeyPatch) -> FakeCodec:
    """Replace the network."""
    fake = FakeCodec()
    fake.install(monkeypatch)
    return fake


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.linear_gradient("L").convert("RGB").resize((50, 40)).save(path, exif=exif, dpi=(72, 72))
    return path


@pytest.fixture
def stored(photo: Path) -> Path:
    path = photo.with_name("stored.rnc")
    with Image.open(photo) as im:
        im.save(path, iterations=4)
    return path


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, list[dict[str, Any]]]:
    """Run a command with --json and return its status and its records."""
    status = main([*map(str, arguments), "--json"])
    return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_info_says_what_is_in_a_file(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, (record,) = run(capsys, "info", stored)

    assert status == 0
    assert record["file"] == str(stored)
    assert (record["width"], record["height"], record["iterations"]) == (50, 40, 4)
    assert len(record["bytes_per_iteration"]) == 4
    assert main(["info", str(stored)]) == 0
    assert "bytes per iteration: " in capsys.readouterr().out


def test_one_bad_file_does_not_stop_the_others(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = stored.with_name("cut.rnc")
    cut.write_bytes(stored.read_bytes()[:-1])
    missing = stored.with_name("missing.rnc")
    status, records = run(capsys, "verify", cut, missing, stored)

    assert status == 1
    assert [record.get("error_type") for record in records] == ["TruncatedError", "FileNotFoundError", None]
    assert records[2]["verified"]
    assert main(["verify", str(cut)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"rnc: {cut}: image file is truncated")


def test_truncate_cuts(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = stored.with_name("out.rnc")
    status, (record,) = run(capsys, "truncate", "-i", 2, "-o", out, stored)

    assert (status, record["iterations"], record["file_bytes"]) == (0, 2, out.stat().st_size)
    status, (record,) = run(capsys, "truncate", "--target-size", "0.01M", "-o", stored, stored)
    assert (status, record["iterations"]) == (0, pillow_rnc.info(stored)["iterations"])
    assert record["file_bytes"] <= 10_000
    status, (record,) = run(capsys, "truncate", "-i", 1, stored)
    assert status == 1
    assert "is the input itself" in record["error"]


def test_encode_and_decode_go_there_and_back(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, (record,) = run(capsys, "encode", "-i", 8, photo)
    encoded = photo.with_suffix(".rnc")
    assert (status, record["output"], record["iterations"]) == (0, str(encoded), 8)
    assert record["input_bytes"] == photo.stat().st_size

    decoded = photo.with_name("decoded.png")
    status, (record,) = run(capsys, "decode", "-o", decoded, encoded)
    assert (status, record["width"], record["iterations"]) == (0, 50, 8)
    with Image.open(photo) as before, Image.open(decoded) as after:
        assert before.tobytes() == after.tobytes()
        assert after.getexif()[ExifTags.Base.Orientation] == 6

    status, (record,) = run(capsys, "decode", "-o", decoded, "--region", "10,0,50,7", "-i", 3, encoded)
    assert (record["width"], record["height"], record["iterations"]) == (40, 7, 3)
    part = decoded.read_bytes()
    assert run(capsys, "decode", "-o", decoded, "--region", "40x7+10+0", "-i", 3, encoded)[0] == 0
    assert decoded.read_bytes() == part


def test_many_files_go_into_a_folder(photo: Path, stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = photo.with_name("folder")
    with pytest.raises(SystemExit) as caught:
        main(["encode", "-o", str(folder), str(photo), str(stored)])
    assert caught.value.code == 2
    folder.mkdir()
    capsys.readouterr()
    status, records = run(capsys, "encode", "-o", folder, "--strip", "all", photo, stored)

    assert status == 0
    assert [Path(record["output"]).name for record in records] == ["photo.rnc", "stored.rnc"]
    for record in records:
        assert not pillow_rnc.info(record["output"])["metadata_bytes"].keys() & {"exif", "xmp", "icc_profile"}


def test_a_failed_run_leaves_the_old_file_as_it_was(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = photo.with_suffix(".rnc")
    old.write_bytes(SIGNATURE + b"old")
    for arguments, expected in (
        (["-i", 33], 2),
        (["--target-size", 9], 1),
        (["-i", "keep"], 1),
        (["-q", 101], 2),
        (["--alpha-quality", -1], 2),
        (["--model", "nope"], 2),
        (["--no-overwrite"], 1),
    ):
        status, (record,) = run(capsys, "encode", *arguments, photo)
        assert status == expected
        assert record["error_type"] == "RncOptionError"

    assert old.read_bytes() == SIGNATURE + b"old"
    assert sorted(entry.name for entry in photo.parent.iterdir()) == ["photo.png", "photo.rnc"]


@pytest.mark.parametrize("jobs", [1, 3])
def test_files_that_would_share_an_output_are_refused_before_anything_is_written(
    jobs: int, photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, third, out = photo.parent / "other" / "photo.jpg", photo.with_name("third.png"), photo.with_name("out")
    other.parent.mkdir()
    out.mkdir()
    for path in (other, third):
        path.write_bytes(photo.read_bytes())
    status, records = run(capsys, "encode", "-k", "-j", jobs, "-o", out, photo, third, other)

    assert status == 1
    assert [record.get("error_type") for record in records] == ["RncOptionError", None, "RncOptionError"]
    assert records[0]["error"] == f"output {out / 'photo.rnc'} is also that of another input"
    assert [entry.name for entry in out.iterdir()] == ["third.rnc"]
    beside = photo.with_suffix(".jpg")
    beside.write_bytes(photo.read_bytes())
    status, records = run(capsys, "encode", "-k", photo, beside, photo.with_name("missing.png"))
    assert [record["error_type"] for record in records] == ["RncOptionError", "RncOptionError", "FileNotFoundError"]
    assert not photo.with_suffix(".rnc").exists()


def test_a_folder_as_output_is_no_leave_to_replace_the_input(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stored.read_bytes()
    status, (record,) = run(capsys, "truncate", "-i", 1, "-o", stored.parent, stored)

    assert (status, record["error_type"]) == (1, "RncOptionError")
    assert record["error"] == f"output for {stored} is the input itself, name it with --output"
    link = stored.parent / "links" / stored.name
    link.parent.mkdir()
    link.symlink_to(stored)
    assert run(capsys, "truncate", "-i", 1, "-o", link.parent, stored)[0] == 1
    assert stored.read_bytes() == before
    assert run(capsys, "truncate", "-i", 1, "-o", stored, stored)[0] == 0
    assert stored.read_bytes() != before


def test_decoding_replaces_only_what_is_named(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original = photo.read_bytes()
    for _ in range(2):
        assert run(capsys, "encode", "-i", 1, photo)[0] == 0
    status, (record,) = run(capsys, "decode", photo.with_suffix(".rnc"))

    assert (status, record["error_type"]) == (1, "RncOptionError")
    assert record["error"] == f"output {photo} exists, name it with --output to replace it"
    assert photo.read_bytes() == original
    assert run(capsys, "decode", "-o", photo, photo.with_suffix(".rnc"))[0] == 0
    assert photo.read_bytes() != original


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_an_output_that_is_a_pipe_or_a_link_stays_one(
    photo: Path, stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe, real, link = (photo.with_name(name) for name in ("pipe.png", "real.rnc", "link.rnc"))
    os.mkfifo(pipe)
    link.symlink_to(real)
    end = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run(capsys, "decode", "-o", pipe, stored)[0] == 0
        assert run(capsys, "decode", "-o", photo.with_name("same.png"), stored)[0] == 0
        assert os.read(end, 1 << 20) == photo.with_name("same.png").read_bytes()
    finally:
        os.close(end)
    assert pipe.is_fifo()
    for command in (["encode", "-i", 2, photo], ["truncate", "-i", 1, stored]):
        status, (record,) = run(capsys, *command, "-o", link)
        assert (status, record["file_bytes"]) == (0, real.stat().st_size)
    assert link.is_symlink()


@pytest.mark.parametrize("name", ["picture", "picture.xyz", "picture.psd"])
def test_a_format_that_cannot_be_written_is_told_before_the_work(
    name: str, stored: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "open_image", None)
    status, (record,) = run(capsys, "decode", "-o", stored.with_name(name), stored)

    assert (status, record["error_type"]) == (1, "RncOptionError")
    assert f"{name} has no suffix of a format that this Pillow can write" in record["error"]


@pytest.mark.parametrize("command", [["decode"], ["decode", "--steps"], ["view"]])
def test_an_unknown_model_is_refused(command: list[str], stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, (record,) = run(capsys, *command, stored, "-o", stored.with_name("out.png"), "--model", "nonsense")

    assert status == 2
    assert record["error"].startswith("model 'nonsense' is unknown, allowed are auto, ")
    assert not list(stored.parent.glob("out*"))


def test_a_cut_file_is_decoded_only_when_asked(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = stored.with_name("cut.rnc")
    cut.write_bytes(stored.read_bytes()[:-1])

    assert run(capsys, "decode", cut)[0] == 1
    status, (record,) = run(capsys, "decode", "--allow-truncated", cut)
    assert (status, record["iterations"]) == (0, 3)


def test_doctor_names_the_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    status, (record,) = run(capsys, "doctor")

    assert record["registered"]
    assert record["numpy"]
    assert status == bool(record["problems"])
    assert main(["doctor"]) == status
    assert "registered: True" in capsys.readouterr().out


def test_doctor_tries_each_device(capsys: pytest.CaptureFixture[str]) -> None:
    _, (record,) = run(capsys, "doctor", "--run")

    assert record["seconds"]["cpu"] >= 0
    assert not [problem for problem in record["problems"] if "cpu" in problem]


def test_doctor_tells_what_is_wrong(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Image.EXTENSION, ".rnc", "RELAX")
    monkeypatch.setattr(weights, "releases", tuple)
    status, (record,) = run(capsys, "doctor")

    assert status == 1
    assert {"another plugin has taken RNC or .rnc in Pillow", "no weights are installed"} <= set(record["problems"])


def test_problems_are_told_apart(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    problems = ["numpy is not installed", "cffi is not installed"]
    monkeypatch.setattr("pillow_rnc.cli.doctor.examine", lambda **_: {"tiles": (2, 3), "problems": problems})

    assert main(["doctor"]) == 1
    assert capsys.readouterr().out == "  tiles: 2 3\n  problems: numpy is not installed; cffi is not installed\n"


@pytest.mark.parametrize("kernel", [False, True])
def test_doctor_misses_constriction_where_there_is_no_kernel(
    kernel: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    version = importlib.metadata.version

    def found(name: str) -> str:
        if name == "constriction":
            raise importlib.metadata.PackageNotFoundError
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", found)
    monkeypatch.setattr(library, "supported", lambda: ("plain",) * kernel)
    _, (record,) = run(capsys, "doctor")

    assert record["constriction"] is None
    assert ("constriction is not installed" in record["problems"]) is not kernel


# Many files, streams and terminals


@pytest.fixture
def photos(photo: Path) -> list[Path]:
    """Return six inputs, of which the third is damaged."""
    paths = [photo.with_name(f"{number}.png") for number in range(6)]
    for path in paths:
        path.write_bytes(b"damaged" if path.stem == "2" else photo.read_bytes())
    return paths


@pytest.mark.parametrize("jobs", [0, 1, 4])
def test_files_at_the_same_time_are_reported_in_order(
    jobs: int, photos: list[Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    status, records = run(capsys, "encode", "-j", jobs, "--keep-going", *photos)

    assert status == 1
    assert [record["file"] for record in records] == list(map(str, photos))
    assert [path.stem for path in photos if not path.with_suffix(".rnc").exists()] == ["2"]
    one = photos[0].with_suffix(".rnc").read_bytes()
    assert {path.with_suffix(".rnc").read_bytes() for path in photos if path.stem != "2"} == {one}


def test_cores_are_shared_out_before_numpy_is_loaded(
    photos: list[Path], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "so that it is put back")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    monkeypatch.setattr(weights, "check_iterations", lambda *_: found.append(os.environ.get("OPENBLAS_NUM_THREADS")))

    assert run(capsys, "encode", "-j", 2, "-i", 1, *photos[:2])[0] == 0
    assert found[0] == "3"


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_ends_the_work_unless_told_to_go_on(
    jobs: int, photos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    status, records = run(capsys, "encode", "-j", jobs, *photos)

    assert status == 1
    assert ["error" in record for record in records] == [False, False, True]
    if jobs == 1:
        assert not photos[3].with_suffix(".rnc").exists()


def test_a_fault_of_another_plugin_does_not_stop_the_others(
    photo: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = photo.with_name("strange.dds")
    strange.write_bytes(b"DDS " + (124).to_bytes(4, "little") + bytes(120))
    status, records = run(capsys, "encode", "-k", strange, photo)
    assert status == 1
    assert [record.get("error_type") for record in records] == ["NotImplementedError", None]

    def fail(*_arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(conversion, "encode", fail)
    assert run(capsys, "encode", photo)[1][0]["error"] == "MemoryError"


class Stream(io.TextIOWrapper):
    """A standard stream over bytes, that may say it is a terminal."""

    def __init__(self, data: bytes = b"", *, terminal: bool = False, encoding: str | None = None) -> None:
        super().__init__(io.BytesIO(data), write_through=True, encoding=encoding)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    @property
    def content(self) -> bytes:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue()


def piped(monkeypatch: pytest.MonkeyPatch, data: bytes, *arguments: str) -> tuple[int, bytes, bytes]:
    """Run a command on standard input, and return its status, its output and what it said."""
    monkeypatch.setattr(sys, "stdin", Stream(data))
    out, err = Stream(), Stream()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    status = main(list(arguments))
    return status, out.content, err.content


def test_pictures_go_through_pipes(photo: Path, stored: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, encoded, said = piped(monkeypatch, photo.read_bytes(), "encode", "-i", "4", "-")
    assert (status, encoded) == (0, stored.read_bytes())
    assert json.loads(piped(monkeypatch, photo.read_bytes(), "encode", "-", "--json")[2])["output"] == "-"
    assert b"iterations: 4" in said

    status, cut, _ = piped(monkeypatch, encoded, "truncate", "-i", "2", "-o", "-", "-")
    assert (status, cut) == (0, writer.truncate(encoded, 2))
    assert piped(monkeypatch, cut, "verify", "-")[0] == 0
    status, said, _ = piped(monkeypatch, cut, "info", "--json", "-")
    assert json.loads(said)["iterations"] == 2

    status, decoded, _ = piped(monkeypatch, encoded, "decode", "-", "--quiet")
    assert Image.open(io.BytesIO(decoded)).format == "PNG"
    status, decoded, _ = piped(monkeypatch, b"", "decode", "-o", "-", "-f", "bmp", str(stored))
    assert Image.open(io.BytesIO(decoded)).format == "BMP"
    status, nothing, said = piped(monkeypatch, encoded[:-1], "decode", "-", "--json")
    assert (status, nothing) == (1, b"")
    assert json.loads(said)["error_type"] == "TruncatedError"
    assert piped(monkeypatch, encoded, "decode", "-o", str(photo.parent), "-")[0] == 0
    assert photo.with_name("stdin.png").exists()


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("\u65e5\u672c", "cp1252"),
        pytest.param(
            "\udcff", "utf-8", marks=pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
        ),
    ],
)
def test_a_name_that_cannot_be_printed_stops_nothing(
    name: str, encoding: str, stored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strange = stored.with_name(f"{name}.rnc")
    strange.write_bytes(stored.read_bytes())
    out = Stream(encoding=encoding)
    monkeypatch.setattr(sys, "stdout", out)

    assert main(["verify", str(strange), str(stored)]) == 0
    printed = name.encode(encoding, "backslashreplace").decode(encoding)
    assert out.content.decode(encoding).count("verified: True") == 2
    assert f"{printed}.rnc" in out.content.decode(encoding)


def test_standard_output_holds_one_file(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["-o", "-", stored, stored], ["-", stored]):
        with pytest.raises(SystemExit) as caught:
            main(["decode", *map(str, arguments)])
        assert caught.value.code == 2
    capsys.readouterr()
    assert run(capsys, "decode", "--steps", "-o", "-", stored)[0] == 1


def test_the_format_of_a_decoded_file_can_be_named(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, (record,) = run(capsys, "decode", "-f", "webp", stored)
    assert (status, Path(record["output"]).name) == (0, "stored.webp")
    for name in ("jpg", "JPG", "tif", ".jpg", "nothing"):
        status, (record,) = run(capsys, "decode", "-f", name, stored)
        if name == "nothing":
            assert status == 2
            assert "format 'nothing' cannot be written" in record["error"]
            continue
        assert (status, Path(record["output"]).name) == (0, f"stored.{name.lower().removeprefix('.')}")
        Path(record["output"]).unlink()
    status, (record,) = run(capsys, "decode", "-f", "jpg", "-o", stored.with_name("any"), stored)
    assert status == 0
    with Image.open(stored.with_name("any")) as im:
        assert im.format == "JPEG"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["encode", "-q", "101"], "--quality 101.0 is not allowed"),
        (["decode", "-i", "0"], "--iterations 0 is not allowed"),
        (["decode", "-i", "33"], "--iterations 33 is not allowed"),
        (["encode", "--device", "abacus", "--model", "auto"], "--device 'abacus' "),
        (["decode", "--device", "abacus"], "--device 'abacus' "),
        (["decode", "--device", "abacus", "-j", "2"], "--device 'abacus' "),
        (["decode", "--format", "nope"], "format 'nope' cannot be written"),
        (["truncate", "-i", "0"], "--iterations 0 is not allowed"),
        (["truncate", "--target-size", "0"], "--target-size 0 is not allowed"),
    ],
)
def test_what_is_wrong_for_every_file_is_reported_once(
    arguments: list[str], error: str, photo: Path, stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, (record,) = run(capsys, *arguments, "-k", photo, stored)

    assert status == 2
    assert error in record["error"]
    assert "file" not in record


def test_what_may_be_copied_needs_neither_model_nor_device(
    stored: Path, codec: FakeCodec, capsys: pytest.CaptureFixture[str]
) -> None:
    codec.model.config = EmbeddedConfig(iterations=3)

    status, (record,) = run(capsys, "encode", "-i", 4, "--device", "abacus", stored, "-o", stored.with_name("copy.rnc"))

    assert (status, record["iterations"]) == (0, 4)


def test_a_model_that_cannot_be_read_is_reported_once(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, (record,) = run(capsys, "encode", "-k", "--model", photo.with_name("none.safetensors"), photo, photo)

    assert (status, record["error_type"]) == (1, "WeightsError")


def test_a_schema_is_replaced_only_if_it_is_named(
    photo: Path, stored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = photo.with_suffix(".rnc")
    schema.write_text("element card { text }")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "stored.rnc").write_text("element card { text }")
    for arguments in (["encode", photo], ["truncate", "-i", 1, stored, "-o", folder]):
        status, (record,) = run(capsys, *arguments)
        assert status == 1
        assert "exists and is not a .rnc image, name it with --output to replace it" in record["error"]
    assert schema.read_text() == "element card { text }"

    assert run(capsys, "encode", "-i", 1, photo, "-o", schema)[0] == 0
    assert run(capsys, "encode", "-i", 2, photo)[0] == 0
    assert pillow_rnc.info(schema)["iterations"] == 2
    schema.write_bytes(b"")
    assert run(capsys, "encode", "-i", 1, photo)[0] == 0


def test_each_iteration_can_be_written(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, (record,) = run(capsys, "decode", "--steps", "-i", 3, stored)

    assert (status, record["iterations"]) == (0, 3)
    assert [Path(name).name for name in record["outputs"]] == [f"stored-0{k}.png" for k in (1, 2, 3)]
    with Image.open(record["outputs"][1]) as im, pillow_rnc.open(stored, iterations=2) as expected:
        assert im.tobytes() == expected.tobytes()
    before = Path(record["outputs"][0]).read_bytes()
    for arguments in (["--no-overwrite"], ["--no-overwrite", "-o", stored.with_suffix(".png")], []):
        status, (record,) = run(capsys, "decode", "--steps", *arguments, stored)
        assert status == 1
        assert "stored-01.png exists" in record["error"]
    assert (
        run(capsys, "decode", "--steps", "-i", 1, "--region", "9x9+0+0", "-o", stored.with_suffix(".png"), stored)[0]
        == 0
    )
    assert stored.with_name("stored-01.png").read_bytes() != before


def test_steps_do_not_mind_a_file_that_they_leave_alone(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored.with_suffix(".png").write_bytes(b"another")
    for arguments in (["--no-overwrite"], ["-o", stored.with_suffix(".png")]):
        assert run(capsys, "decode", "--steps", "-i", 1, *arguments, stored)[0] == 0

    assert stored.with_suffix(".png").read_bytes() == b"another"


def test_decoded_pictures_can_be_small_and_take_few_iterations(
    stored: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, (record,) = run(capsys, "decode", "--size", "2x2", stored)
    assert (status, record["width"], record["height"], record["iterations"]) == (0, 2, 2, 4)
    with Image.open(record["output"]) as im:
        assert im.size == (2, 2)
    _, (record,) = run(capsys, "decode", "--size", "900x900", "-o", record["output"], stored)
    assert (record["width"], record["height"], record["iterations"]) == (50, 40, 4)
    _, (record,) = run(capsys, "decode", "--size", "25x25", "--steps", stored)
    assert len(record["outputs"]) == 4
    for name in record["outputs"]:
        with Image.open(name) as im:
            assert im.size == (25, 20)


def test_alpha_can_take_fewer_bytes(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Image.open(photo) as im:
        im.putalpha(Image.effect_noise(im.size, 90))
        im.save(photo)
    sizes = [run(capsys, "encode", *given, photo)[1][0]["file_bytes"] for given in ([], ["--alpha-quality", 40])]

    assert sizes[1] < sizes[0]
    assert run(capsys, "encode", "--alpha-quality", 101, photo)[0] == 2


def test_a_file_that_grows_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "flat.png"
    Image.new("L", (64, 64)).save(path)

    assert run(capsys, "encode", path)[1][0]["warning"] == "larger than the input"


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_shown_on_a_terminal_only(terminal: bool, photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for quiet in ([], ["--quiet"]):
        monkeypatch.setattr(sys, "stderr", Stream(terminal=terminal))
        main(["encode", *quiet, *map(str, photos[:2])])
        assert (b"file" in cast("Stream", sys.stderr).content) == (terminal and not quiet)


def test_quiet_says_nothing_but_errors(photos: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["encode", "--quiet", *map(str, photos)]) == 1
    captured = capsys.readouterr()

    assert captured.out == ""
    assert captured.err.startswith(f"rnc: {photos[2]}: cannot identify")


def test_an_interrupt_has_its_own_status(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "encode", interrupt)

    assert main(["encode", str(photo)]) == 130


@pytest.mark.skipif(sys.platform == "win32", reason="the status is that of a signal of Unix")
def test_a_reader_that_has_seen_enough_is_no_fault(stored: Path) -> None:
    command = [sys.executable, "-m", "pillow_rnc", "info", *[str(stored)] * 400]
    environment = os.environ | {"PYTHONPATH": str(Path(pillow_rnc.__file__).parents[1])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()

        assert process.stderr.read() == b""
        assert process.wait(60) == 141


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["encode"],
        ["truncate", "x.rnc"],
        ["decode", "--region", "1,a", "x.rnc"],
        ["decode", "--region", "9x9+1", "x.rnc"],
        ["decode", "--size", "0x9", "x.rnc"],
        ["decode", "--size", "9", "x.rnc"],
        ["encode", "-j", "-1", "x"],
    ],
)
def test_wrong_usage_has_its_own_status(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["encode", "."], "a folder, or a URL, needs a folder or URL as --output"),
        (["compare", "-", "-"], "- is standard input, which can be read once"),
    ],
)
def test_wrong_combinations_are_told_with_the_usage_of_the_command(
    arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    with pytest.raises(SystemExit):
        main(arguments)

    printed = capsys.readouterr().err
    assert printed.startswith(f"usage: rnc {arguments[0]} ")
    assert printed.endswith(f"rnc {arguments[0]}: error: {fault}\n")


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["decode", "--size", "800"], "argument --size: 800 is not allowed, give WxH in pixels, such as 800x600"),
        (["decode", "--region", "0x9+1+1"], "argument --region: 0x9+1+1 is not allowed, give L,U,R,B or WxH+X+Y in p"),
        (["encode", "-j", "-1"], "argument -j/--jobs: -1 is not allowed, give an integer of at least 0"),
        (["encode", "-i", "all"], "argument -i/--iterations: all is not allowed, give 1 to 32, or keep"),
        (["encode", "--target-size", "1e400k"], "argument --target-size: 1e400k is not allowed, give bytes, such as 5"),
        (["truncate", "--target-size", "5g"], "argument --target-size: 5g is not allowed, give bytes, such as 50000, "),
    ],
)
def test_wrong_values_are_told_with_what_is_allowed(
    arguments: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*arguments, "x"])

    assert fault in capsys.readouterr().err
