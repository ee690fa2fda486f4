"""The element ``<rnc-image>`` and the service worker in Chromium: `python -m pytest -m browser`."""

from __future__ import annotations

import base64
import functools
import io
import json
import select
import socket
import subprocess
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from icc_profiles import ADOBE_RGB, DISPLAY_P3, converted
from PIL import Image

import pillow_rnc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

WEB = Path(__file__).resolve().parents[1] / "web"
WEIGHTS = WEB.parent / "weights"
ITERATIONS = 6
MAX_WORKERS = 6
_PAGE = "<!doctype html><meta charset=utf-8><script type=module src=/src/index.js></script><body>"
_LOG = """
window.log = [];
for (const kind of ["progress", "load", "error", "warning"])
  document.addEventListener(kind, (e) => e.target.localName === "rnc-image" &&
    window.log.push({...e.detail, fault: e.detail?.kind, kind,
      png: e.target.shadowRoot.querySelector("canvas").toDataURL()}), true);
"""


def picture() -> Image.Image:
    """Return a picture with edges and texture, in colour."""
    y, x = np.mgrid[0:160, 0:240]
    waves = [128 + 90 * np.sin(x / 17 + y / 31), 128 + 80 * np.cos(y / 9), 128 + 60 * np.sin(x * y / 900)]
    samples = np.stack(waves, -1) + np.random.default_rng(0).normal(0, 10, (160, 240, 1))
    samples[40:100, 60:140] += 60
    return Image.fromarray(np.clip(samples, 0, 255).astype(np.uint8))


class Handler(SimpleHTTPRequestHandler):
    """Serves the folder web/ and the weights, and of .rnc files as many bytes as the test allows by now."""

    files: dict[str, bytes]
    limit: int
    limits: dict[str, int]
    """Instead of it for single addresses with their query."""
    allows_origins: bool
    asked: list[str]
    sent: dict[str, int]
    closed: set[str]
    """Addresses whose connection the browser closed before the end."""

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        self.asked.append(path)
        if path.endswith(".safetensors"):
            self._answer((WEIGHTS / path.rpartition("/")[2]).read_bytes(), "application/octet-stream")
        elif path == "/sw.js":
            self._answer(b"import './src/service-worker.js';", "text/javascript")
        elif path.endswith(".html"):
            self._answer(self.files[path], "text/html")
        elif path in self.files:
            self._answer(self.files[path], "image/x-rnc", is_limited=True)
        else:
            super().do_GET()

    def _answer(self, data: bytes, kind: str, *, is_limited: bool = False) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        if self.allows_origins:
            self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()
        start = 0
        while start < len(data):
            end = min(len(data), self.limits.get(self.path, self.limit)) if is_limited else len(data)
            try:
                self.wfile.write(data[start:end])
                ready, _, _ = select.select([self.connection], [], [], 0.05 if start == end else 0)
                is_closed = bool(ready) and not self.connection.recv(1, socket.MSG_PEEK)
            except (BrokenPipeError, ConnectionResetError):
                is_closed = True
            self.sent[self.path] = start = end
            if is_closed:
                self.closed.add(self.path)
                return

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[tuple[str, type[Handler]]]:
    out = io.BytesIO()
    picture().save(out, "RNC", iterations=ITERATIONS)
    handler = type(
        "SiteHandler",
        (Handler,),
        {
            "files": {"/x.rnc": out.getvalue()},
            "limit": 1 << 30,
            "limits": {},
            "allows_origins": False,
            "asked": [],
            "sent": {},
            "closed": set(),
        },
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(handler, directory=WEB))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_port}", handler
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    context.set_default_timeout(300_000)  # milliseconds; a busy machine is slow
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.add_init_script(_LOG)
    yield page
    context.close()
    assert faults == []


def pixels(url: str) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as im:
        return np.asarray(im.convert("RGBA")).astype(int)


def show(page: Page, site: tuple[str, type[Handler]], body: str) -> None:
    site[1].files["/page.html"] = (_PAGE + body).encode()
    page.goto(site[0] + "/page.html")


def finished(page: Page, count: int = 1) -> list[dict[str, Any]]:
    page.wait_for_function(f"log.filter((one) => ['load', 'error'].includes(one.kind)).length >= {count}")
    events: list[dict[str, Any]] = page.evaluate("log")
    return events


