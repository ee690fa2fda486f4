"""ICC profiles in the decoder for browsers, in Node: what LittleCMS makes of them. Run with the tests of browsers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from icc_profiles import ADOBE_RGB, DISPLAY_P3, GREY, LINEAR_SRGB, PROPHOTO, SRGB, converted
from PIL import Image, ImageCms

pytestmark = pytest.mark.browser

PROGRAM = Path(__file__).resolve().parents[1] / "web" / "tools" / "colour.js"


def colours() -> Image.Image:
    """Return an image with colours of all kinds."""
    steps = np.linspace(0, 255, 17).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1)
    return Image.fromarray(grid.reshape(17, 289, 3))


def shown(folder: Path, profile: bytes, image: Image.Image, *grey: str) -> tuple[dict[str, Any], np.ndarray[Any, Any]]:
    (folder / "p.icc").write_bytes(profile)
    (folder / "in").write_bytes(image.convert("RGBA").tobytes())
    command = ["node", str(PROGRAM), *(str(folder / name) for name in ("p.icc", "in", "out")), *grey]
    said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    samples = np.frombuffer((folder / "out").read_bytes(), np.uint8).reshape(image.height, image.width, 4)
    assert (samples[..., 3] == 255).all()
    return said, samples[..., :3].astype(int)


@pytest.mark.parametrize(
    ("profile", "space", "target"),
    [
        (ADOBE_RGB, "display-p3", DISPLAY_P3),
        (PROPHOTO, "display-p3", DISPLAY_P3),
        (LINEAR_SRGB, "srgb", SRGB),
    ],
    ids=["adobe", "prophoto", "linear"],
)
def test_matrix_profiles_are_converted(tmp_path: Path, profile: bytes, space: str, target: bytes) -> None:
    image = colours()
    said, samples = shown(tmp_path, profile, image)

    assert said == {"space": space, "warning": None, "converts": True}
    expected = np.asarray(converted(image, profile, target)).astype(int)
    assert abs(samples - expected).max() <= 2  # LittleCMS rounds between its steps


@pytest.mark.parametrize(("profile", "space"), [(SRGB, "srgb"), (DISPLAY_P3, "display-p3")], ids=["srgb", "p3"])
def test_what_a_canvas_has_is_left_as_it_is(tmp_path: Path, profile: bytes, space: str) -> None:
    said, samples = shown(tmp_path, profile, colours())
    assert said == {"space": space, "warning": None, "converts": False}
    assert (samples == np.asarray(colours())).all()


def test_the_profile_of_pillow_is_srgb(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert shown(tmp_path, profile, colours())[0] == {"space": "srgb", "warning": None, "converts": False}


def test_grey_has_a_curve(tmp_path: Path) -> None:
    ramp = Image.linear_gradient("L")
    said, samples = shown(tmp_path, GREY, ramp, "grey")
    assert said == {"space": "srgb", "warning": None, "converts": True}
    linear = (np.asarray(ramp) / 255) ** 1.8
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert abs(samples - np.round(255 * expected)[..., None]).max() <= 1


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        (b"", "damaged"),
        (ADOBE_RGB[:200], "damaged"),
        (GREY, "is for GRAY"),
        (ADOBE_RGB.replace(b"rTRC", b"rTRX"), "tables instead of a matrix"),
        (ADOBE_RGB[:20] + b"Lab " + ADOBE_RGB[24:], "tables instead of a matrix"),
        (ADOBE_RGB.replace(b"curv", b"curx"), "curve of an unknown kind"),
    ],
)
def test_other_profiles_leave_samples_and_warn(tmp_path: Path, profile: bytes, said: str) -> None:
    found, samples = shown(tmp_path, profile, colours())
    assert (found["space"], found["converts"]) == ("srgb", False)
    assert said in found["warning"]
    assert (samples == np.asarray(colours())).all()
