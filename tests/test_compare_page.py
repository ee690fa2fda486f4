"""The page of ``rnc compare`` in a real browser: `python -m pytest -m browser`.

Needs the extra `browser` and Chromium, found on the path or named by CHROMIUM. Both missing are errors here, not skips;
the default run counts these tests as deselected, and CI runs them.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
from flat_codec import FlatCodec
from PIL import Image
from test_compare import photograph

from pillow_rnc.evaluation.compare import ComparisonPlan, write_page
from pillow_rnc.evaluation.rate_distortion import MeasurementPlan, measure_image

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

COUNTS = (1, 2, 4, 8)
PEERS = ("jpeg420", "webp")
TELEPHONE = {"has_touch": True, "is_mobile": True, "viewport": {"width": 390, "height": 800}}
WHITE = (255, 255, 255)


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    Image.new("RGB", (170, 164), WHITE).save(folder / "white.png")
    photograph().save(folder / "photograph.png")
    path = folder / "compare.html"
    with path.open("wb") as out:
        write_page([folder / "white.png", folder / "photograph.png"], ComparisonPlan(FlatCodec(), COUNTS, PEERS), out)
    return path


@pytest.fixture
def page(browser: Browser, page_file: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """Open the page; at the end, nothing may have been complained about, and nothing asked of a network."""
    context = browser.new_context(**{"viewport": {"width": 1000, "height": 900}, **getattr(request, "param", {})})
    context.set_default_timeout(300_000)  # milliseconds; a busy machine is slow
    page = context.new_page()
    faults: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda asked: requests.append(asked.url))
    page.goto(page_file.as_uri())
    wait_for_pictures(page)
    yield page
    wait_for_pictures(page)
    context.close()
    assert faults == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


def wait_for_pictures(page: Page) -> None:
    page.evaluate("Promise.all([...document.querySelectorAll('#stage img:not([hidden])')].map((i) => i.decode()))")


def colour_at(page: Page, x: float, y: float) -> tuple[int, ...]:
    """Return what the stage shows at fractions of its size."""
    wait_for_pictures(page)
    with Image.open(io.BytesIO(page.locator("#stage").screenshot())) as shot:
        found = shot.convert("RGB").getpixel((int(x * (shot.width - 1)), int(y * (shot.height - 1))))
    assert isinstance(found, tuple)
    return found


def near(found: tuple[int, ...], expected: tuple[int, int, int]) -> bool:
    """Whether two colours are the same up to rounding."""
    return max(abs(a - b) for a, b in zip(found, expected, strict=True)) <= 2


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    box = page.locator("#stage").bounding_box()
    assert box
    page.mouse.move(box["x"] + start[0] * box["width"], box["y"] + start[1] * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + end[0] * box["width"], box["y"] + end[1] * box["height"], steps=3)
    page.mouse.up()


def boundary(page: Page) -> float:
    return float(page.locator("#boundary").get_attribute("aria-valuenow") or "nan")


def choose(page: Page, fieldset: str, value: str) -> None:
    page.locator(f"#{fieldset} label", has=page.locator(f"[value={value}]")).click()


def test_both_pictures_show_on_their_sides(page: Page) -> None:
    # It starts in the middle of the iteration counts, with the original at the left.
    assert near(colour_at(page, 0.25, 0.8), WHITE)
    assert near(colour_at(page, 0.75, 0.8), FlatCodec.colour(4))
    assert page.locator("#left-tag").inner_text() == "Original"
    assert "4 iterations" in page.locator("#right-tag").inner_text()


def test_dragging_moves_the_boundary(page: Page) -> None:
    assert boundary(page) == 50
    drag(page, (0.5, 0.5), (0.9, 0.6))
    assert boundary(page) == 90
    assert near(colour_at(page, 0.75, 0.8), WHITE)
    drag(page, (0.3, 0.2), (0.1, 0.2))
    assert boundary(page) == 10
    assert near(colour_at(page, 0.25, 0.8), FlatCodec.colour(4))


def test_arrow_keys_move_the_boundary(page: Page) -> None:
    page.locator("#boundary").focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert boundary(page) == 90
    page.keyboard.press("ArrowLeft")
    assert boundary(page) == 88


@pytest.mark.parametrize("page", [TELEPHONE], indirect=True)
def test_touch_moves_the_boundary_and_nothing_is_wider_than_a_telephone(page: Page) -> None:
    box = page.locator("#stage").bounding_box()
    assert box
    page.touchscreen.tap(box["x"] + 0.2 * box["width"], box["y"] + 0.3 * box["height"])

    assert boundary(page) == 20
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def touch(page: Page, *stages: Sequence[tuple[float, float]]) -> None:
    """Put fingers on the stage, at fractions of its size, move them from stage to stage, and lift them."""
    box = page.locator("#stage").bounding_box()
    assert box
    session = page.context.new_cdp_session(page)
    for index, fingers in enumerate(stages):
        points = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]} for x, y in fingers]
        kind = "touchMove" if index else "touchStart"
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


@pytest.mark.parametrize("page", [TELEPHONE], indirect=True)
def test_one_finger_moves_the_boundary_and_two_zoom(page: Page) -> None:
    touch(page, [(0.5, 0.4)], [(0.6, 0.4)], [(0.8, 0.4)])
    assert boundary(page) == 80
    fit = zoom(page)
    touch(page, [(0.4, 0.5), (0.6, 0.5)], [(0.3, 0.5), (0.7, 0.5)], [(0.2, 0.5), (0.8, 0.5)])
    assert zoom(page) == pytest.approx(3 * fit, rel=0.05)
    assert boundary(page) == 80
    before = page.locator("#left-layer img").get_attribute("style")
    touch(page, [(0.2, 0.2)], [(0.4, 0.3)], [(0.5, 0.4)])  # now it moves the picture
    assert page.locator("#left-layer img").get_attribute("style") != before
    assert boundary(page) == 80


def test_the_iteration_control_swaps_pictures(page: Page) -> None:
    sources = {page.locator("#right-layer img").get_attribute("src")}
    page.locator("#iterations").focus()
    page.keyboard.press("Home")
    for count in COUNTS[1:]:
        page.keyboard.press("ArrowRight")
        assert near(colour_at(page, 0.75, 0.8), FlatCodec.colour(count))
        assert page.locator("#iterations").get_attribute("aria-valuenow") == str(count)
        sources.add(page.locator("#right-layer img").get_attribute("src"))
    assert len(sources) == 3
    page.locator("#iterations span").first.click()
    assert near(colour_at(page, 0.75, 0.8), FlatCodec.colour(1))
    assert page.locator("#fewer").is_disabled()
    page.locator("#more").click()
    assert near(colour_at(page, 0.75, 0.8), FlatCodec.colour(2))
    page.keyboard.press(",")
    assert near(colour_at(page, 0.75, 0.8), FlatCodec.colour(1))


def shown_numbers(page: Page) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('tbody tr')].map("
        "(row) => [row.dataset.codec, [...row.querySelectorAll('td')].map((cell) => cell.textContent)]))"
    )
    return rows


def test_numbers_are_those_of_the_evaluation(page: Page) -> None:
    page.locator("#next").click()
    measured = measure_image("photograph", photograph(), MeasurementPlan(FlatCodec(), COUNTS, PEERS, None))
    page.locator("#iterations").focus()
    page.keyboard.press("Home")
    for ours, jpeg in measured.matched:
        rows = shown_numbers(page)
        for point, row in [(ours, rows["rnc"]), (jpeg, rows["jpeg420"])]:
            if point is None:
                assert "none so small" in row[0]
                continue
            assert row == [
                str(point.setting),
                f"{int(point.file_bytes):,}".replace(",", "\u202f"),
                f"{point.bpp:.3f}",
                f"{point.psnr:.2f}",
                f"{point.ms_ssim:.4f}",
                f"{point.psnr_hvs:.2f}",
                f"{point.ssimulacra2:.2f}",
            ]
        page.keyboard.press("ArrowRight")
    assert measured.matched[0].jpeg is None
    assert measured.matched[-1].jpeg is not None


def test_a_peer_shows_its_own_file_or_that_it_has_none(page: Page) -> None:
    page.locator("#next").click()
    choose(page, "right", "jpeg420")
    page.locator("#iterations").focus()
    page.keyboard.press("End")
    assert str(page.locator("#right-layer img").get_attribute("src")).startswith("data:image/jpeg")
    assert "quality" in page.locator("#right-tag").inner_text()
    page.keyboard.press("Home")
    assert page.locator("#right-layer img").is_hidden()
    assert "No JPEG 4:2:0 is so small" in page.locator("#right-layer p").inner_text()


def test_keys_choose_swap_and_turn_pages(page: Page) -> None:
    page.keyboard.press("Shift+Digit2")
    page.keyboard.press("Digit1")
    assert near(colour_at(page, 0.25, 0.8), FlatCodec.colour(4))
    assert near(colour_at(page, 0.75, 0.8), WHITE)
    page.keyboard.press("x")
    assert near(colour_at(page, 0.75, 0.8), FlatCodec.colour(4))
    assert page.locator("#right [value=rnc]").is_checked()
    page.keyboard.press("n")
    assert page.locator("#facts").inner_text() == "photograph.png, 170\u00d7164"
    page.keyboard.press("p")
    assert page.locator("#facts").inner_text() == "white.png, 170\u00d7164"


def test_the_difference_of_two_pictures_is_shown(page: Page) -> None:
    page.keyboard.press("d")
    page.locator("#gain").select_option("1")
    red, green, blue = FlatCodec.colour(4)
    for x in (0.25, 0.75):
        assert near(colour_at(page, x, 0.8), (255 - red, 255 - green, 255 - blue))
    page.locator("#gain").select_option("4")
    assert near(colour_at(page, 0.5, 0.8), (255, min(255, 4 * (255 - green)), 4 * (255 - blue)))
    choose(page, "right", "original")
    assert colour_at(page, 0.5, 0.8) == (0, 0, 0)


def zoom(page: Page) -> int:
    return int(page.locator("#zoom").inner_text().split("\u202f")[0])


def test_zoom_shows_pixels_and_moves(page: Page) -> None:
    page.locator("#next").click()
    fit = zoom(page)
    page.locator("#zoom-one").click()
    assert zoom(page) == max(fit, 100)
    while not page.locator("#left-layer img.pixels").count() or zoom(page) < 1600:
        page.keyboard.press("+")
    transform = "document.querySelector('#left-layer img').style.transform"
    before = page.evaluate(transform)
    drag(page, (0.3, 0.5), (0.2, 0.4))  # beside the boundary
    assert page.evaluate(transform) != before
    assert boundary(page) == 50
    drag(page, (0.5, 0.4), (0.7, 0.4))  # on it
    assert boundary(page) == 70
    both = page.evaluate("[...document.querySelectorAll('#stage img')].map((i) => i.style.transform)")
    assert both[0] == both[1]
    page.keyboard.press("0")
    assert zoom(page) == fit
    page.locator("#stage").dblclick(position={"x": 20, "y": 20})
    assert zoom(page) > fit


def test_bytes_arrive_and_pictures_with_them(page: Page) -> None:
    page.clock.install(time=0)
    page.clock.pause_at(1000)
    page.locator("#speed").select_option("2000")
    page.keyboard.press("x")
    page.keyboard.press("Space")
    page.clock.run_for(290)  # milliseconds; 580 bytes, and the first iteration has 600
    assert page.locator("#left-layer img").is_hidden()
    assert page.locator("#arrived").inner_text().startswith("0 of 8 iterations")
    for wait, count in [(30, 1), (500, 2), (1000, 4)]:
        page.clock.run_for(wait)
        assert page.locator("#iterations").get_attribute("aria-valuenow") == str(count)
        assert near(colour_at(page, 0.25, 0.8), FlatCodec.colour(count))
    assert page.locator("#play").get_attribute("aria-label") == "Stop"
    page.clock.run_for(2000)
    assert near(colour_at(page, 0.25, 0.8), FlatCodec.colour(8))
    assert page.locator("#play").get_attribute("aria-label") == "Play"


def test_the_plot_has_a_point_for_each_that_was_measured(page: Page) -> None:
    page.locator("#next").click()
    choose(page, "metric", "psnr")
    curve = page.locator("#plot [data-codec=rnc]")
    assert curve.locator("circle:not(.now)").count() == len(COUNTS)
    assert curve.locator("circle.now").count() == 1
    assert str(curve.locator("title").last.text_content()).startswith("Flat 8: ")


def background(page: Page) -> Any:  # noqa: ANN401 -- whatever the script returns
    return page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")


@pytest.mark.parametrize("page", [{"color_scheme": "dark"}], indirect=True)
def test_it_is_dark_where_the_system_is(page: Page) -> None:
    assert max(background(page)) < 60


@pytest.mark.parametrize("page", [{"color_scheme": "light"}], indirect=True)
def test_it_is_light_where_the_system_is(page: Page) -> None:
    assert min(background(page)) > 200
