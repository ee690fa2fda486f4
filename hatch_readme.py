"""Make the page of the package on PyPI of README.md, whose relative links have no target there: a hook of hatchling."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_RELATIVE = re.compile(r"(!?)\[([^\]]*)\]\((?!\w+:|#)([^)\s]+)\)")


class ReadmeHook(MetadataHookInterface):
    """Points the links of the page to the tag of the version."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Set the page; the version is known by then."""
        repository = metadata["urls"]["Homepage"]
        tag = f"v{metadata['version']}"
        bases = {"": f"{repository}/blob/{tag}/", "!": f"{repository}/raw/{tag}/"}
        text = Path(self.root, "README.md").read_text(encoding="utf-8")
        text = _RELATIVE.sub(lambda link: f"{link[1]}[{link[2]}]({bases[link[1]]}{link[3]})", text)
        metadata["readme"] = {"content-type": "text/markdown", "text": text}
