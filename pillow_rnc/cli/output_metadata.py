"""The metadata of a decoded image in the file of another format: how Pillow is told to write it, and what is left out.

Most formats of Pillow store only what `save` is given, each kind under a keyword of its own.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import PIL
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from pillow_rnc.plugin.format_names import FORMAT
from pillow_rnc.plugin.notices import warn

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS = ("exif", "icc_profile", "xmp", "comment", "dpi")
"""The metadata of an `.rnc` file, by the keys of `Image.info`."""

_PILLOW = int(PIL.__version__.split(".")[0])
_ALL = frozenset(KINDS)
_OF_JPEG = _ALL if _PILLOW >= 11 else _ALL - {"xmp"}  # noqa: PLR2004 -- the first that writes it
KEPT_KINDS = {
    FORMAT: _ALL,
    "AVIF": frozenset({"exif", "icc_profile", "xmp"}),
    "BMP": frozenset({"dpi"}),
    "DIB": frozenset({"dpi"}),
    "GIF": frozenset({"comment"}),
    "JPEG": _OF_JPEG,
    "JPEG2000": frozenset({"comment"}),
    "MPO": _OF_JPEG,
    "PDF": _OF_JPEG,  # in the JPEG file that it holds
    "PNG": _ALL,
    "TIFF": _ALL,
    "WEBP": frozenset({"exif", "icc_profile", "xmp"}),
}
"""What Pillow writes, by its name of the format; of the others, nothing."""

_LONGEST_COMMENT = 65533 if _PILLOW >= 13 else 65511  # noqa: PLR2004 -- before, it shared its buffer with the head
_JPEG_LIMITS = {"exif": 65533, "xmp": 65504, "comment": _LONGEST_COMMENT}
_LIMITS: Mapping[str, Mapping[str, int]] = {"JPEG": _JPEG_LIMITS, "MPO": _JPEG_LIMITS, "PDF": _JPEG_LIMITS}
_LABELS = {"exif": "EXIF", "icc_profile": "ICC profile", "xmp": "XMP", "comment": "comment", "dpi": "resolution"}

_TIFF_XMP, _TIFF_DESCRIPTION = 700, 270


def metadata_params(im: Image.Image, format_name: str) -> dict[str, Any]:
    """Return the keywords of `save` that write the metadata of an image; warn of what the format cannot hold.

    Args:
        im: The image, as it was read from an `.rnc` file.
        format_name: Pillow's name of the format, in upper case.
    """
    carried = {kind: im.info[kind] for kind in KINDS if im.info.get(kind)}
    left_out = [kind for kind in carried if kind not in KEPT_KINDS.get(format_name, ())]
    if left_out:
        warn(f"{format_name} files cannot hold {_listed(left_out)}, left out")
    for kind, limit in _LIMITS.get(format_name, {}).items():
        if kind in carried and kind not in left_out and len(carried[kind]) > limit:
            warn(f"{_LABELS[kind]} of {len(carried[kind])} bytes left out, {format_name} files hold at most {limit}")
            left_out.append(kind)
    params = {kind: value for kind, value in carried.items() if kind not in left_out}
    if format_name == "PNG":
        _move_into_text_chunks(params)
    elif format_name == "TIFF":
        _move_into_tags(params)
    return params


def _move_into_text_chunks(params: dict[str, Any]) -> None:
    """Let a PNG hold XMP and comment in text chunks, where Pillow and other programs look for them."""
    chunks = PngInfo()
    if "xmp" in params:
        chunks.add_itxt("XML:com.adobe.xmp", params.pop("xmp").decode("utf-8", "replace"))
    if "comment" in params:
        chunks.add_text("Comment", params.pop("comment").decode("utf-8", "replace"))
    params["pnginfo"] = chunks


def _move_into_tags(params: dict[str, Any]) -> None:
    """Let a TIFF file hold XMP and comment in tags, beside those of EXIF, where other programs look for them."""
    tags = Image.Exif()
    if "exif" in params:
        try:
            tags.load(params["exif"])
        except (SyntaxError, ValueError, LookupError, struct.error):
            warn("EXIF is damaged, left out")
            tags = Image.Exif()
    if "xmp" in params:
        tags[_TIFF_XMP] = params.pop("xmp")
    if "comment" in params:
        tags.setdefault(_TIFF_DESCRIPTION, params.pop("comment").decode("utf-8", "replace"))
    params["exif"] = tags


def _listed(kinds: list[str]) -> str:
    return " and ".join(_LABELS[kind] for kind in kinds)
