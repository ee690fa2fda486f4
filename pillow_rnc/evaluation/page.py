"""A page that shows images at every rate, without network: its frame, its records, and the decoder with weights.

`page.js` reads the records of images. A codec has its files in them as data URIs, or as one `.rnc` file, of which the
page decodes the first bytes.
"""

from __future__ import annotations

import base64
import json
from importlib import resources
from typing import IO, TYPE_CHECKING, Any

from pillow_rnc.errors import RncOptionError
from pillow_rnc.evaluation.browser_decoder import decoder_elements
from pillow_rnc.models import weights

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_PAGE_BYTES = 256 * 1024 * 1024
OURS = "rnc"

_FILES = resources.files("pillow_rnc.evaluation")

Record = dict[str, Any]


class PageWriter:
    """Writes a page: its frame, then each `picture`, then `finish`; one image is in memory at a time.

    Args:
        out: Binary stream.
        title: Title of the page.
        max_bytes: The longest that the page may become.
    """

    def __init__(self, out: IO[bytes], title: str, max_bytes: int = MAX_PAGE_BYTES) -> None:
        self._out = out
        self._title = title
        self._max_bytes = max_bytes
        self._written = 0
        self._models: dict[str, weights.Release] = {}
        text = _read("page.html").replace("/* title */", title).replace("/* page.css */", _read("page.css"))
        before, self._after = text.split("<!-- pictures -->\n")
        self._write(before.encode(), "its frame")

    def picture(self, record: Record) -> None:
        """Write the record of an image, ready for JSON, whose first entry is its name; note the models of its files.

        Raises:
            RncOptionError: The page would become too long.
        """
        for source in record["sources"].values():
            self._models[source["model"]] = weights.find(bytes.fromhex(source["model"]))
        # Without this, the name of a file could end the element.
        text = json.dumps(record, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
        self._write(f'<script type="application/json" class="picture">{text}</script>\n'.encode(), record["name"])

    def finish(self, about: Record) -> int:
        """Write the decoder, if there are files for it, what the page says of itself, and its script.

        Returns:
            The length of the page in bytes.

        Raises:
            RncError: The decoder for browsers is not installed.
            RncOptionError: The page would become too long.
        """
        for element in decoder_elements(self._models.values()):
            self._write(element, "the decoder")
        text = self._after.replace("{}", json.dumps({"title": self._title, **about}).replace("<", "\\u003c"), 1)
        for name in ("page_prefixes.js", "page.js"):
            text = text.replace(f"/* {name} */", _read(name), 1)
        self._write(text.encode(), "its script")
        return self._written

    def _write(self, data: bytes, what: str) -> None:
        self._written += len(data)
        if self._written > self._max_bytes:
            raise RncOptionError(
                f"page has {self._written} bytes with {what}, at most {self._max_bytes} are allowed: "
                "give fewer images, fewer iterations or fewer pixels"
            )
        self._out.write(data)


def source_record(file: bytes, model_id: bytes) -> Record:
    """Return the entry of a record for an `.rnc` file that the page decodes."""
    return {"model": model_id.hex(), "data": base64.b64encode(file).decode("ascii")}


def prefix_points(sizes: Iterable[tuple[int, int]], pixels: int) -> list[Record]:
    """Return a point for each prefix, (iterations, bytes), of a file with so many pixels: its rate, no distortion."""
    return [{"setting": count, "file_bytes": length, "bpp": 8 * length / pixels} for count, length in sizes]


def _read(name: str) -> str:
    return (_FILES / name).read_text(encoding="utf-8")
