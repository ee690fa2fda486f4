"""Pages that hold `.rnc` files, in Chromium, from a file and without network: `python -m pytest -m browser`."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image
from test_compare_page import choose
from test_web_browser import picture, pixels

import pillow_rnc
from pillow_rnc.evaluation.compare import ComparisonPlan, write_page
from pillow_rnc.evaluation.rate_distortion import RncCodec
from pillow_rnc.evaluation.view import write_page as write_view

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

ITERATIONS = 4
_PIXELS = "() => document.querySelector('#right-layer canvas').toDataURL()"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Provide a page of a browser without network, which may ask for nothing and complain of nothing."""
    context = browser.new_context(viewport={"width": 1000, "height": 900}, offline=True)
    context.set_default_timeout(300_000)  # milliseconds; a busy machine is slow
    page = context.new_page()
    faults: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda asked: requests.append(asked.url))
    yield page
    context.close()
    assert faults == []
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []


def encoded(image: Image.Image, **options: Any) -> bytes:  # noqa: ANN401 -- of save
    out = io.BytesIO()
    image.save(out, "RNC", iterations=ITERATIONS, **options)
    return out.getvalue()


def show(page: Page, folder: Path, *files: tuple[str, bytes]) -> None:
    with (folder / "view.html").open("wb") as out:
        write_view(files, out)
    page.goto((folder / "view.html").as_uri())
    wait(page)


def wait(page: Page) -> None:
    page.locator("#stage[aria-busy=false]").wait_for()


def steps(page: Page) -> Iterator[np.ndarray[Any, Any]]:
    """Move the slider from its last step to its first, and provide the pixels at each."""
    page.locator("#iterations").focus()
    page.keyboard.press("End")
    for count in range(ITERATIONS, 0, -1):
        wait(page)
        assert page.locator("#iterations").get_attribute("aria-valuenow") == str(count)
        yield pixels(page.evaluate(_PIXELS))
        page.keyboard.press("ArrowLeft")


def test_every_prefix_is_decoded_by_the_page(page: Page, tmp_path: Path) -> None:
    data = encoded(picture())
    show(page, tmp_path, ("waves.rnc", data))
    expected = [np.asarray(im).astype(int) for im in pillow_rnc.progressive(io.BytesIO(data))]

    for found, wanted in zip(steps(page), reversed(expected), strict=True):
        assert abs(found[..., :3] - wanted).max() <= 1
    whole = pixels(page.evaluate("() => document.querySelector('#left-layer canvas').toDataURL()"))
    assert abs(whole[..., :3] - expected[-1]).max() <= 1
    assert page.locator("#figures").is_hidden()
    assert page.locator("#right-tag").inner_text().startswith("RNC \u00b7 1 iteration \u00b7 ")
    assert page.title() == "waves.rnc \u2013 rnc view"


def test_alpha_and_orientation_are_applied(page: Page, tmp_path: Path) -> None:
    image = picture().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    exif = Image.Exif()
    for orientation, turn in [
        (3, Image.Transpose.ROTATE_180),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_270),
        (8, Image.Transpose.ROTATE_90),
    ]:
        exif[0x0112] = orientation
        data = encoded(image, exif=exif)
        show(page, tmp_path, ("a.rnc", data))
        found = next(steps(page))
        with pillow_rnc.open(io.BytesIO(data)) as opened:
            turned = np.asarray(opened.transpose(turn)).astype(int)
        assert found.shape == turned.shape
        opaque = turned[..., 3] > 250  # a canvas multiplies colours by alpha
        assert abs(found - turned)[opaque].max() <= 2


def test_several_files_and_a_recurrent_model(page: Page, tmp_path: Path) -> None:
    files = [("one.rnc", encoded(picture())), ("two.rnc", encoded(picture().resize((96, 64)), model="recurrent"))]
    show(page, tmp_path, *files)
    assert page.locator("#copies").is_hidden()
    page.locator("#next").click()
    wait(page)
    assert page.locator("#facts").inner_text() == "two.rnc, 96\u00d764"
    page.locator("details").click()
    assert "images of two.rnc as Pillow decoded them" in page.locator("#copies").inner_text()
    assert page.locator("#right-layer canvas").is_hidden()
    assert page.locator("#right-layer img").is_visible()
    page.locator("#previous").click()
    wait(page)
    assert page.locator("#right-layer canvas").is_visible()


def test_bytes_arrive_and_pictures_with_them(page: Page, tmp_path: Path) -> None:
    data = encoded(picture())
    show(page, tmp_path, ("waves.rnc", data))
    page.locator("#speed").select_option("2000")
    page.locator("#play").click()
    page.locator("#play[aria-label=Play]").wait_for()
    wait(page)
    assert page.locator("#iterations").get_attribute("aria-valuenow") == str(ITERATIONS)


def test_what_cannot_be_decoded_is_said(page: Page, tmp_path: Path) -> None:
    show(page, tmp_path, ("waves.rnc", encoded(picture())))
    text = (tmp_path / "view.html").read_bytes()
    start = text.index(b'class="weights"')
    at = text.index(b">", start) + 1
    (tmp_path / "view.html").write_bytes(text[:at] + b"AAAA" + text[at + 4 :])
    page.goto((tmp_path / "view.html").as_uri())
    wait(page)
    assert "This file cannot be decoded" in page.locator("#right-layer p").inner_text()
    assert page.locator("#right-layer canvas").is_hidden()


def test_a_comparison_of_two_models(page: Page, tmp_path: Path) -> None:
    picture().save(tmp_path / "waves.png")
    plan = ComparisonPlan(RncCodec("embedded"), (1, 2, 4), ("webp",), further_codecs=[RncCodec("recurrent")])
    with (tmp_path / "compare.html").open("wb") as out:
        write_page([tmp_path / "waves.png"], plan, out)
    page.goto((tmp_path / "compare.html").as_uri())
    page.locator("#iterations").focus()
    page.keyboard.press("End")
    wait(page)
    with pillow_rnc.open(io.BytesIO(encoded(picture()))) as im:
        assert abs(pixels(page.evaluate(_PIXELS))[..., :3] - np.asarray(im).astype(int)).max() <= 1
    choose(page, "right", "rnc2")
    wait(page)
    assert page.locator("#right-layer canvas").is_hidden()
    tag, row = page.locator("#right-tag").inner_text(), page.locator("tbody tr[data-codec=rnc2]").inner_text()
    assert tag.startswith("RNC recurrent")
    assert ("none so small" in row) != ("iteration" in tag)
    page.locator("details").click()
    assert "images of RNC recurrent as Pillow decoded them" in page.locator("#copies").inner_text()
