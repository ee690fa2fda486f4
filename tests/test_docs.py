"""The site builds strictly, holds every page and every public name, and all links have a target."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

import pillow_rnc
from pillow_rnc.training.recipe import Recipe

REPOSITORY = Path(pillow_rnc.__file__).parents[1]
FOLDERS = (".", ".github", "docs", "fuzz", "kernel", "spec", "spec/vectors", "web", "weights")
PAGES = sorted(page for folder in FOLDERS for page in (REPOSITORY / folder).glob("*.md"))
PAGES_OUTSIDE = sorted(REPOSITORY / folder / "README.md" for folder in ("benchmarks", "research", "spec/file-types"))
"""Pages of the repository that the site does not have."""
NO_SITE_PAGES = {".github/PULL_REQUEST_TEMPLATE.md", "RELEASING.md"}
"""Pages for maintainers or for GitHub, not for readers of the site."""


def anchors(page: Path) -> set[str]:
    """Return what can follow # in a link to a page, as GitHub makes it from headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*PAGES, *PAGES_OUTSIDE], ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_have_a_target(page: Path) -> None:
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site; a warning fails."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.slow
def test_the_site_builds_strictly_and_documents_every_public_name(site: Path) -> None:
    reference = (site / "api.html").read_text(encoding="utf-8")
    for name in pillow_rnc.__all__:
        assert name == "__version__" or f'id="pillow_rnc.{name}"' in reference, name


def test_commands_and_paths_on_the_pages_exist() -> None:
    missing = set()
    for page in (*PAGES, *PAGES_OUTSIDE):
        if page.name in ("CHANGELOG.md", "release-tests.md"):  # these also name what was renamed since
            continue
        text = page.read_text(encoding="utf-8")
        # NAME stands for any of the commands.
        for module in re.findall(r"python -m (?!\w+\.NAME\b)((?:pillow_rnc|research|benchmarks)[\w.]*)", text):
            path = REPOSITORY / module.replace(".", "/")
            if not path.with_suffix(".py").exists() and not (path / "__main__.py").exists():
                missing.add((page.name, module))
        for name in re.findall(r"`((?:pillow_rnc|research|benchmarks|fuzz|spec|tests|weights)/[\w./-]*)`", text):
            if not (REPOSITORY / name).exists():
                missing.add((page.name, name))

    assert not missing


def test_every_page_is_in_the_navigation() -> None:
    navigation = (REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8")
    hook = (REPOSITORY / "docs" / "_hooks.py").read_text(encoding="utf-8")
    outside = dict(re.findall(r'^    "(\S+\.md)": "(\S+\.md)",$', hook, re.MULTILINE))
    pages = {str(page.relative_to(REPOSITORY)) for page in PAGES} - NO_SITE_PAGES

    listed = re.findall(r"^ +- .*: (\S+\.md)$", navigation, re.MULTILINE)
    assert sorted(listed) == sorted(outside.get(page, page.removeprefix("docs/")) for page in pages)
    assert set(outside) <= pages


def test_every_page_is_in_the_table_of_pages() -> None:
    listed = {REPOSITORY / "README.md", REPOSITORY / "docs" / "README.md"}
    for page in (REPOSITORY / "docs" / "README.md", REPOSITORY / "weights" / "README.md"):  # of earlier models
        links = re.findall(r"\]\(([^)#\s]+\.md)\)", page.read_text(encoding="utf-8"))
        listed |= {(page.parent / link).resolve() for link in links}

    assert {page for page in PAGES if str(page.relative_to(REPOSITORY)) not in NO_SITE_PAGES} <= listed


@pytest.mark.slow
def test_the_site_has_no_link_to_a_file_outside(site: Path) -> None:
    links = {link for page in site.glob("*.html") for link in re.findall(r'href="(\.\./[^"]*)"', page.read_text())}

    assert not links


class _Links(HTMLParser):
    """The targets and the anchors of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = {""}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {found.get("id") or "", found.get("name") or ""}
        link = found.get("href" if tag in ("a", "link") else "src")
        if link and "://" not in link and not re.match(r"mailto:|data:|javascript:|//", link):
            self.links.add(link)


@pytest.mark.slow
def test_links_and_anchors_of_the_site_exist_and_every_page_is_reached(site: Path) -> None:
    pages: dict[Path, _Links] = {}
    for path in site.rglob("*.html"):
        pages[path] = _Links()
        pages[path].feed(path.read_text(encoding="utf-8"))
    missing = set()
    reached = {site / "index.html"}
    waiting = [site / "index.html"]
    while waiting:
        page = waiting.pop()
        for link in pages[page].links:
            name, _, anchor = link.partition("#")
            target = (page.parent / unquote(name.partition("?")[0])).resolve() if name else page
            if not target.exists() or (target in pages and unquote(anchor) not in pages[target].anchors):
                missing.add((page.name, link))
            elif target in pages and target not in reached:
                reached.add(target)
                waiting.append(target)

    assert not missing
    assert set(pages) - reached <= {site / "404.html", site / "search.html"}


@pytest.mark.slow
def test_the_search_finds_pages_of_each_part(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}

    assert {"tutorial.html", "api.html", "specification.html", "format.html", "changelog.html"} <= found


def test_the_readme_has_at_most_150_lines() -> None:
    assert len((REPOSITORY / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_tests_that_the_contributing_page_names_exist() -> None:
    page = (REPOSITORY / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")

    named = set(re.findall(r"`(test_\w+\.py)`", page))
    assert named
    assert named <= {path.name for path in (REPOSITORY / "tests").glob("test_*.py")}


def test_the_recipe_has_the_keys_that_the_page_explains() -> None:
    page = (REPOSITORY / "docs" / "training.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", page, re.MULTILINE)
    explained = {name.strip("`") for row in rows for name in row.split(", ")}

    assert "train_encoder" in explained
    assert explained <= {field.name for field in dataclasses.fields(Recipe)}


def test_the_image_of_the_readme_is_small() -> None:
    assert (REPOSITORY / "docs" / "one-file.webp").stat().st_size < 300_000
