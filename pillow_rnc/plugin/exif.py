"""EXIF that an image carries: what is stored of it, and what no longer describes the image.

The bytes of the source are kept where possible, because they contain maker notes, whose offsets Pillow does not adjust.
Single entries are therefore removed in place, without moving any other. Damaged EXIF is left as it is.
Source: EXIF 2.32, sections 4.5 and 4.6; TIFF 6.0, section 2.
"""

from __future__ import annotations

import copy
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image

from pillow_rnc.plugin.notices import warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

EXIF_PREFIX = b"Exif\0\0"

_ORIENTATION = 0x0112
_EXIF_IFD = 0x8769
_GPS_IFD = 0x8825
_SUB_IFDS = frozenset({_EXIF_IFD, _GPS_IFD})
"""Pointers to directories that Pillow reads and writes."""
_DIMENSIONS = (0xA002, 0xA003)
"""Width and height of the main image in pixels, in the EXIF directory."""
_THUMBNAIL_DATA = ((0x0201, 0x0202), (0x0111, 0x0117))
"""Offset and length of the thumbnail as JPEG, and of one without compression."""
_LAYOUT_TAGS = frozenset(
    {*range(254, 260), 262, 266, 273, *range(277, 281), 284, 292, 293, 301, 317, *range(320, 326), 330, 332}
    | {*range(336, 344), 347, *range(512, 522), *range(529, 533), 700, 34675}
)
"""Tags of TIFF 6.0 that describe how that file stores its samples; XMP and ICC profile, which are stored apart."""

_PARSE_ERRORS = (SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError, OSError, struct.error)
"""What Pillow raises for damaged EXIF, or for tags that it cannot write."""


@dataclass(frozen=True, slots=True)
class _Directory:
    """An image file directory: its position, its entries (position, number) by tag, and the offset of the next one."""

    start: int
    entries: Mapping[int, tuple[int, int | None]]
    count: int
    next_offset: int


def serialized(exif: Image.Exif) -> bytes:
    """Return the bytes of an `Exif`, which are empty if neither it nor a directory within it has a tag."""
    pruned = copy.copy(exif)
    # Reading a directory that does not exist leaves an empty one behind. One that exists may have been emptied.
    pruned._ifds = {tag: ifd for tag, ifd in exif._ifds.items() if ifd or tag in exif}  # noqa: SLF001
    if len(pruned) or _SUB_IFDS & pruned._ifds.keys():  # noqa: SLF001
        return pruned.tobytes().removeprefix(EXIF_PREFIX)
    return b""


def edited_exif(im: Image.Image, stored: bytes) -> bytes:
    """Return the EXIF of an image with the changes that were made through `getexif`.

    Args:
        im: The image, which is not changed.
        stored: EXIF that it was opened with, without prefix; empty if there was none.
    """
    edited = im._exif  # noqa: SLF001 -- getexif() would parse it
    if edited is None or not edited._loaded:  # noqa: SLF001
        return stored
    source = edited._loaded_exif  # noqa: SLF001
    if source is not None and without_prefix(source) != stored:
        return stored  # replaced or removed since
    try:
        # As `getexif` starts, which adds an orientation that only XMP has.
        probe = Image.Image()
        probe.info = {key: im.info[key] for key in ("XML:com.adobe.xmp", "xmp") if key in im.info}
        if source is not None:  # Pillow does not see all EXIF in text chunks
            probe.info["exif"] = EXIF_PREFIX + stored
        original = probe.getexif()
        if hasattr(im, "tag_v2"):
            edited = _without_layout(edited)
        changed = serialized(edited)
        if changed == serialized(original):
            return stored
    except _PARSE_ERRORS as error:
        if stored and _first_directory(stored) is None:
            return stored  # what cannot be parsed was not edited
        warn(f"exif: changes made through getexif() are left out, Pillow cannot write them: {error}")
        return stored
    if has_thumbnail(stored):
        warn("exif: the thumbnail is left out, Pillow does not write it after changes made through getexif()")
    return changed


def orientation(exif: bytes) -> int | None:
    """Return the orientation, or None if EXIF has none."""
    directory = _first_directory(exif)
    return directory.entries.get(_ORIENTATION, (0, None))[1] if directory else None


