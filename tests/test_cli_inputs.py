"""Inputs that are no plain files, outputs that keep what was stored, and warnings about what could not be kept."""

from __future__ import annotations

import os
import socket
import sys
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import metadata_files as files
import pytest
from fake_codec import FakeCodec
from PIL import Image, ImageCms
from pillow_version import PILLOW
from test_cli import run

import pillow_rnc
from pillow_rnc.cli import file_warnings
from pillow_rnc.cli.folders import is_companion
from pillow_rnc.cli.main import main
from pillow_rnc.cli.option_names import in_terms_of_command_line
from pillow_rnc.cli.output_metadata import KEPT_KINDS, KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator

unix = pytest.mark.skipif(sys.platform == "win32", reason="these files are those of Unix")


@pytest.fixture(autouse=True)
def codec(monkeypatch: pytest.MonkeyPatch) -> FakeCodec:
    fake = FakeCodec()
    fake.install(monkeypatch)
    return fake


@pytest.fixture(autouse=True)
def own_warnings() -> Iterator[None]:
    """Put back how warnings are shown, and that Pillow's warnings are errors in tests."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        yield


@pytest.fixture
def image() -> Image.Image:
    return Image.linear_gradient("L").convert("RGB").resize((50, 40))


@unix
@pytest.mark.parametrize("command", ["info", "verify", "truncate", "encode", "decode"])
def test_a_pipe_is_read_once(
    command: str, image: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored, pipe = tmp_path / "a.rnc", tmp_path / "pipe"
    image.save(stored)
    data = stored.read_bytes()
    os.mkfifo(pipe)
    options = (
        ["-o", tmp_path / ("b.png" if command == "decode" else "b.rnc")] if command not in ("info", "verify") else []
    )
    writer = threading.Thread(target=pipe.write_bytes, args=(data,))
    writer.start()
    status, (record,) = run(capsys, command, pipe, *options, *(["-i", 1] if command == "truncate" else []))
    writer.join()

    assert status == 0, record
    assert record.get("input_bytes", len(data)) == len(data)
    assert pipe.is_fifo()


@pytest.mark.parametrize("command", ["info", "verify", "decode"])
def test_an_empty_file_is_told(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.rnc").touch()
    status, (record,) = run(capsys, command, tmp_path / "a.rnc")

    assert (status, record["error"]) == (1, "file is empty")


@unix
def test_an_output_is_not_placed_among_devices(capsys: pytest.CaptureFixture[str]) -> None:
    status, (record,) = run(capsys, "encode", "/dev/stdin")

    assert status == 1
    assert "name it with --output" in record["error"]


@unix
def test_special_files_in_a_folder_are_told_and_stop_nothing(
    image: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.png", "z.png"):
        image.save(tmp_path / "in" / name)
    os.mkfifo(tmp_path / "in" / "m.png")
    monkeypatch.chdir(tmp_path / "in")  # the names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.png")
        status, records = run(capsys, "encode", tmp_path / "in", "-o", tmp_path / "out")

    assert status == 1
    assert {record["file"]: record["error"] for record in records[:-1]} == {
        "m.png": "is a named pipe, not a regular file",
        "s.png": "is a socket, not a regular file",
    }
    assert (records[-1]["written"], records[-1]["failed"]) == (2, 2)
    (tmp_path / "out" / "a.rnc").unlink()
    os.mkfifo(tmp_path / "out" / "a.rnc")
    records = run(capsys, "encode", tmp_path / "in", "-o", tmp_path / "out")[1]
    assert records[0]["error"] == "is a named pipe, not a regular file"
    os.mkfifo(tmp_path / "pipe")
    status, (record,) = run(capsys, "encode", tmp_path / "in", "-o", tmp_path / "out", "--manifest", tmp_path / "pipe")
    assert "not a regular file" in record["error"]


@pytest.mark.parametrize(
    ("name", "companion"),
    [
        ("a.jpg", False),
        (".hidden.jpg", False),
        ("_a.jpg", False),
        ("._a.jpg", True),
        ("x/._a.jpg", True),
        ("@eaDir/a.jpg/SYNOFILE_THUMB_M.jpg", True),
        ("x/__MACOSX/a.jpg", True),
        (".rnc-0123456789abcdef.png", True),
        (".rnc-file.png", False),
    ],
)
def test_companions_of_images_are_no_images(name: str, companion: bool) -> None:
    assert is_companion(Path(name)) == companion  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_frames_that_are_not_stored_are_told(
    suffix: str, image: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    path = (tmp_path / "in" / "a").with_suffix(suffix)
    image.save(path, save_all=True, append_images=[Image.new("RGB", image.size, "red")])
    text = "frames of the image are left out: 1 of 2, RNC holds one"
    for _ in range(2):  # for every file, not for the first one only
        status, (record,) = run(capsys, "encode", path, "-o", tmp_path / "a.rnc")
        assert (status, record["warnings"]) == (0, [text])
    assert main(["encode", str(path), "-o", str(tmp_path / "a.rnc")]) == 0
    assert capsys.readouterr().err == f"rnc: {path}: warning: {text}\n"
    assert main(["encode", str(path), "-o", str(tmp_path / "a.rnc"), "--quiet"]) == 0
    assert capsys.readouterr().err == ""
    records = run(capsys, "encode", tmp_path / "in", "-o", tmp_path / "out")[1]
    assert records[0] == {"file": path.name, "warnings": [text]}
    assert main(["encode", str(tmp_path / "in"), "-o", str(tmp_path / "out2")]) == 0
    captured = capsys.readouterr()
    assert captured.err == f"rnc: {path.name}: warning: {text}\n"
    assert path.name not in captured.out.splitlines()


def test_a_warning_made_an_error_is_one_of_the_file(
    image: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.gif"
    image.save(path, save_all=True, append_images=[Image.new("RGB", image.size, "red")])
    monkeypatch.setattr(sys, "warnoptions", ["error"])
    warnings.simplefilter("error")
    status, (record,) = run(capsys, "encode", path)

    assert (status, record["error_type"]) == (1, "RncWarning")


def test_warnings_of_others_are_shown_as_before() -> None:
    with file_warnings.collected_warnings() as texts:
        warnings.warn("within", UserWarning, stacklevel=1)
        warnings.warn("within", UserWarning, stacklevel=1)
    with pytest.warns(UserWarning, match="outside"):
        warnings.warn("outside", UserWarning, stacklevel=1)

    assert texts == ["within"]


def _metadata() -> dict[str, Any]:
    exif = Image.Exif()
    exif[0x10F] = "maker"
    exif[0x8769] = {0x9003: "2020:01:02 03:04:05"}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    xmp = "<x:xmpmeta xmlns:x='adobe:ns:meta/'>\u65e5</x:xmpmeta>".encode()
    return {"exif": exif.tobytes(), "icc_profile": profile, "xmp": xmp, "comment": b"a comment", "dpi": (300, 300)}


def _xmp(im: Image.Image) -> bytes | None:
    """Return XMP, which Pillow before 10.4 gives where it found it, in PNG and TIFF."""
    text: str | None = im.info.get("XML:com.adobe.xmp")
    tags = getattr(im, "tag_v2", {})
    return im.info.get("xmp") or tags.get(700) or (text.encode() if text else None)


@pytest.mark.parametrize(
    "format_name", ["RNC", *files.AVIF, "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"]
)
def test_decoding_keeps_metadata_or_tells(
    format_name: str, image: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.init()
    if "CI" not in os.environ and format_name not in Image.SAVE:  # CI has them all, and must
        pytest.skip(f"this Pillow cannot write {format_name}")
    given = _metadata()
    image.save(tmp_path / "a.rnc", **given)
    status, (record,) = run(capsys, "decode", "-f", format_name, tmp_path / "a.rnc", "-o", tmp_path / "b")
    assert status == 0, record
    with Image.open(tmp_path / "b") as im:
        im.load()
        comment = im.info.get("comment") or im.info.get("Comment") or im.getexif().get(270)
        found = {
            "exif": im.getexif().get(0x10F) == "maker" and 0x9003 in im.getexif().get_ifd(0x8769),
            "icc_profile": im.info.get("icc_profile") == given["icc_profile"],
            "xmp": _xmp(im) == given["xmp"],
            "comment": comment in (b"a comment", "a comment"),
            "dpi": round(im.info.get("dpi", (0, 0))[0]) == 300,
        }

    kept = KEPT_KINDS.get(format_name, frozenset())
    assert {kind for kind in KINDS if found[kind]} == kept
    assert ("warnings" in record) == (kept != set(KINDS))


def test_metadata_that_a_jpeg_cannot_hold_is_left_out(
    image: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    longest = 65_533 if PILLOW >= (13, 0) else 65_511
    image.save(tmp_path / "a.rnc", xmp=b"x" * 70_000, comment=b"c" * longest)
    status, (record,) = run(capsys, "decode", tmp_path / "a.rnc", "-o", tmp_path / "a.jpg")

    assert status == 0, record
    if PILLOW >= (11, 0):
        assert record["warnings"] == ["XMP of 70000 bytes left out, JPEG files hold at most 65504"]
    else:
        assert record["warnings"] == ["JPEG files cannot hold XMP, left out"]
    with Image.open(tmp_path / "a.jpg") as im:
        assert len(im.info["comment"]) == longest


def _exif_with_thumbnail(order: str) -> bytes:
    import struct

    def ifd(entries: list[tuple[int, int, int, int]], following: int) -> bytes:
        packed = struct.pack(order + "H", len(entries))
        for entry in entries:
            packed += struct.pack(order + "HHII", *entry)
        return packed + struct.pack(order + "I", following)

    mark = b"II" if order == "<" else b"MM"
    first = ifd([(0x112, 4, 1, 1)], 26)
    second = ifd([(513, 4, 1, 56), (514, 4, 1, 9)], 0)
    data = mark + struct.pack(order + "HI", 42, 8) + first + second
    assert len(data) == 56
    return b"Exif\0\0" + data + b"thumbnail" + b"maker note"


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_thumbnail_does_not_outlive_what_it_shows(
    order: str, image: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exif = _exif_with_thumbnail(order)
    image.save(tmp_path / "a.rnc", exif=exif)
    for options in (["--region", "0,0,9,9"], ["--size", "9x9"], ["--resize", "9x0"]):
        assert run(capsys, "decode", tmp_path / "a.rnc", "-o", tmp_path / "a.jpg", *options)[0] == 0
        data = (tmp_path / "a.jpg").read_bytes()
        assert b"thumbnail" not in data
        assert b"maker note" in data
        with Image.open(tmp_path / "a.jpg") as im:
            assert im.getexif()[0x112] == 1
            assert not im.getexif().get_ifd(1)


@pytest.mark.parametrize(
    ("message", "translated"),
    [
        ("target_size allows 9 bytes", "--target-size allows 9 bytes"),
        ("iterations 17 is not allowed, give 1", "--iterations 17 is not allowed, give 1"),
        ("iterations='keep' needs an image", "--iterations keep needs an image"),
        (
            "target_size and target_bpp cannot be given together",
            "--target-size and --target-bpp cannot be given together",
        ),
        ("icc_profile of 2 bytes, icc_profile=None omits it", "icc_profile of 2 bytes, --strip icc omits it"),
        ("xmp of 2 bytes, xmp=None omits it", "xmp of 2 bytes, --strip xmp omits it"),
        ("region (1, 2, 3, 4) is not allowed, give", "--region (1, 2, 3, 4) is not allowed, give"),
        ("max_work allows 9", "the environment variable PILLOW_RNC_MAX_WORK allows 9"),
        ("ignored; pillow_rnc.verify rejects the file", "ignored; rnc verify rejects the file"),
        (
            "icc_profile of the image is left out: it has 9 bytes",
            "icc_profile of the image is left out: it has 9 bytes; --strip icc omits it without this warning",
        ),
        ("quality of the image", "quality of the image"),
    ],
)
def test_messages_name_options_of_the_command_line(message: str, translated: str) -> None:
    assert in_terms_of_command_line(message) == translated


def test_a_folder_that_does_not_exist_is_no_name_of_a_file(image: Image.Image, tmp_path: Path) -> None:
    image.save(tmp_path / "a.png")
    with pytest.raises(SystemExit) as caught:
        main(["encode", str(tmp_path / "a.png"), "-o", f"{tmp_path}/none/"])

    assert caught.value.code == 2
    assert not (tmp_path / "none").exists()


def test_a_suffix_of_another_format_is_warned_of(
    image: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image.save(tmp_path / "a.png")
    for command, out, format_name in (("encode", "b.JPG", "JPEG"), ("truncate", "c.png", "PNG")):
        source = tmp_path / ("a.png" if command == "encode" else "b.JPG")
        options = ["-i", 1] if command == "truncate" else []
        status, (record,) = run(capsys, command, *options, source, "-o", tmp_path / out)
        warning = f"output {tmp_path / out} is a .rnc image, but its suffix is that of {format_name}"
        assert (status, record["warnings"]) == (0, [warning])
    for out in ("b", "b.tmp", "b.RNC"):
        _, (record,) = run(capsys, "encode", tmp_path / "a.png", "-o", tmp_path / out)
        assert "warnings" not in record


def test_the_frames_behind_the_first_one_may_be_damaged(
    image: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image.save(tmp_path / "a.tif", save_all=True, append_images=[image])
    data = bytearray((tmp_path / "a.tif").read_bytes())
    first = int.from_bytes(data[4:8], "little")
    entries = int.from_bytes(data[first : first + 2], "little")
    place = first + 2 + 12 * entries
    data[place : place + 4] = (len(data) + 8).to_bytes(4, "little")
    (tmp_path / "a.tif").write_bytes(data)

    status, (record,) = run(capsys, "encode", tmp_path / "a.tif")

    assert status == 0
    assert "frames" not in str(record.get("warnings"))
    assert pillow_rnc.info(tmp_path / "a.rnc")["width"] == 50


@pytest.mark.parametrize(
    ("format_name", "out", "warning"),
    [
        ("jpg", "b.png", "is a JPEG image, but its suffix is that of PNG"),
        ("png", "b.rnc", "is a PNG image, but its suffix is that of RNC"),
        ("jpg", "b.mpo", None),
        ("jpg", "b.jpeg", None),
        ("rnc", "b.rnc", None),
        ("jpg", "b.part", None),
    ],
)
def test_a_suffix_of_another_format_than_the_named_one_is_warned_of(
    format_name: str,
    out: str,
    warning: str | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.rnc", iterations=1)

    status, (record,) = run(capsys, "decode", "-f", format_name, tmp_path / "a.rnc", "-o", tmp_path / out)

    assert status == 0
    assert record.get("warnings", []) == ([] if warning is None else [f"output {tmp_path / out} {warning}"])
