"""`pillow_rnc.progressive`: the image after each iteration, to iterate over or to view in a notebook."""

from __future__ import annotations

import os
from typing import IO, TYPE_CHECKING, Any

from PIL import Image

from pillow_rnc.errors import RncOptionError
from pillow_rnc.plugin.data_uri import lossless_data_uri, within_pixels
from pillow_rnc.plugin.image_file import RncImageFile
from pillow_rnc.plugin.opening import open_image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL._typing import StrOrBytesPath

    from pillow_rnc.container.tile_grid import Region

_SHOWN_PIXELS = 500_000
"""Larger images are scaled down in notebooks, which store each of them."""

_STYLE = """
.NAME img { display: none; max-width: 100%; margin-top: 0.4em; }
.NAME input { position: absolute; opacity: 0; pointer-events: none; }
.NAME label { display: inline-block; min-width: 1.6em; padding: 0.1em 0.3em; text-align: center; cursor: pointer;
  border: 1px solid rgba(128, 128, 128, 0.5); border-radius: 0.3em; }
.NAME input:checked + label { background: #0b62c4; color: #fff; }
.NAME input:focus-visible + label { outline: 2px solid #6cb2ff; }
"""


class Progressive:
    """The images after 1, 2, ... iterations: iterate over them, or let a notebook display them.

    An iteration is read from the file when its image is asked for, so the first images of a slow file appear early.
    Of a truncated file the complete iterations come first, and then the error.
    """

    def __init__(self, source: RncImageFile | StrOrBytesPath | IO[bytes], options: dict[str, Any]) -> None:
        self._source = source
        self._options = options

    def __iter__(self) -> Iterator[Image.Image]:
        """Yield a new image each time, with the metadata of the file.

        Raises:
            RncFileError: The file is damaged, uses a feature or model that is not available, or takes too much work.
            RncOptionError: An option is not allowed.
        """
        if isinstance(self._source, RncImageFile):
            yield from self._source.progressive()
            return
        with open_image(self._source, **self._options) as im:
            yield from im.progressive()

    def _repr_html_(self) -> str:
        """Return HTML with all images, one of which is visible; notebooks call this."""
        name = f"rnc-{os.urandom(6).hex()}"
        images = [
            f'<img src="{lossless_data_uri(within_pixels(im, _SHOWN_PIXELS))}" alt="after {done}">'
            for done, im in enumerate(self, 1)
        ]
        count = len(images)
        buttons = [
            f'<input type="radio" name="{name}" id="{name}-{done}"{" checked" * (done == count)}>'
            f'<label for="{name}-{done}">{done}</label>'
            for done in range(1, count + 1)
        ]
        # Without a script, which many notebook viewers do not run.
        chosen = "".join(
            f".{name} input:nth-of-type({done}):checked ~ img:nth-of-type({done}) {{ display: block; }}\n"
            for done in range(1, count + 1)
        )
        style = _STYLE.replace("NAME", name) + chosen
        return f'<div class="{name}"><style>{style}</style>iterations {"".join(buttons)}{"".join(images)}</div>'


def progressive(
    source: RncImageFile | StrOrBytesPath | IO[bytes],
    *,
    iterations: int | None = None,
    region: Region | None = None,
    device: str | None = None,
    allow_truncated: bool = False,
    max_pixels: int | None = None,
    max_work: int | None = None,
    max_threads: int | None = None,
) -> Progressive:
    """Return the images after 1, 2, ... iterations, each refined from the one before.

    Iterate over them with ``for``; a Jupyter notebook displays them with a button for each.

    Args:
        source: Path or binary file object; or an opened image, which takes no further arguments.
        iterations: Stop after this many; like the other options, as for `open`.
        region: Decode only this part.
        device: What runs the network: "cpu", or a device of torch.
        allow_truncated: End without an error where a truncated file ends.
        max_pixels: Largest image to open, in pixels.
        max_work: Most pixels times iterations to decode.
        max_threads: Threads that compute at a time; 0 chooses as many as are useful.

    Raises:
        RncOptionError: The source is an image of another format, or an opened image combined with options.
    """
    options = {
        "iterations": iterations,
        "region": region,
        "device": device,
        "allow_truncated": allow_truncated,
        "max_pixels": max_pixels,
        "max_work": max_work,
        "max_threads": max_threads,
    }
    if isinstance(source, RncImageFile):
        for name, value in options.items():
            if value not in (None, False):
                raise RncOptionError(f"{name} is given to pillow_rnc.open, not together with an opened image")
    elif isinstance(source, Image.Image):
        raise RncOptionError(f"image of format {source.format} has no iterations, open an .rnc file")
    return Progressive(source, options)