def wait_until(page: Page, done: Callable[[], bool]) -> None:
    for _ in range(600):
        if done():
            return
        page.wait_for_timeout(100)  # unlike time.sleep, takes in what the browser reports meanwhile
    raise AssertionError("it did not happen within a minute")


def bytes_of(file: bytes, iterations: int) -> int:
    """Return how many bytes of a file hold so many iterations."""
    info = pillow_rnc.info(io.BytesIO(file))
    return info["bytes_before_iterations"] + sum(info["bytes_per_iteration"][:iterations])


def test_a_slow_connection_shows_ever_better_pictures(page: Page, site: tuple[str, type[Handler]]) -> None:
    site[1].limit = 1
    show(page, site, '<rnc-image src="/x.rnc" alt="waves" width="480"></rnc-image>')
    for count in range(1, ITERATIONS + 1):
        site[1].limit = bytes_of(site[1].files["/x.rnc"], count)
        page.wait_for_function(f"log.length >= {count}")
    events = finished(page)

    assert events[-1]["kind"] == "load"
    steps = [one for one in events if one["kind"] == "progress"]
    assert [one["iterations"] for one in steps] == list(range(1, ITERATIONS + 1))
    original = np.asarray(picture()).astype(int)
    errors = [float(((pixels(one["png"])[..., :3] - original) ** 2).mean()) for one in steps]
    assert errors == sorted(errors, reverse=True)
    assert len(set(errors)) == len(errors)
    assert steps[0]["bytes"] < steps[-1]["bytes"]
    expected = list(pillow_rnc.progressive(io.BytesIO(site[1].files["/x.rnc"])))
    for one in steps:
        assert abs(pixels(one["png"])[..., :3] - np.asarray(expected[one["iterations"] - 1]).astype(int)).max() <= 1
    assert page.get_by_role("img", name="waves").is_visible()


@pytest.mark.parametrize(
    ("attributes", "saves_data", "shown"),
    [('iterations="2"', False, 2), ("", True, 4), ('iterations="5"', True, 5)],
)
def test_what_is_not_wanted_is_not_fetched(
    page: Page, site: tuple[str, type[Handler]], attributes: str, saves_data: bool, shown: int
) -> None:
    out = io.BytesIO()
    picture().save(out, "RNC", iterations=12)
    file = site[1].files["/x.rnc"] = out.getvalue()
    site[1].limit = bytes_of(file, shown)
    value = "true" if saves_data else "false"
    page.add_init_script(
        f"Object.defineProperty(Navigator.prototype, 'connection', {{get: () => ({{saveData: {value}}})}})"
    )
    show(page, site, f'<rnc-image src="/x.rnc" {attributes}></rnc-image>')
    events = finished(page)

    assert events[-1]["iterations"] == shown
    progress = [one for one in events if one["kind"] == "progress"]
    assert progress[-1]["of"] == shown
    assert progress[-1]["bytes"] == bytes_of(file, shown) < len(file)
    wait_until(page, lambda: "/x.rnc" in site[1].closed)
    assert site[1].sent["/x.rnc"] == bytes_of(file, shown)


def test_an_element_that_is_removed_stops_its_transfer(page: Page, site: tuple[str, type[Handler]]) -> None:
    site[1].limit = bytes_of(site[1].files["/x.rnc"], 1)
    show(page, site, '<rnc-image src="/x.rnc"></rnc-image>')
    page.wait_for_function("log.length > 0")
    page.evaluate("document.querySelector('rnc-image').remove()")
    wait_until(page, lambda: "/x.rnc" in site[1].closed)
    assert [one["kind"] for one in page.evaluate("log")] == ["progress"]


