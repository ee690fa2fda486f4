"""``rnc encode --resize`` and ``rnc decode --resize``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import pytest
from PIL import Image
from pillow_version import PILLOW

from pillow_rnc.cli.main import main
from pillow_rnc.cli.resizing import Resize, parsed, resize

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("30x20", (30, 20)),
        ("0x40", (80, 40)),
        ("200x0", (200, 100)),
        ("50%", (50, 25)),
        ("12.5%", (12, 6)),
        ("300%", (300, 150)),
        ("0.001%", (1, 1)),
        ("1x0", (1, 1)),
        ("0x65535", (65535, 65535)),
    ],
)
def test_a_size_is_of_pixels_or_a_share_and_0_keeps_the_aspect_ratio(text: str, size: tuple[int, int]) -> None:
    assert parsed(text).size(100, 50) == size


@pytest.mark.parametrize(
    "text", ["", "30", "30x", "0x0", "-1x5", "65536x1", "1x2x3", "0%", "-5%", "nan%", "x%", "%", "1e9%"]
)
def test_what_is_no_size_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not allowed, give WxH .* such as 50%"):
        parsed(text)


@pytest.mark.parametrize(
    ("mode", "becomes"),
    [("P", "RGB"), ("1", "L"), ("L", "L"), ("RGBA", "RGBA"), *([("I;16", "I;16")] if PILLOW >= (11, 0) else [])],
)
def test_palettes_are_interpolated_as_colours(mode: str, becomes: str) -> None:
    im = Image.linear_gradient("L").convert("I;16" if mode == "I;16" else "RGB").convert(mode)
    resize(im, Resize(20, 30))
    assert (im.mode, im.size, im.copy().size) == (becomes, (20, 30), (20, 30))


def test_a_transparent_palette_becomes_colours_with_alpha() -> None:
    im = Image.linear_gradient("L").convert("P")
    im.info["transparency"] = 0
    resize(im, Resize(percent=50))
    assert (im.mode, "transparency" in im.info) == ("RGBA", False)


@pytest.mark.parametrize(("mode", "becomes"), [("1", "LA"), ("L", "LA"), ("RGB", "RGBA")])
def test_a_transparent_value_becomes_alpha(mode: str, becomes: str) -> None:
    im = Image.new("L", (40, 40), 255).convert(mode)
    im.paste(0, (0, 0, 20, 40))
    im.info["transparency"] = (0, 0, 0) if mode == "RGB" else 0
    resize(im, Resize(percent=50))
    assert (im.mode, "transparency" in im.info) == (becomes, False)
    assert [im.getchannel("A").getpixel(at) for at in ((1, 5), (18, 5))] == [0, 255]


def test_alpha_of_a_palette_is_kept() -> None:
    im = Image.new("P", (40, 40))
    im.putpalette([200, 100, 50, 0, 10, 20, 30, 255], "RGBA")
    im.paste(1, (20, 0, 40, 40))
    resize(im, Resize(percent=50))
    assert (im.mode, im.size) == ("RGBA", (20, 20))
    assert [im.getpixel(at) for at in ((1, 5), (18, 5))] == [(0, 0, 0, 0), (10, 20, 30, 255)]


def test_the_size_that_it_has_changes_nothing() -> None:
    im = Image.linear_gradient("L").convert("P")
    resize(im, Resize(percent=100))
    assert im.mode == "P"


def test_a_scaled_file_keeps_orientation_and_resolution(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[0x112] = 6
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "a.jpg", exif=exif, dpi=(300, 300))
    a, b, c = (str(tmp_path / name) for name in ("a.jpg", "b.rnc", "c.png"))
    assert main(["encode", a, "-o", b, "--resize", "0x40", "-i", "2"]) == 0
    with Image.open(b) as im:
        assert im.size == (40, 40)
        assert im.getexif()[0x112] == 6
        assert round(im.info["dpi"][0]) == 300
    assert main(["decode", b, "-o", c, "--resize", "150%"]) == 0
    with Image.open(c) as im:
        assert im.size == (60, 60)
        assert im.getexif()[0x112] == 6
    assert "warning" not in capsys.readouterr().err


def test_resize_and_size_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["decode", "a.rnc", "--size", "9x9", "--resize", "9x9"])
    assert "not allowed with" in capsys.readouterr().err
