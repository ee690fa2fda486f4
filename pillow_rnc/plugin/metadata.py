"""Conversion between the metadata of a file, and `Image.info` with the keywords of ``save``.

Each kind is copied from the image by default, and left out if its keyword is empty or None.
What the caller passes is stored as it is, or is an error. What an image carries along is left out with an `RncWarning`
if a file cannot hold it, or if it describes another image than the one that is stored.
docs/metadata.md has the table.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, cast

from PIL import Image, ImageFile

from pillow_rnc.container.records import (
    MAX_METADATA_BYTES,
    MAX_METADATA_TOTAL_BYTES,
    METADATA_TYPES,
    pack_dpi,
    unpack_dpi,
)
from pillow_rnc.errors import RncOptionError
from pillow_rnc.plugin import exif as exif_bytes
from pillow_rnc.plugin.defaults import current_defaults
from pillow_rnc.plugin.exif import EXIF_PREFIX
from pillow_rnc.plugin.frames import UNREADABLE, frame_count
from pillow_rnc.plugin.modes import icc_colour_space, keeps_colour_space
from pillow_rnc.plugin.notices import warn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_RAW_PROFILES = {"icc_profile": ("icc", "icm"), "exif": ("exif", "APP1"), "xmp": ("xmp",)}
"""Types of profiles that ImageMagick writes into text chunks of PNG, in hexadecimal."""
_COMMENT_KEY = "Comment"
"""Keyword of PNG for what other formats call the comment."""
_TEXT_CHUNKS_KEPT = frozenset(
    {
        _COMMENT_KEY,
        "XML:com.adobe.xmp",
        *(f"Raw profile type {kind}" for kinds in _RAW_PROFILES.values() for kind in kinds),
    }
)
_SRGB = {"gamma": 0.45455, "chromaticity": (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)}
"""What describes sRGB in the chunks gAMA and cHRM of PNG, in Pillow's terms.  Source: PNG, section 11.3.2.5."""
_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation\s*(?:=\s*["']|>)\s*)[2-8]""")
_CARRIED_ORDER = ("dpi", "icc_profile", "exif", "xmp", "comment")
"""What is stored first where not everything fits."""


def metadata_for_save(im: Image.Image, params: Mapping[str, Any], mode: str) -> dict[str, bytes]:
    """Return the metadata to store, by the keys of `RncFile.metadata`.

    Args:
        im: The image, which is not changed.
        params: The keywords of ``save``; a keyword that is present overrides the image.
        mode: Mode in which the image is stored.

    Raises:
        RncOptionError: A keyword has the wrong type or is too long.
    """
    passed = {key: to_bytes(key, params[key]) for key, to_bytes in _TO_BYTES.items() if key in params}
    for key, value in passed.items():
        if len(value) > MAX_METADATA_BYTES:
            msg = f"{key} of {len(value)} bytes is not allowed, at most {MAX_METADATA_BYTES}; {key}=None omits it"
            raise RncOptionError(msg)
    metadata = {key: value for key, value in passed.items() if value}
    total = sum(map(len, metadata.values()))
    if total > MAX_METADATA_TOTAL_BYTES:
        msg = f"{' and '.join(metadata)} of {total} bytes in all, at most {MAX_METADATA_TOTAL_BYTES}"
        raise RncOptionError(msg)
    for key in _CARRIED_ORDER:
        # An image would look different without its profile.
        if key in passed or not (key == "icc_profile" or current_defaults().keep_metadata):
            continue
        value = _carried_bytes(im, key, mode)
        limit = min(MAX_METADATA_BYTES, MAX_METADATA_TOTAL_BYTES - sum(map(len, metadata.values())))
        if len(value) > limit:
            warn(f"{key} of the image is left out: it has {len(value)} bytes, the file has room for {limit}")
        elif value:
            metadata[key] = value
    if current_defaults().keep_metadata:
        _warn_of_other_contents(im, params)
        if "icc_profile" not in {*metadata, *params}:
            _warn_of_colour_space(im)
    return {key: metadata[key] for key in METADATA_TYPES if key in metadata}


def info_from_metadata(metadata: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the entries of `Image.info` for the metadata of a file."""
    info: dict[str, Any] = dict(metadata)
    if "exif" in info:
        # With the prefix, as in JPEG, so that programs can pass it on to any format.
        info["exif"] = EXIF_PREFIX + info["exif"].removeprefix(EXIF_PREFIX)
    if "dpi" in info:
        info["dpi"] = unpack_dpi(info["dpi"])
    return info


def _carried_bytes(im: Image.Image, key: str, mode: str) -> bytes:
    """Return the image's own metadata of a kind as far as it describes what is stored, and warn of what is left out."""
    value = im.info.get(key)
    if not value and key in _RAW_PROFILES:
        value = _raw_profile(im, key)
    if not value and key == "comment" and isinstance(im.info.get(_COMMENT_KEY), str):
        value = im.info[_COMMENT_KEY]
    try:
        data = _TO_BYTES[key](key, value)
    except RncOptionError as error:
        if key != "dpi" or not _is_unknown_dpi(value):
            warn(f"{key} of the image is left out: {error}")
        data = b""
    if key == "exif":
        return _described_exif(im, data)
    if key == "xmp" and not _is_as_opened(im) and _XMP_ORIENTATION.search(data):
        warn(f"xmp: the orientation is left out, {_MAY_BE_ROTATED}")
        return _XMP_ORIENTATION.sub(rb"\g<1>1", data)
    if key == "icc_profile" and data and not (keeps_colour_space(im) and icc_colour_space(data) in (None, mode[0])):
        warn(f"icc_profile of the image is left out: it does not describe the stored colours, which are {mode}")
        return b""
    return data


_MAY_BE_ROTATED = (
    "the image is not the one that was opened and may have been rotated since; "
    "use ImageOps.exif_transpose, or pass exif and xmp to save"
)


def _described_exif(im: Image.Image, stored: bytes) -> bytes:
    """Return the EXIF of an image without what describes the image that it was made from."""
    data = exif_bytes.edited_exif(im, stored)
    turned = exif_bytes.orientation(data)
    # An orientation that the program has set itself is kept.
    if turned not in (None, 1) and not _is_as_opened(im) and turned == exif_bytes.orientation(stored):
        warn(f"exif: orientation {turned} is left out, {_MAY_BE_ROTATED}")
        data = exif_bytes.without_orientation(data)
    if exif_bytes.has_thumbnail(data):
        size = exif_bytes.dimensions(data)
        same = _is_as_opened(im) and not _is_reduced(im) if size is None else sorted(size) == sorted(im.size)
        if not same:
            warn("exif: the thumbnail is left out, the image may have been cropped or scaled since")
            data = exif_bytes.without_thumbnail(data)
    return data


def _is_as_opened(im: Image.Image) -> bool:
    """Whether an image came from a file and not from an operation on another image, which may have rotated it."""
    return isinstance(im, ImageFile.ImageFile)


def _is_reduced(im: Image.Image) -> bool:
    """Whether an opened image is known to differ in size from its file."""
    head = getattr(im, "_head", None)  # of RncImageFile, where a region may have been opened
    return head is not None and (head.header.width, head.header.height) != im.size


def _raw_profile(im: Image.Image, key: str) -> bytes | None:
    """Return metadata from a text chunk as ImageMagick writes it: name, length, and the bytes in hexadecimal."""
    for kind in _RAW_PROFILES[key]:
        text = im.info.get(f"Raw profile type {kind}")
        if not isinstance(text, str):
            continue
        try:
            data = bytes.fromhex("".join(text.split("\n")[3:]))
        except ValueError as error:
            warn(f"{key} of the image is left out: text chunk 'Raw profile type {kind}' is damaged: {error}")
            continue
        if kind == "APP1" and not data.startswith(EXIF_PREFIX):
            continue
        return data
    return None


def _warn_of_other_contents(im: Image.Image, params: Mapping[str, Any]) -> None:
    """Warn of what the image has and no file of this format can hold."""
    text = getattr(im, "text", None)
    others = sorted(set(text) - _TEXT_CHUNKS_KEPT) if isinstance(text, dict) else []
    if others:
        warn(f"text of the image is left out: {', '.join(others)}")
    if im.info.get("photoshop"):
        warn("Photoshop data of the image, including IPTC, is left out")
    if params.get("save_all"):  # which ensures that there are no others
        return
    try:
        frames = frame_count(im)
    except UNREADABLE:  # which does not affect the one that is stored
        return
    if frames > 1:
        warn(f"frames of the image are left out: {frames - 1} of {frames}, RNC holds one")


def _warn_of_colour_space(im: Image.Image) -> None:
    """Warn if PNG's chunks describe other colours than those of sRGB, and no ICC profile takes precedence."""
    if im.info.get("icc_profile") or "srgb" in im.info:
        return
    others = [name for name, value in _SRGB.items() if im.info.get(name, value) != value]
    if others:
        verb = "is" if len(others) == 1 else "are"
        warn(f"{' and '.join(others)} of the image {verb} left out: RNC describes colours by ICC profiles only")


def _is_unknown_dpi(value: object) -> bool:
    """Whether a resolution states that it is not known, as zero does in BMP and TIFF."""
    if not isinstance(value, (tuple, list)):
        return False
    return any(isinstance(side, (int, float)) and not (math.isfinite(side) and side > 0) for side in value)


def _exif_bytes(key: str, value: object) -> bytes:
    data = exif_bytes.serialized(value) if isinstance(value, Image.Exif) else _bytes(key, value)
    return exif_bytes.without_prefix(data)


def _text_bytes(key: str, value: object) -> bytes:
    try:
        return _bytes(key, value.encode() if isinstance(value, str) else value)
    except UnicodeEncodeError as error:
        msg = f"{key} is not text that UTF-8 can encode: {error.reason} at position {error.start}"
        raise RncOptionError(msg) from error


def _xmp_bytes(key: str, value: object) -> bytes:
    return _text_bytes(key, value).rstrip(b"\0")


def _dpi_bytes(key: str, value: object) -> bytes:
    if not value:
        return b""
    try:
        x, y = cast("tuple[float, float]", value)
        return pack_dpi((float(x), float(y)))
    except (TypeError, ValueError, OverflowError) as error:
        msg = f"{key} {value!r} is not allowed, give two numbers from 1/65536 to 65535"
        raise RncOptionError(msg) from error


def _bytes(key: str, value: object) -> bytes:
    if value is None:
        return b""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    msg = f"{key} of type {type(value).__name__} is not allowed, give bytes"
    raise RncOptionError(msg)


_TO_BYTES: dict[str, Callable[[str, object], bytes]] = {
    "icc_profile": _bytes,
    "exif": _exif_bytes,
    "xmp": _xmp_bytes,
    "comment": _text_bytes,
    "dpi": _dpi_bytes,
}