def test_hostile_files_leave_the_page_alive(page: Page, site: tuple[str, type[Handler]]) -> None:
    script = (
        "const {hostile} = await import(process.argv[1]); process.stdout.write(hostile(JSON.parse(process.argv[2])))"
    )
    program = ["node", "--input-type=module", "-e", script, (WEB / "tools" / "hostile.js").as_uri()]
    for name, promise in {
        "huge": {"width": 65535, "height": 65535},
        "wide": {"width": 65535, "height": 1500},
        "tiles": {"width": 9999, "height": 9999},
        "long": {"width": 2048, "height": 2048, "tileSize": 2048},
    }.items():
        data = subprocess.run([*program, json.dumps(promise)], check=True, capture_output=True).stdout
        site[1].files[f"/{name}.rnc"] = data
    many = "".join(f'<rnc-image src="/{name}.rnc"></rnc-image>' for name in ("huge", "wide", "tiles", "long", "x"))
    show(page, site, many)
    events = finished(page, 5)
    found = [one["fault"] for one in events if one["kind"] == "error"]
    assert sorted(found) == ["corrupt", "limit", "limit", "limit"]
    assert [one["iterations"] for one in events if one["kind"] == "load"] == [ITERATIONS]


def test_workers_that_do_not_answer_are_replaced(page: Page, site: tuple[str, type[Handler]]) -> None:
    out = io.BytesIO()
    picture().resize((960, 640)).save(out, "RNC", iterations=28)
    site[1].files["/long.rnc"] = out.getvalue()
    show(page, site, '<rnc-image src="/long.rnc?1"></rnc-image><rnc-image src="/long.rnc?2"></rnc-image>')
    page.wait_for_function("performance.getEntriesByType('resource').length > 0")
    wait_until(page, lambda: len([one for one in site[1].asked if one == "/long.rnc"]) == 2)
    assert page.evaluate("1 + 1") == 2
    page.evaluate("document.body.innerHTML = '<rnc-image src=\"/x.rnc\"></rnc-image>'")
    page.wait_for_function("log.some((one) => one.kind === 'load' && one.iterations === 6)")


def test_alpha_and_orientation(page: Page, site: tuple[str, type[Handler]]) -> None:
    im = picture().convert("RGBA")
    im.putalpha(Image.linear_gradient("L").resize(im.size))
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    im.save(out, "RNC", iterations=3, exif=exif)
    site[1].files["/y.rnc"] = out.getvalue()
    show(page, site, '<rnc-image src="/y.rnc"></rnc-image>')
    found = pixels(finished(page)[-1]["png"])
    with pillow_rnc.open(io.BytesIO(out.getvalue())) as opened:
        turned = np.asarray(opened.transpose(Image.Transpose.ROTATE_270)).astype(int)
    assert found.shape == turned.shape
    assert abs(found[..., 3] - turned[..., 3]).max() <= 1
    opaque = turned[..., 3] > 250  # a canvas multiplies colours by alpha
    assert abs(found - turned)[opaque].max() <= 2


SIZES = {
    # style of the page, attributes: width and height of the box in a container of 400 px
    ("", ""): (240, 160),
    ("", 'width="120"'): (120, 80),
    ("", 'height="80"'): (120, 80),
    ("", 'width="90" height="90"'): (90, 90),
    ("", 'width="768" height="512"'): (400, 266.67),  # <img> needs height:auto for it
    ("height:auto", 'width="768" height="512"'): (400, 266.67),
    ("width:100%", 'width="120" height="80"'): (400, 266.67),
    ("height:50px", ""): (75, 50),
    ("width:60px", 'width="120"'): (60, 40),
}
SIZES_BODY = "<style>body { width: 400px; margin: 0 }</style>" + "".join(
    f'<style>#e{number} {{ {style} }}</style><rnc-image id="e{number}" src="/x.rnc" {attributes}></rnc-image>'
    for number, (style, attributes) in enumerate(SIZES)
)
BOXES = """
[...document.querySelectorAll("rnc-image")].flatMap((one) => [one, one.shadowRoot.querySelector("canvas")])
  .map((one) => [one.getBoundingClientRect().width, one.getBoundingClientRect().height])
"""


def check_sizes(boxes: list[list[float]]) -> None:
    """Compare the boxes of the elements and of their canvases, in turns."""
    for number, (rules, size) in enumerate(SIZES.items()):
        for box in boxes[2 * number : 2 * number + 2]:
            assert box == pytest.approx(size, abs=0.1), rules


def test_boxes_have_the_sizes_of_img(page: Page, site: tuple[str, type[Handler]]) -> None:
    show(page, site, SIZES_BODY)
    finished(page, len(SIZES))
    check_sizes(page.evaluate(BOXES))


