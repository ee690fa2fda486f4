"""Graphics to train on: each kind is drawn, by seed, with any font."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, ImageFont

from pillow_rnc.training import graphics

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("index", range(len(graphics.KINDS)))
def test_an_image_is_drawn_by_its_index_and_seed(index: int) -> None:
    image, again = graphics.graphic(index), graphics.graphic(index)

    assert (image.mode, image.size) == ("RGB", graphics.SIZE)
    assert image.tobytes() == again.tobytes() != graphics.graphic(index, seed=1).tobytes()
    assert np.asarray(image.convert("L")).std() > 5


def test_the_command_draws_with_the_fonts_of_a_folder(tmp_path: Path) -> None:
    font = ImageFont.load_default(12)
    assert isinstance(font, ImageFont.FreeTypeFont)
    (tmp_path / "fonts").mkdir()
    assert isinstance(font.path, io.BytesIO)  # Pillow's own font
    own = tmp_path / "fonts" / "own.ttf"
    own.write_bytes(font.path.getvalue())
    graphics.main([str(tmp_path / "out"), "--count", "2", "--fonts", str(tmp_path / "fonts")])

    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == ["graphic-000.png", "graphic-001.png"]
    with Image.open(files[0]) as drawn:
        assert drawn.tobytes() == graphics.graphic(0, [own]).tobytes()
