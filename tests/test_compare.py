"""What the page of ``rnc compare`` says is what the evaluation measures, and its size has bounds."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fake_codec import FakeCodec
from flat_codec import FlatCodec
from PIL import Image, UnidentifiedImageError
from test_view import records

from pillow_rnc import RncOptionError
from pillow_rnc.cli.main import main
from pillow_rnc.evaluation.compare import ComparisonPlan, compare, write_page
from pillow_rnc.evaluation.peers import Peer
from pillow_rnc.evaluation.photographs import load_photograph
from pillow_rnc.evaluation.rate_distortion import MeasurementPlan, measure_image
from pillow_rnc.plugin.data_uri import within_pixels

if TYPE_CHECKING:
    from pathlib import Path

COUNTS = (1, 2, 4)
PEERS = ("jpeg420", "webp")


def photograph(width: int = 170, height: int = 164) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    plane = 128 + 80 * np.sin(columns**1.7 / 90 + rows / 11)
    grain = np.random.default_rng(1).normal(0, 9, (height, width, 3))
    return Image.fromarray(np.clip(plane[..., None] * (1, 0.8, 0.6) + grain, 0, 255).astype(np.uint8))


def picture_of(record: dict[str, Any], key: str) -> Image.Image:
    """Return the picture behind a data URI."""
    head, _, data = record["files"][key].partition(",")
    assert head.startswith("data:image/")
    return Image.open(io.BytesIO(base64.b64decode(data)))


def test_numbers_are_those_of_the_evaluation() -> None:
    image = photograph()
    record = compare("a", image, ComparisonPlan(FlatCodec(), COUNTS, PEERS))
    measured = measure_image("a", image, MeasurementPlan(FlatCodec(), COUNTS, PEERS, None))

    ours = [point._asdict() for point in measured.ours]
    assert [step["rnc"]["point"] for step in record["steps"]] == ours == record["curves"]["rnc"]
    for step, (_, jpeg) in zip(record["steps"], measured.matched, strict=True):
        assert step["jpeg420"].get("point") == (None if jpeg is None else jpeg._asdict())
    assert record["steps"][0]["jpeg420"]["smallest"] > FlatCodec.file_bytes(1)
    for peer in PEERS:
        assert record["curves"][peer] == [point._asdict() for point in measured.peers[peer]]


def test_pictures_are_those_that_were_measured() -> None:
    image = photograph()
    record = compare("a", image, ComparisonPlan(FlatCodec(), COUNTS, PEERS))

    assert picture_of(record, "original").convert("RGB").tobytes() == image.tobytes()
    for step, iterations in zip(record["steps"], COUNTS, strict=True):
        shown = picture_of(record, step["rnc"]["file"]).convert("RGB")
        assert shown.tobytes() == Image.new("RGB", image.size, FlatCodec.colour(iterations)).tobytes()
    entry = record["steps"][-1]["webp"]
    assert picture_of(record, entry["file"]).format == "WEBP"
    assert len(base64.b64decode(record["files"][entry["file"]].partition(",")[2])) == entry["point"]["file_bytes"]
    assert entry["point"]["file_bytes"] <= FlatCodec.file_bytes(4)


def test_another_run_measures_no_peer_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = ComparisonPlan(FlatCodec(), (2, 4), ("jpeg420",), cache_folder=tmp_path)
    first = compare("a", photograph(), plan)
    made: list[int] = []
    original = Peer.encode

    def counted(peer: Peer, image: Image.Image, setting: int) -> bytes:
        made.append(setting)
        return original(peer, image, setting)

    monkeypatch.setattr(Peer, "encode", counted)

    assert compare("a", photograph(), plan) == first
    assert len(made) == len({step["jpeg420"]["file"] for step in first["steps"] if "file" in step["jpeg420"]})


def test_a_picture_too_small_for_a_metric_has_no_figure_for_it() -> None:
    record = compare("a", photograph(40, 30), ComparisonPlan(FlatCodec(), (4,), ()))
    point = record["steps"][0]["rnc"]["point"]

    assert point["ms_ssim"] is None
    assert point["psnr"] > 0


@pytest.mark.parametrize(("size", "most"), [((300, 200), 60_000), ((4000, 10), 1000), ((1, 500), 3)])
def test_large_pictures_are_scaled_down_and_keep_their_shape(size: tuple[int, int], most: int) -> None:
    scaled = within_pixels(Image.new("RGB", size), most)

    assert scaled.width * scaled.height <= most
    if size == (300, 200):
        assert scaled.size == size
    assert within_pixels(photograph(300, 200), 15_000).size == (150, 100)


def test_the_page_names_the_full_size(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    photograph(340, 328).save(path)
    out = io.BytesIO()
    written = write_page([path], ComparisonPlan(FlatCodec(), (4,), (), max_pixels=170 * 164), out)
    (record,) = records(out.getvalue())

    assert written == len(out.getvalue())
    assert (record["width"], record["height"], record["full_size"]) == (170, 164, [340, 328])


def test_a_page_that_grows_too_large_is_refused_by_name(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        photograph().save(tmp_path / name)
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    out = io.BytesIO()
    length = write_page(paths, ComparisonPlan(FlatCodec(), (4,), ()), out)
    with pytest.raises(RncOptionError, match=r"with two\.png"):
        write_page(paths, ComparisonPlan(FlatCodec(), (4,), (), max_page_bytes=length - 100_000), io.BytesIO())


def test_names_of_files_cannot_end_the_element(tmp_path: Path) -> None:
    path = tmp_path / "a<script>x" / "b<!--.png"
    path.parent.mkdir()
    photograph().save(path)
    out = io.BytesIO()
    write_page([path], ComparisonPlan(FlatCodec(), (4,), ()), out)

    assert records(out.getvalue())[0]["name"] == "b<!--.png"
    assert b"b<!--" not in out.getvalue()


def test_the_page_asks_for_nothing_outside_itself(tmp_path: Path) -> None:
    photograph().save(tmp_path / "a.png")
    out = io.BytesIO()
    write_page([tmp_path / "a.png"], ComparisonPlan(FlatCodec(), (4,), ()), out)
    addresses = set(re.findall(rb"\w+://[^\s\"'<)]*", out.getvalue()))

    assert addresses == {b"http://www.w3.org/2000/svg"}  # a name, which nobody looks up
    assert b"default-src 'none'" in out.getvalue()


def test_the_command_writes_a_page(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeCodec().install(monkeypatch)
    monkeypatch.setattr("pillow_rnc.evaluation.compare.can_decode", lambda _model_id: False)
    photograph().save(tmp_path / "a.png")
    page = tmp_path / "page.html"
    arguments = ["compare", str(tmp_path / "a.png"), "-o", str(page), "-i", "1,3-4", "--peers", "jpeg420", "--json"]

    assert main(arguments) == 0
    said = json.loads(capsys.readouterr().out)
    (record,) = records(page.read_bytes())
    assert said == {"page": str(page), "images": 1, "page_bytes": page.stat().st_size}
    assert [step["rnc"]["point"]["setting"] for step in record["steps"]] == [1, 3, 4]
    assert record["full_size"] == list(load_photograph(tmp_path / "a.png").size)


@pytest.mark.parametrize(
    ("arguments", "said", "status"),
    [
        (["absent.png"], "absent.png", 1),
        (["notes.png"], "notes.png", 1),
        (["strange.dds"], "pixel format", 1),
        (["a.png", "--peers", "jpeg2000"], "peers 'jpeg2000'", 2),
        (["a.png", "--max-pixels", "0"], "max_pixels 0", 2),
        (["a.png", *["--model", "auto"] * 4], "4 models, at most 3 are allowed", 2),
    ],
)
def test_what_goes_wrong_is_said_and_an_old_page_stays(  # noqa: PLR0917
    arguments: list[str],
    said: str,
    status: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    photograph().save("a.png")
    (tmp_path / "notes.png").write_text("not a picture")
    (tmp_path / "strange.dds").write_bytes(b"DDS " + (124).to_bytes(4, "little") + bytes(120))
    with pytest.raises(UnidentifiedImageError):
        Image.open("notes.png")
    (tmp_path / "compare.html").write_text("old")

    assert main(["compare", *arguments, "--quiet"]) == status
    assert said in capsys.readouterr().err
    assert (tmp_path / "compare.html").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "compare.html", "notes.png", "strange.dds"]


def test_an_unknown_model_is_reported_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert main(["compare", "a.png", "--model", "auto", "--model", "nobody"]) == 2
    assert "model 'nobody' is unknown" in capsys.readouterr().err


def test_without_the_extra_the_error_names_it(tmp_path: Path) -> None:
    photograph().save(tmp_path / "a.png")
    script = (
        "import sys; sys.modules['pytorch_msssim'] = None\n"
        "from pillow_rnc.__main__ import main\n"
        f"sys.exit(main(['compare', {str(tmp_path / 'a.png')!r}]))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)

    assert result.returncode == 1
    assert "pip install 'pillow-rnc[eval]'" in result.stderr
    assert "Traceback" not in result.stderr
