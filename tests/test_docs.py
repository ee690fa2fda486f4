"""The pages are built without a warning, name everything that is public, and lead nowhere that is not there."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pillow_rnc
from pillow_rnc.training.recipe import Recipe

REPOSITORY = Path(pillow_rnc.__file__).parents[1]
PAGES = sorted(
    page
    for folder in (".", ".github", "docs", "fuzz", "pillow_rnc", "spec", "weights")
    for page in (REPOSITORY / folder).glob("*.md")
)


def anchors(page: Path) -> set[str]:
    """Return what can follow # in a link to a page, as GitHub makes it from headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.slow
def test_the_pages_are_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)

    assert result.returncode == 0, result.stderr
    reference = (tmp_path / "api.html").read_text(encoding="utf-8")
    for name in pillow_rnc.__all__:
        assert name == "__version__" or f'id="pillow_rnc.{name}"' in reference, name


def test_every_page_is_in_the_menu() -> None:
    menu = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")

    listed = re.findall(r"^  - .*: (\S+\.md)$", menu, re.MULTILINE)
    assert set(listed) == {page.name for page in (REPOSITORY / "docs").glob("*.md")}


def test_the_recipe_has_the_keys_that_the_page_explains() -> None:
    page = (REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page, re.MULTILINE)
    explained = {name.strip("`") for row in rows for name in row.split(", ")}

    assert "train_encoder" in explained
    assert explained <= {field.name for field in dataclasses.fields(Recipe)}


def test_the_picture_of_the_first_screen_is_small() -> None:
    assert (REPOSITORY / "docs" / "one-file.webp").stat().st_size < 300_000