def without_orientation(exif: bytes) -> bytes:
    """Return EXIF without its orientation; empty if nothing else is in it."""
    directory = _first_directory(exif)
    if directory is None or _ORIENTATION not in directory.entries:
        return exif
    if directory.count == 1 and not directory.next_offset:
        return b""
    at = directory.entries[_ORIENTATION][0]
    end = directory.start + 2 + 12 * directory.count + 4
    count = struct.pack(_order(exif) + "H", directory.count - 1)
    before = exif[: directory.start] + count + exif[directory.start + 2 : at]
    return before + exif[at + 12 : end] + bytes(12) + exif[end:]


def dimensions(exif: bytes) -> tuple[int, int] | None:
    """Return width and height of the image that EXIF was written for, or None if it does not state them."""
    directory = _first_directory(exif)
    offset = directory.entries.get(_EXIF_IFD, (0, None))[1] if directory else None
    nested = _directory(exif, offset) if offset else None
    if nested is None:
        return None
    width, height = (nested.entries.get(tag, (0, None))[1] for tag in _DIMENSIONS)
    return (width, height) if width and height else None


def has_thumbnail(exif: bytes) -> bool:
    """Return whether EXIF has a second directory, which describes a thumbnail."""
    directory = _first_directory(exif)
    return directory is not None and directory.next_offset != 0


def without_thumbnail(exif: bytes) -> bytes:
    """Return EXIF without thumbnail; its bytes are overwritten, and removed if they are the last ones."""
    first = _first_directory(exif)
    if first is None or not first.next_offset:
        return exif
    data = bytearray(exif)
    pointer = first.start + 2 + 12 * first.count
    data[pointer : pointer + 4] = bytes(4)
    protected = pointer + 4
    spans = []
    second = _directory(exif, first.next_offset)
    if second is not None:
        spans.append((second.start, second.start + 2 + 12 * second.count + 4))
        for offset_tag, length_tag in _THUMBNAIL_DATA:
            offset, length = (second.entries.get(tag, (0, None))[1] for tag in (offset_tag, length_tag))
            if offset and length:
                spans.append((offset, offset + length))
    for start, end in sorted(spans, reverse=True):
        if start < protected:
            continue  # damaged: it would overlap what is kept
        if end >= len(data):
            del data[start:]
        else:
            data[start:end] = bytes(end - start)
    return bytes(data)


def without_prefix(exif: bytes) -> bytes:
    """Return EXIF without the prefix that it has in JPEG files, however often it is there."""
    while exif.startswith(EXIF_PREFIX):
        exif = exif.removeprefix(EXIF_PREFIX)
    return exif


def _without_layout(tags: Image.Exif) -> Image.Exif:
    """Return the tags of a TIFF file except those that describe its samples or are stored elsewhere."""
    kept = Image.Exif()
    for tag in tags:
        if tag not in _LAYOUT_TAGS | _SUB_IFDS:
            kept[tag] = tags[tag]
    for tag in sorted(_SUB_IFDS):
        nested = tags.get_ifd(tag)
        if nested:
            kept[tag] = dict(nested)
    return kept


def _order(exif: bytes) -> str:
    return "<" if exif.startswith(b"II") else ">"


def _first_directory(exif: bytes) -> _Directory | None:
    """Return the main directory, or None if there is none that can be read."""
    if exif[:4] not in (b"II*\0", b"MM\0*") or len(exif) < 8:  # noqa: PLR2004 -- the length of a TIFF header
        return None
    (offset,) = struct.unpack_from(_order(exif) + "I", exif, 4)
    return _directory(exif, offset)


def _directory(exif: bytes, offset: int) -> _Directory | None:
    try:
        (count,) = struct.unpack_from(_order(exif) + "H", exif, offset)
        entries = dict(_entries(exif, offset + 2, count))
        (next_offset,) = struct.unpack_from(_order(exif) + "I", exif, offset + 2 + 12 * count)
    except struct.error:
        return None
    return _Directory(offset, entries, count, next_offset if next_offset < len(exif) else 0)


def _entries(exif: bytes, start: int, count: int) -> Iterator[tuple[int, tuple[int, int | None]]]:
    """Yield tag, position and, of a single SHORT or LONG, the number of each entry."""
    order = _order(exif)
    for at in range(start, start + 12 * count, 12):
        tag, kind, values = struct.unpack_from(order + "HHI", exif, at)
        number = None
        if values == 1 and kind in (3, 4):  # SHORT, LONG
            (number,) = struct.unpack_from(order + ("H" if kind == 3 else "I"), exif, at + 8)  # noqa: PLR2004
        yield tag, (at, number)