def test_the_place_of_a_picture_is_kept_before_it_arrives(page: Page, site: tuple[str, type[Handler]]) -> None:
    show(page, site, '<rnc-image width="300" height="200"></rnc-image>')
    box = page.evaluate("document.querySelector('rnc-image').getBoundingClientRect().toJSON()")
    assert (box["width"], box["height"]) == (300, 200)


def test_a_picture_without_meaning_is_not_announced(page: Page, site: tuple[str, type[Handler]]) -> None:
    roles = {"": "img", 'alt="waves"': "img", 'alt=""': "none", 'alt="" role="button"': "button"}
    show(page, site, "".join(f"<rnc-image {attributes}></rnc-image>" for attributes in roles))
    assert page.evaluate("[...document.querySelectorAll('rnc-image')].map((one) => one.role)") == list(roles.values())
    page.evaluate("document.querySelectorAll('rnc-image').forEach((one) => { one.alt = 'other' })")
    assert page.get_by_role("img", name="other").count() == 3
    assert page.get_by_role("button", name="other").count() == 1


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (lambda data: b"no" + data, "signature"),
        (lambda data: data[:-5], "truncated"),
        (lambda data: data[:-9] + bytes(9), "corrupt"),
    ],
)
def test_errors_are_events(page: Page, site: tuple[str, type[Handler]], damage: Any, kind: str) -> None:  # noqa: ANN401
    site[1].files["/x.rnc"] = damage(site[1].files["/x.rnc"])
    show(page, site, '<rnc-image src="/x.rnc"></rnc-image>')
    last = finished(page)[-1]
    assert (last["kind"], last["fault"]) == ("error", kind)
    assert last["message"]


def test_twenty_pictures_share_weights_and_lazy_ones_wait(page: Page, site: tuple[str, type[Handler]]) -> None:
    many = "".join(f'<rnc-image src="/x.rnc?{i}" width="180"></rnc-image> ' for i in range(20))
    show(page, site, many + '<div style="height:9000px"></div><rnc-image loading="lazy" src="/x.rnc?late"></rnc-image>')
    events = finished(page, 20)
    assert sum(one["kind"] == "load" for one in events) == 20
    assert site[1].asked.count("/x.rnc") == 20
    assert sum("safetensors" in one for one in site[1].asked) <= MAX_WORKERS
    page.evaluate("document.querySelector('[loading]').scrollIntoView()")
    finished(page, 21)
    assert site[1].asked.count("/x.rnc") == 21


def test_downloads_that_stall_keep_no_other_element_waiting(page: Page, site: tuple[str, type[Handler]]) -> None:
    stalled = [f"/x.rnc?{number}" for number in range(3)]
    site[1].limits = dict.fromkeys(stalled, bytes_of(site[1].files["/x.rnc"], 1))
    show(page, site, "".join(f'<rnc-image src="{one}"></rnc-image>' for one in [*stalled, "/x.rnc"]))
    ended = [one for one in finished(page) if one["kind"] in ("load", "error")]
    assert [(one["kind"], one.get("iterations")) for one in ended] == [("load", ITERATIONS)]
    site[1].limits.clear()
    assert all(one["kind"] in ("progress", "load") for one in finished(page, 4))


def test_idle_workers_are_ended(page: Page, site: tuple[str, type[Handler]]) -> None:
    page.add_init_script("window.setTimeout = ((wait) => (call, ms) => wait(call, ms === 30000 ? 0 : ms))(setTimeout)")
    show(page, site, '<rnc-image src="/x.rnc"></rnc-image>')
    finished(page)
    wait_until(page, lambda: not page.workers)
    page.evaluate("document.querySelector('rnc-image').src = '/x.rnc?again'")
    assert [one["kind"] for one in finished(page, 2)].count("load") == 2


def test_weights_are_kept(page: Page, site: tuple[str, type[Handler]]) -> None:
    show(page, site, '<rnc-image src="/x.rnc"></rnc-image>')
    finished(page)
    before = len([one for one in site[1].asked if "safetensors" in one])
    page.reload()
    assert finished(page)[-1]["kind"] == "load"
    assert len([one for one in site[1].asked if "safetensors" in one]) == before


