"""The element, the service worker and the page of `rnc view` in Firefox: `python -m pytest -m browser`.

Needs Firefox on the path or named by FIREFOX; that it is missing is an error, not a skip.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from firefox import Firefox, running
from PIL import Image
from test_web_browser import (
    _LOG,
    _PAGE,
    BOXES,
    ITERATIONS,
    PLAIN_IMAGE,
    SIZES,
    SIZES_BODY,
    Handler,
    bytes_of,
    check_sizes,
    picture,
    pixels,
    site,  # noqa: F401 -- a fixture
)

import pillow_rnc
from pillow_rnc.evaluation.view import write_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    with running(tmp_path_factory.mktemp("firefox")) as browser:
        yield browser


def test_a_slow_connection_shows_ever_better_pictures(firefox: Firefox, site: tuple[str, type[Handler]]) -> None:  # noqa: F811
    site[1].limit = 1
    body = f"<script>{_LOG}</script>{_PAGE}<rnc-image src='/x.rnc' alt='waves'></rnc-image>"
    site[1].files["/page.html"] = body.encode()
    firefox.goto(site[0] + "/page.html")
    for count in range(1, ITERATIONS + 1):
        site[1].limit = bytes_of(site[1].files["/x.rnc"], count)
        firefox.wait(f"log.length >= {count}")
    firefox.wait("log.some((one) => one.kind !== 'progress')")
    events = firefox.evaluate("log")

    assert events[-1]["kind"] == "load"
    steps = [one for one in events if one["kind"] == "progress"]
    assert [one["iterations"] for one in steps] == list(range(1, ITERATIONS + 1))
    expected = list(pillow_rnc.progressive(io.BytesIO(site[1].files["/x.rnc"])))
    for one in steps:
        wanted = np.asarray(expected[one["iterations"] - 1]).astype(int)
        assert abs(pixels(one["png"])[..., :3] - wanted).max() <= 1


def test_a_service_worker_shows_plain_images_upright(firefox: Firefox, site: tuple[str, type[Handler]]) -> None:  # noqa: F811
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    picture().save(out, "RNC", iterations=ITERATIONS, exif=exif)
    site[1].files["/x.rnc"] = out.getvalue()
    site[1].files["/page.html"] = b"<!doctype html><body>"
    firefox.goto(site[0] + "/page.html")
    firefox.evaluate("navigator.serviceWorker.register('/sw.js', {type: 'module'}).then(() => 0)")
    firefox.wait("navigator.serviceWorker.controller")
    found = pixels(firefox.evaluate(f"{PLAIN_IMAGE}('/x.rnc')"))
    with pillow_rnc.open(io.BytesIO(out.getvalue())) as opened:
        wanted = np.asarray(opened.transpose(Image.Transpose.ROTATE_270)).astype(int)
    assert found.shape[:2] == wanted.shape[:2]
    assert abs(found[..., :3] - wanted).max() <= 1


def test_boxes_have_the_sizes_of_img(firefox: Firefox, site: tuple[str, type[Handler]]) -> None:  # noqa: F811
    site[1].files["/page.html"] = f"<script>{_LOG}</script>{_PAGE}{SIZES_BODY}".encode()
    firefox.goto(site[0] + "/page.html")
    firefox.wait(f"log.filter((one) => one.kind === 'load').length === {len(SIZES)}")
    check_sizes(firefox.evaluate(BOXES))


def test_a_page_from_a_file_decodes_every_prefix(firefox: Firefox, tmp_path: Path) -> None:
    out = io.BytesIO()
    picture().save(out, "RNC", iterations=4)
    with (tmp_path / "view.html").open("wb") as page:
        write_page([("waves.rnc", out.getvalue())], page)
    firefox.goto((tmp_path / "view.html").as_uri())
    firefox.evaluate("[0, 1, 2].forEach(() => document.getElementById('fewer').click())")
    for expected in pillow_rnc.progressive(io.BytesIO(out.getvalue())):
        firefox.wait("document.getElementById('stage').getAttribute('aria-busy') === 'false'")
        found = pixels(firefox.evaluate("document.querySelector('#right-layer canvas').toDataURL()"))
        assert abs(found[..., :3] - np.asarray(expected).astype(int)).max() <= 1
        firefox.evaluate("document.getElementById('more').click()")
