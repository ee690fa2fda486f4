"""mkdocs hook: pages outside ``docs/`` join the site, and links between repository files become links of the site.

The pages keep their place in the repository, where GitHub, the sdist and their neighbours expect them, and their links
stay relative to that place. A link to a file that is no page leads to the repository if ``repo_url`` is set, and is
plain text otherwise.
"""

# ruff: noqa: INP001 -- mkdocs loads this module by its path

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

PAGES = {
    "README.md": "readme.md",
    "CHANGELOG.md": "changelog.md",
    ".github/CONTRIBUTING.md": "contributing.md",
    ".github/SECURITY.md": "security.md",
    "fuzz/README.md": "fuzzing.md",
    "kernel/README.md": "kernel.md",
    "web/README.md": "web.md",
    "spec/rnc-format.md": "specification.md",
    "spec/errata.md": "errata.md",
    "spec/vectors/README.md": "vectors.md",
    "weights/README.md": "models.md",
    "weights/embedded-20261123-509919255b67.md": "model-card.md",
    "weights/recurrent-20261130b-d9a417a270d0.md": "model-card-recurrent-20261130b.md",
    "weights/recurrent-20261130-3759d93d6de1.md": "model-card-recurrent.md",
    "weights/embedded-20261130-d26a809660f7.md": "model-card-20261130.md",
    "weights/embedded-20261130b-dab3dea1f735.md": "model-card-20261130b.md",
}
"""Pages outside ``docs/`` by their path in the repository, and where they stand in the site."""

_CODE_OR_LINK = re.compile(
    r"^```.*?^```"  # a block of code
    r"|^ {4}.*?$"  # an indented line of code, or of a list
    r"|(?P<image>!?)\[(?P<text>(?:`[^`\n]*`|[^\]`])*)\]\((?P<link>[^)\s]+)\)"
    r"|`[^`\n]*`"
    r"|(?P<indices>\]\[)",  # of a formula such as step[u][v], which Markdown takes for a reference
    re.MULTILINE | re.DOTALL,
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    repository = Path(config.config_file_path).parent
    for source, place in PAGES.items():
        files.append(File.generated(config, place, content=(repository / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Rewrite the links of a page."""
    del files
    place = page.file.src_uri
    source = next((path for path, target in PAGES.items() if target == place), f"docs/{place}")
    repository = Path(config.config_file_path).parent

    def site_link(match: re.Match[str]) -> str:
        image, text, link = match["image"], match["text"], match["link"]
        if match["indices"]:
            return "]\\["
        if link is None or re.match(r"\w+:|#", link):
            return match.group()
        path, _, anchor = link.partition("#")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        suffix = f"#{anchor}" if anchor else ""
        if target in PAGES or target.startswith("docs/"):
            return f"{image}[{text}]({PAGES.get(target, target.removeprefix('docs/'))}{suffix})"
        if not (repository / target).exists():
            msg = f"{source}: link to {link}, which does not exist"
            raise PluginError(msg)
        return f"[{text}]({config.repo_url.rstrip('/')}/blob/HEAD/{target})" if config.repo_url else text

    return _CODE_OR_LINK.sub(site_link, markdown)