def start_service_worker(page: Page, site: tuple[str, type[Handler]]) -> None:
    show(page, site, "")
    page.evaluate(
        "(async () => { await navigator.serviceWorker.register('/sw.js', {type: 'module'});"
        " await navigator.serviceWorker.ready; while (!navigator.serviceWorker.controller)"
        " await new Promise((next) => setTimeout(next, 50)); })()"
    )


PLAIN_IMAGE = """
(async (url) => {
  const im = new Image();
  im.src = url;
  await im.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [im.naturalWidth, im.naturalHeight];
  canvas.getContext("2d").drawImage(im, 0, 0);
  return canvas.toDataURL();
})
"""
"""Gives an <img> an address, and returns what it shows."""


def test_a_service_worker_shows_plain_images_upright(page: Page, site: tuple[str, type[Handler]]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    picture().save(out, "RNC", iterations=ITERATIONS, exif=exif)
    site[1].files["/turned.rnc"] = out.getvalue()
    start_service_worker(page, site)
    for name, turn in (("x", None), ("turned", Image.Transpose.ROTATE_270)):
        with pillow_rnc.open(io.BytesIO(site[1].files[f"/{name}.rnc"])) as opened:
            wanted = np.asarray(opened.transpose(turn) if turn else opened).astype(int)
        found = pixels(page.evaluate(PLAIN_IMAGE, f"/{name}.rnc"))
        assert found.shape[:2] == wanted.shape[:2]
        assert abs(found[..., :3] - wanted).max() <= 1


def test_a_download_that_stalls_keeps_no_other_plain_image_waiting(page: Page, site: tuple[str, type[Handler]]) -> None:
    site[1].limits["/x.rnc?stalled"] = bytes_of(site[1].files["/x.rnc"], 2)
    start_service_worker(page, site)
    page.evaluate("(document.body.innerHTML = '<img src=\"/x.rnc?stalled\">')")
    wait_until(page, lambda: site[1].sent.get("/x.rnc?stalled") == site[1].limits["/x.rnc?stalled"])
    assert pixels(page.evaluate(PLAIN_IMAGE, "/x.rnc")).shape[:2] == (160, 240)
    assert not page.evaluate("document.querySelector('img').complete")


def test_a_plain_image_of_another_origin_needs_only_a_server_that_allows_all(
    page: Page, site: tuple[str, type[Handler]]
) -> None:
    start_service_worker(page, site)
    url = site[0].replace("localhost", "127.0.0.1") + "/x.rnc"
    shown = "(async (url) => { const im = new Image(); im.src = url; await im.decode(); return im.naturalWidth; })"
    site[1].allows_origins = True
    assert page.evaluate(shown, url + "?allowed") == 240
    site[1].allows_origins = False
    assert page.evaluate(f"{shown}('{url}?denied').then(() => '', (error) => error.name)") == "EncodingError"


def test_profiles_are_applied(page: Page, site: tuple[str, type[Handler]]) -> None:
    data = {}
    for name, profile in {"adobe": ADOBE_RGB, "p3": DISPLAY_P3, "lab": b"no profile"}.items():
        out = io.BytesIO()
        picture().save(out, "RNC", iterations=3, icc_profile=profile)
        data[name] = site[1].files[f"/{name}.rnc"] = out.getvalue()
        show(page, site, f'<rnc-image src="/{name}.rnc"></rnc-image>')
        events = finished(page)
        warnings = [one["message"] for one in events if one["kind"] == "warning"]
        assert len(warnings) == (name == "lab")
        space = page.evaluate(
            "document.querySelector('rnc-image').shadowRoot.querySelector('canvas')"
            ".getContext('2d').getContextAttributes().colorSpace"
        )
        assert space == ("srgb" if name == "lab" else "display-p3")
        with pillow_rnc.open(io.BytesIO(data[name])) as opened:
            plain = opened.convert("RGB")
        wanted = converted(plain, profile, DISPLAY_P3) if name == "adobe" else plain
        found = page.evaluate(
            "[...document.querySelector('rnc-image').shadowRoot.querySelector('canvas').getContext('2d')"
            ".getImageData(0, 0, 240, 160).data]"
        )
        samples = np.array(found).reshape(160, 240, 4)[..., :3]
        assert abs(samples - np.asarray(wanted).astype(int)).max() <= 2
