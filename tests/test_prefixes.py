"""The drawing that explains the format shows what the first bytes of a file really hold."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from fake_codec import FakeCodec
from PIL import Image

import pillow_rnc
from pillow_rnc.container import writer
from pillow_rnc.evaluation import __main__
from pillow_rnc.evaluation.prefixes import explain, iteration_ends, prefixes

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def codec(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeCodec().install(monkeypatch)


@pytest.fixture
def file() -> bytes:
    out = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(out, "RNC", iterations=6, comment="a comment")
    return out.getvalue()


def test_each_prefix_is_as_long_as_the_file_cut_there_and_shows_the_same(file: bytes) -> None:
    for prefix, count in zip(prefixes(file, (1, 3, 6)), (1, 3, 6), strict=True):
        short = writer.truncate(file, count)
        assert (prefix.iterations, prefix.bytes_) == (count, len(short))
        assert prefix.picture.tobytes() == pillow_rnc.open(io.BytesIO(short)).tobytes()
    assert iteration_ends(file)[-1] == len(file)


def test_the_bar_is_filled_as_far_as_the_prefix_goes(file: bytes) -> None:
    drawing = explain(file, (2, 6))
    row = 20 + 300 + 20 + 11
    for left, share in ((20, iteration_ends(file)[1] / len(file)), (440, 1)):
        filled = [drawing.getpixel((left + x, row)) == (11, 98, 196) for x in range(400)]
        notches = 5  # of two pixels
        assert abs(sum(filled) - 400 * share) <= 2 * notches + 1
        assert not any(filled[round(400 * share) :])


def test_the_command_draws_a_photograph(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.linear_gradient("L").save(tmp_path / "a.png")
    out = tmp_path / "drawn.webp"

    assert __main__.main(["prefixes", str(out), str(tmp_path / "a.png"), "--iterations", "1,2,3"]) == 0
    with Image.open(out) as im:
        assert im.size == (3 * 420 + 20, 450)
    assert str(out) in capsys.readouterr().out
    assert __main__.main(["prefixes", str(out), str(tmp_path / "absent.png")]) == 1
    assert "absent.png" in capsys.readouterr().err
