"""A file that no codec is needed to make, and that none could decode."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from pillow_rnc.container import writer
from pillow_rnc.container.records import Coding, Header, RncFile, Segment

if TYPE_CHECKING:
    from pathlib import Path


def write_small_file(path: Path) -> Path:
    """Write a grey image with alpha, 5 pixels wide, 7 high, of two iterations; return its path."""
    header = Header(5, 7, "LA", 2, 1, 8, 64, 16, b"anything")
    payload = b"\x50"
    unit = (Segment(Coding.RAW, payload, zlib.crc32(payload)),)
    alpha = b"\0" + zlib.compress(bytes(35))
    path.write_bytes(writer.build(RncFile(header, {"comment": b"c"}, alpha, (unit, unit))))
    return path
