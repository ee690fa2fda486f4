"""How many images a file holds, counted without a change to the image that was opened from it.

Pillow counts the frames of GIF and TIFF by visiting each, and then loads the current one anew: edits would be lost.
"""

from __future__ import annotations

import inspect
import struct
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from typing import IO

UNREADABLE = (OSError, EOFError, SyntaxError, ValueError, TypeError, LookupError, struct.error)
"""What Pillow's plugins raise if frames behind the first one are damaged, or the file was closed."""


def frame_count(im: Image.Image) -> int:
    """Return how many images a file holds; the layers of a PSD file are one image, its first.

    Raises:
        UNREADABLE: They cannot be counted.
    """
    if im.format == "PSD":
        return 1
    count = inspect.getattr_static(im, "n_frames", 1)
    if not isinstance(count, int):  # but computed when it is asked for
        count = getattr(im, "_n_frames", None)
    return count if isinstance(count, int) else _counted(im)


def _counted(im: Image.Image) -> int:
    """Count the frames in a second image of the same file, whose position is restored."""
    fp: IO[bytes] | None = getattr(im, "_fp", None) or getattr(im, "fp", None)
    if fp is None or im.format not in Image.OPEN:
        return int(im.n_frames)  # type: ignore[attr-defined]  # nothing could be loaded anew
    position = fp.tell()
    try:
        fp.seek(0)
        return int(Image.OPEN[im.format][0](fp, "").n_frames)  # type: ignore[attr-defined]
    finally:
        fp.seek(position)
