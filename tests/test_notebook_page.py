"""What a notebook gets for `pillow_rnc.progressive`, in a real browser: `python -m pytest -m browser`."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from tiny_codec import register_tiny_codec

import pillow_rnc

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser


def test_a_button_or_an_arrow_key_shows_its_iteration(browser: Browser, tmp_path: Path) -> None:
    register_tiny_codec(tmp_path)
    file = io.BytesIO()
    Image.linear_gradient("L").resize((40, 30)).save(file, "RNC", model="tiny", iterations=4)
    page = browser.new_page()
    # Twice, as the buttons of one output must not choose the pictures of another.
    shown = pillow_rnc.progressive(file)
    page.set_content(shown._repr_html_() + shown._repr_html_())

    def visible() -> list[str | None]:
        return [image.get_attribute("alt") for image in page.locator("img").all() if image.is_visible()]

    assert visible() == ["after 4", "after 4"]
    page.locator("label", has_text="2").first.click()
    assert visible() == ["after 2", "after 4"]
    page.keyboard.press("ArrowLeft")
    assert visible() == ["after 1", "after 4"]
    page.close()
