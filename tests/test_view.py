"""``rnc view`` writes a page that holds files, their decoder and its weights; `test_view_page` looks at it."""

from __future__ import annotations

import base64
import io
import json
import re
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image
from tiny_codec import recurrent, register_random_codec, register_tiny_codec

import pillow_rnc
from pillow_rnc.cli.main import main
from pillow_rnc.evaluation import browser_decoder, page
from pillow_rnc.evaluation.browser_decoder import MODULES, SCRIPT, can_decode, decoder_elements
from pillow_rnc.evaluation.view import write_page
from pillow_rnc.models import weights

if TYPE_CHECKING:
    from collections.abc import Sequence

DIST = Path(__file__).parents[1] / "web" / "dist"
ITERATIONS = 3


def encoded(model: str = "tiny", size: tuple[int, int] = (70, 50), **options: Any) -> bytes:  # noqa: ANN401 -- of save
    out = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(out, "RNC", model=model, iterations=3, **options)
    return out.getvalue()


def page_of(*files: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    assert write_page(files, out) == len(out.getvalue())
    return out.getvalue()


def records(text: bytes) -> list[dict[str, Any]]:
    """Return the pictures of a page."""
    found = re.findall(r'<script type="application/json" class="picture">(.*?)</script>', text.decode())
    return [json.loads(one) for one in found]


def embedded(text: bytes, attributes: str) -> list[bytes]:
    found = re.findall(f'<script type="text/plain" {attributes}>(.*?)</script>', text.decode())
    return [base64.b64decode(one) for one in found]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return register_tiny_codec(tmp_path)


def test_the_page_holds_file_decoder_and_weights(tiny: Path) -> None:
    data = encoded()
    text = page_of(("a.rnc", data))
    (record,) = records(text)
    info = pillow_rnc.info(io.BytesIO(data))

    assert base64.b64decode(record["sources"]["rnc"]["data"]) == data
    assert record["sources"]["rnc"]["model"] == info["model"]
    assert (record["files"], record["copies"]) == ({}, [])
    lengths = [step["rnc"]["point"]["file_bytes"] for step in record["steps"]]
    assert [b - a for a, b in zip([info["bytes_before_iterations"], *lengths], lengths, strict=False)] == (
        info["bytes_per_iteration"]
    )
    assert lengths[-1] == len(data)
    assert record["steps"][-1]["rnc"]["point"]["bpp"] == info["bpp"]
    assert (DIST / SCRIPT).read_bytes() in text
    for name in MODULES:
        assert embedded(text, f'id="{name}"') == [(DIST / name).read_bytes()]
    assert embedded(text, f'class="weights" data-model="{info["model"]}"') == [tiny.read_bytes()]


@pytest.mark.usefixtures("tiny")
def test_files_of_one_model_share_its_weights() -> None:
    text = page_of(("a.rnc", encoded()), ("b<!--.rnc", encoded(size=(20, 30))))

    assert [one["name"] for one in records(text)] == ["a.rnc", "b<!--.rnc"]
    assert b"b<!--" not in text
    assert text.count(b'class="weights"') == 1
    assert set(re.findall(rb"\w+://[^\s\"'<)]*", text)) == {b"http://www.w3.org/2000/svg"}


@pytest.mark.usefixtures("tiny")
def test_sizes_are_those_of_the_upright_image() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (record,) = records(page_of(("a.rnc", encoded(exif=exif))))
    assert (record["width"], record["height"]) == (50, 70)


def test_of_recurrent_models_it_holds_decoded_copies(tmp_path: Path) -> None:
    path = register_random_codec(tmp_path, recurrent("additive"))
    data = encoded("random")
    text = page_of(("r.rnc", data))
    (record,) = records(text)

    assert not can_decode(weights.find("random").model_id)
    assert (record["sources"], record["copies"]) == ({}, ["r.rnc"])
    assert b'id="decoder"' not in text
    assert path.read_bytes()[:100] not in text
    for step, expected in zip(record["steps"], pillow_rnc.progressive(io.BytesIO(data)), strict=True):
        copy = base64.b64decode(record["files"][step["rnc"]["file"]].partition(",")[2])
        assert Image.open(io.BytesIO(copy)).convert("RGB").tobytes() == expected.tobytes()


@pytest.mark.usefixtures("tiny")
def test_a_truncated_file_is_shown_as_far_as_it_goes_and_what_follows_an_image_is_left_out() -> None:
    data = encoded()
    (record,) = records(page_of(("a.rnc", data[:-1])))
    assert len(record["steps"]) == ITERATIONS - 1
    (record,) = records(page_of(("a.rnc", data + b"more")))
    assert base64.b64decode(record["sources"]["rnc"]["data"]) == data


@pytest.mark.usefixtures("tiny")
def test_a_page_has_a_longest_length(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = len(page_of(("a.rnc", encoded())))
    writer = page.PageWriter

    def short(out: io.BytesIO, title: str) -> page.PageWriter:
        return writer(out, title, whole - 1)

    monkeypatch.setattr("pillow_rnc.evaluation.view.PageWriter", short)
    with pytest.raises(pillow_rnc.RncOptionError, match=f"page has {whole} bytes with its script"):
        page_of(("a.rnc", encoded()))


def test_without_the_decoder_the_error_says_where_it_was_sought(
    monkeypatch: pytest.MonkeyPatch, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiny.parent / "a.rnc").write_bytes(encoded())
    monkeypatch.setattr(browser_decoder, "_FOLDERS", (tiny.parent, tiny.parent / "web"))

    assert main(["view", str(tiny.parent / "a.rnc"), "-o", str(tiny.parent / "a.html")]) == 1
    assert f"the decoder for browsers is missing, {SCRIPT} is neither in {tiny.parent}" in capsys.readouterr().err
    assert not (tiny.parent / "a.html").exists()
    assert list(decoder_elements([])) == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: b"no" + data, "a.rnc: not an .rnc file"),
        (lambda data: data[:-9] + bytes(9), "a.rnc: iteration 2: CRC 0x"),
        (lambda data: data[:60], "a.rnc: image file is truncated"),
    ],
)
def test_a_damaged_file_is_named_and_an_old_page_stays(
    damage: Any,  # noqa: ANN401
    said: str,
    tiny: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, out = tiny.parent / "a.rnc", tiny.parent / "a.html"
    path.write_bytes(damage(encoded()))
    out.write_text("old")

    assert main(["view", str(path), "-o", str(out)]) == 1
    assert said in capsys.readouterr().err
    assert out.read_text() == "old"


class Browser:
    """Notes what is opened."""

    def __init__(self, *, works: bool) -> None:
        self.works = works
        self.opened: list[str] = []

    def open(self, url: str) -> bool:
        self.opened.append(url)
        return self.works


@pytest.mark.parametrize("works", [True, False])
def test_the_command_opens_the_page(
    works: bool, tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    browser = Browser(works=works)
    monkeypatch.setattr(webbrowser, "open", browser.open)
    monkeypatch.setattr("tempfile.mkdtemp", lambda **_: str(tiny.parent))
    (tiny.parent / "a.rnc").write_bytes(encoded())

    assert main(["view", str(tiny.parent / "a.rnc"), "--model", str(tiny), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    path = tiny.parent / "view.html"
    assert browser.opened == [path.as_uri()]
    assert said["page"] == str(path)
    assert (said["images"], said["page_bytes"]) == (1, path.stat().st_size)
    assert said.get("warning") == (None if works else "no browser could be started")


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize("sources", [["-"], ["-", "b.rnc"]])
def test_a_page_that_is_named_is_written_only(
    sources: Sequence[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = Browser(works=True)
    monkeypatch.setattr(webbrowser, "open", browser.open)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(encoded())))
    monkeypatch.chdir(tmp_path)
    Path("b.rnc").write_bytes(encoded())

    assert main(["view", *sources, "-o", "p.html", "--quiet"]) == 0
    assert browser.opened == []
    assert [one["name"] for one in records(Path("p.html").read_bytes())] == ["standard input", "b.rnc"][: len(sources)]
