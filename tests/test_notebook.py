"""A notebook shows an opened file, and steps through its iterations; run for real by a kernel."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING, Any

import nbclient
import nbformat
import pytest
from PIL import Image
from tiny_codec import register_tiny_codec

import pillow_rnc

if TYPE_CHECKING:
    from pathlib import Path

SETUP = """
import pillow_rnc
from pillow_rnc.models import weights
from PIL import Image
weights.register({weights!r})
im = Image.open({path!r})
"""


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return what the cells `im` and `progressive(im)` display."""
    folder = tmp_path_factory.mktemp("notebook")
    weights = register_tiny_codec(folder)
    picture = Image.linear_gradient("L").resize((40, 30)).convert("RGB")
    picture.save(folder / "a.rnc", model="tiny", iterations=4, tile_size=64)
    cells = [SETUP.format(weights=str(weights), path=str(folder / "a.rnc")), "im", "pillow_rnc.progressive(im)"]
    notebook = nbformat.from_dict(  # type: ignore[no-untyped-call]  # it has no types
        {
            "nbformat": 4,
            "nbformat_minor": 4,
            "metadata": {},
            "cells": [
                {"cell_type": "code", "source": cell, "metadata": {}, "outputs": [], "execution_count": None}
                for cell in cells
            ],
        }
    )
    nbclient.NotebookClient(notebook, startup_timeout=600).execute()  # a busy machine is slow
    _, shown, stepped = notebook.cells
    expected = [im.tobytes() for im in pillow_rnc.progressive(folder / "a.rnc")]
    return [shown.outputs[0].data, stepped.outputs[0].data, {"expected": expected}]


def test_an_opened_file_shows_itself(outputs: list[dict[str, Any]]) -> None:
    shown, _, reference = outputs

    with Image.open(io.BytesIO(base64.b64decode(shown["image/png"]))) as im:
        assert im.tobytes() == reference["expected"][-1]


def test_a_button_for_each_iteration_and_the_last_one_chosen(outputs: list[dict[str, Any]]) -> None:
    _, stepped, reference = outputs
    page = stepped["text/html"]
    pictures = re.findall(r'<img src="data:image/webp;base64,([^"]*)"', page)

    assert [Image.open(io.BytesIO(base64.b64decode(text))).tobytes() for text in pictures] == reference["expected"]
    assert re.findall(r"<label [^>]*>(\d+)</label>", page) == ["1", "2", "3", "4"]
    assert re.findall(r'<input [^>]*-(\d+)" checked>', page) == ["4"]
    assert "<script" not in page


def test_large_pictures_are_scaled_down_for_the_page(tmp_path: Path) -> None:
    register_tiny_codec(tmp_path)
    file = io.BytesIO()
    Image.new("L", (1200, 600)).save(file, "RNC", model="tiny", iterations=1)
    page = pillow_rnc.progressive(file)._repr_html_()
    (text,) = re.findall(r'<img src="data:image/webp;base64,([^"]*)"', page)

    assert Image.open(io.BytesIO(base64.b64decode(text))).size == (1000, 500)
