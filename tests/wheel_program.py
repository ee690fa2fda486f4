"""Tries an installed wheel, run by .ci/wheel-check in an environment of its own: it must not find the checkout."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import json
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from PIL import Image
from small_file import write_small_file
from tiny_codec import register_tiny_codec

import pillow_rnc
from pillow_rnc.models import weights

SCRIPT = Path(sysconfig.get_path("scripts")) / "rnc"
FOLDER = Path(pillow_rnc.__file__).parent
MANIFEST = Path(__file__).parents[1] / "weights" / "MANIFEST.json"
"""What was released, in the checkout."""
UNWANTED = ("tests/", "fuzz/", "spec/", ".pth", ".start")
"""None of these belong into a wheel, least of all what runs code when Python starts."""


def rnc(*arguments: object, status: int = 0) -> None:
    result = subprocess.run([SCRIPT, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert result.returncode == status, result.stderr


def check_contents() -> None:
    assert Path(sysconfig.get_path("purelib")).resolve() == FOLDER.resolve().parent, FOLDER
    assert importlib.metadata.version("pillow-rnc") == pillow_rnc.__version__
    files = [str(entry) for entry in importlib.metadata.files("pillow-rnc") or ()]
    assert "pillow_rnc/py.typed" in files
    tags = (importlib.metadata.distribution("pillow-rnc").read_text("WHEEL") or "").splitlines()
    has_kernel = any(name.startswith("pillow_rnc/entropy/kernel/_kernel") for name in files)
    assert any(line.startswith("Tag: cp310-abi3-" if has_kernel else "Tag: py3-none-any") for line in tags), tags
    assert "pillow_rnc/cli/autoload_hook.py" in files
    assert not [name for name in files if name.startswith(UNWANTED) or name.endswith(UNWANTED)]
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    assert [release.sha256 for release in weights.releases()] == [model["sha256"] for model in manifest["models"]]
    for release in weights.releases():
        assert release.path.parent == FOLDER / "_weights"


def there_and_back(model: str) -> None:
    picture = Image.linear_gradient("L").resize((96, 64)).convert("RGBA")
    encoded = io.BytesIO()
    picture.save(encoded, "RNC", model=model, iterations=2)
    with Image.open(encoded) as im:
        assert (im.format, im.mode, im.size) == ("RNC", "RGBA", (96, 64))
        im.load()
        assert im.getchannel("A").tobytes() == picture.getchannel("A").tobytes()


def main() -> None:
    check_contents()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        released = weights.releases()
        path = write_small_file(folder / "small.rnc")
        rnc("--version")
        rnc("info", path)
        rnc("verify", path)
        rnc("truncate", "-i", 1, "-o", folder / "short.rnc", path)
        rnc("decode", path, status=1)  # no model has its id
        tiny = register_tiny_codec(folder)
        there_and_back("tiny")
        photos = [folder / name for name in ("photo.png", "other.png", "third.png")]
        for photo in photos:
            Image.linear_gradient("L").save(photo)
        rnc("encode", "-j", 2, "--model", tiny, "-i", 2, *photos)
        rnc("decode", "--model", tiny, "-o", folder / "again.png", folder / "photo.rnc")
        for release in released:
            there_and_back(release.name)
        can_compare = importlib.util.find_spec("bjontegaard") is not None
        page = folder / "page.html"
        rnc("view", folder / "photo.rnc", "--model", tiny, "-o", page)
        assert 'id="decoder"' in page.read_text(encoding="utf-8")
        wanted = ("-i", "1,2", "--peers", "jpeg420", "--max-pixels", 4096, "-o", page, photos[0])
        rnc("compare", *wanted, status=not can_compare)
        assert not can_compare or "rnc compare" in page.read_text(encoding="utf-8")
        extras = "with" if can_compare else "without"
        print(f"the wheel works, {len(released)} released models, {extras} [eval], Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
