"""The command line does each file on its own, says what it did, and never harms an old file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_codec import FakeCodec
from PIL import ExifTags, Image

import pillow_rnc
from pillow_rnc.__main__ import main


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
    old.write_bytes(b"old")
    for arguments in (["-i", 17], ["--target-size", 9], ["-i", "keep"], ["-q", 101], ["--no-overwrite"]):
        status, (record,) = run(capsys, "encode", *arguments, photo)
        assert status == 1
        assert record["error_type"] == "RncOptionError"

    assert old.read_bytes() == b"old"
    assert sorted(entry.name for entry in photo.parent.iterdir()) == ["photo.png", "photo.rnc"]


def test_a_cut_file_is_decoded_only_when_asked(stored: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = stored.with_name("cut.rnc")
    cut.write_bytes(stored.read_bytes()[:-1])

    assert run(capsys, "decode", cut)[0] == 1
    status, (record,) = run(capsys, "decode", "--allow-truncated", cut)
    assert (status, record["iterations"]) == (0, 3)


def test_doctor_names_the_libraries(capsys: pytest.CaptureFixture[str]) -> None:
    status, (record,) = run(capsys, "doctor")

    assert status == 0
    assert record["registered"]
    assert record["torch"]
    assert main(["doctor"]) == 0
    assert "registered: True" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["encode"], ["truncate", "x.rnc"], ["decode", "--region", "1,a", "x.rnc"]])
def test_wrong_usage_has_its_own_status(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)

    assert caught.value.code == 2
