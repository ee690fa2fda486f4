"""Conversion between the metadata of a file, and `Image.info` with the keywords of ``save``.

Each kind is copied from the image by default, and left out if its keyword is empty or None.
Contents are opaque: only Pillow parses them, and only on request, so damaged EXIF never prevents decoding.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, cast

from PIL import Image

from pillow_rnc.container.records import MAX_METADATA_BYTES, MAX_METADATA_TOTAL_BYTES, pack_dpi, unpack_dpi
from pillow_rnc.errors import RncOptionError
from pillow_rnc.plugin.defaults import current_defaults

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_EXIF_PREFIX = b"Exif\0\0"

_LAYOUT_TAGS = frozenset(
    {*range(254, 260), 262, 266, 273, *range(277, 281), 284, 292, 293, 301, 317, *range(320, 326), 330, 332}
    | {*range(336, 344), 347, *range(512, 522), *range(529, 533), 700, 34675}
)
"""Tags of TIFF 6.0 that describe how that file stores its samples; XMP and ICC profile, which are stored apart."""
_NESTED_TAGS = frozenset({0x8769, 0x8825})
"""Pointers to the EXIF and GPS directories."""


def metadata_for_save(im: Image.Image, params: Mapping[str, Any], *, keep_icc: bool = True) -> dict[str, bytes]:
    """Return the metadata to store, by the keys of `RncFile.metadata`.

    Args:
        im: The image, which is not changed.
        params: The keywords of ``save``; a keyword that is present overrides the image.
        keep_icc: Whether the colour profile of the image describes the stored colours.

    Raises:
        RncOptionError: A value has the wrong type or is too long.
    """
    carried = {**im.info, "exif": _current_exif(im)}
    if not current_defaults().keep_metadata:
        # The image would look different without its profile.
        carried = {"icc_profile": carried.get("icc_profile")}
    if not keep_icc:
        carried.pop("icc_profile", None)
    metadata = {}
    for key, to_bytes in _TO_BYTES.items():
        value = to_bytes(key, params[key]) if key in params else _carried_bytes(key, carried.get(key))
        if len(value) > MAX_METADATA_BYTES:
            msg = f"{key} of {len(value)} bytes is not allowed, at most {MAX_METADATA_BYTES}; {key}=None omits it"
            raise RncOptionError(msg)
        if value:
            metadata[key] = value
    total = sum(map(len, metadata.values()))
    if total > MAX_METADATA_TOTAL_BYTES:
        msg = f"{' and '.join(metadata)} of {total} bytes in all, at most {MAX_METADATA_TOTAL_BYTES}"
        raise RncOptionError(msg)
    return metadata


def info_from_metadata(metadata: Mapping[str, bytes]) -> dict[str, Any]:
    """Return the entries of `Image.info` for the metadata of a file."""
    info: dict[str, Any] = dict(metadata)
    if "exif" in info:
        # With the prefix, as in JPEG, so that programs can pass it on to any format.
        info["exif"] = _EXIF_PREFIX + info["exif"].removeprefix(_EXIF_PREFIX)
    if "dpi" in info:
        info["dpi"] = unpack_dpi(info["dpi"])
    return info


def _current_exif(im: Image.Image) -> bytes | Image.Exif | None:
    """Return the EXIF of an image with the changes that were made through `getexif`."""
    stored = im.info.get("exif")
    edited = im._exif  # noqa: SLF001 -- getexif() would parse it
    if edited is None:
        return stored
    source = edited._loaded_exif  # noqa: SLF001
    if source is not None and source != stored and "Raw profile type exif" not in im.info:
        return stored  # replaced or removed since
    original = Image.Exif()
    try:
        if hasattr(im, "tag_v2"):
            edited = _without_layout(edited)
        if stored:
            original.load(stored)
        # The original bytes are kept where possible: they contain maker notes, which Pillow cannot write.
        changed = original.tobytes() != edited.tobytes()
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, struct.error):
        return stored
    return edited if changed else stored


def _without_layout(tags: Image.Exif) -> Image.Exif:
    """Return the tags of a TIFF file except those that describe its samples or are stored elsewhere."""
    kept = Image.Exif()
    for tag in tags:
        if tag not in _LAYOUT_TAGS:
            kept[tag] = tags.get_ifd(tag) if tag in _NESTED_TAGS else tags[tag]
    return kept


def _carried_bytes(key: str, value: object) -> bytes:
    """Return the image's own metadata of a kind, or nothing if another plugin left a value of the wrong type."""
    try:
        return _TO_BYTES[key](key, value)
    except RncOptionError:
        return b""


def _exif_bytes(key: str, value: object) -> bytes:
    if isinstance(value, Image.Exif):
        value = value.tobytes() if value else None
    return _bytes(key, value).removeprefix(_EXIF_PREFIX)


def _text_bytes(key: str, value: object) -> bytes:
    return _bytes(key, value.encode() if isinstance(value, str) else value)


def _xmp_bytes(key: str, value: object) -> bytes:
    return _text_bytes(key, value).rstrip(b"\0")


def _dpi_bytes(key: str, value: object) -> bytes:
    if not value:
        return b""
    try:
        x, y = cast("tuple[float, float]", value)
        return pack_dpi((float(x), float(y)))
    except (TypeError, ValueError) as error:
        msg = f"{key} {value!r} is not allowed, give two positive numbers"
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
