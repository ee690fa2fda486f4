"""Files of other formats with every kind of metadata that Pillow can write into them, and what an image has of each."""

from __future__ import annotations

import io
import struct
import warnings
from typing import Any

from PIL import ExifTags, Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from pillow_version import PILLOW

SIZE = 40, 20
MAKER_NOTE = b"Maker\0\x01\x02\x03"
THUMBNAIL = b"\xff\xd8thumbnail\xff\xd9"
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><a/></x:xmpmeta>"
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
COMMENT = "a comment"
DPI = 300, 300
AVIF = ("AVIF",) if PILLOW >= (11, 3) else ()
TARGETS = ("JPEG", "PNG", "WEBP", "TIFF", *AVIF, "GIF")
SOURCES = (*TARGETS, "RNC")
ITEMS = (
    "EXIF tags",
    "EXIF sub-IFD",
    "GPS",
    "MakerNote",
    "EXIF thumbnail",
    "orientation",
    "XMP",
    "ICC profile",
    "comment",
    "resolution",
    "text chunks",
)


def full_exif(*, thumbnail: bool = True) -> bytes:
    """Return EXIF with tags in every directory, and an orientation."""
    exif = Image.Exif()
    exif.endian = "<"
    exif[ExifTags.Base.Make] = "Maker"
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.IFD.Exif] = {  # the one that get_ifd() of an empty Exif returns is kept from Pillow 11.1 on
        ExifTags.Base.DateTimeOriginal: "2026:01:01 00:00:00",
        ExifTags.Base.MakerNote: MAKER_NOTE,
        ExifTags.Base.ExifImageWidth: SIZE[0],
        ExifTags.Base.ExifImageHeight: SIZE[1],
    }
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N"}
    data = bytearray(exif.tobytes()[6:])
    if thumbnail:
        (count,) = struct.unpack_from("<H", data, 8)
        struct.pack_into("<I", data, 10 + 12 * count, len(data))
        at = len(data) + 2 + 24 + 4
        data += struct.pack("<HHHIIHHIII", 2, 0x201, 4, 1, at, 0x202, 4, 1, len(THUMBNAIL), 0) + THUMBNAIL
    return b"Exif\0\0" + bytes(data)


def source_file(name: str) -> bytes:
    """Return a file of a format with all metadata that Pillow writes into it."""
    fp = io.BytesIO()
    params: dict[str, Any] = {"exif": full_exif(), "xmp": XMP, "icc_profile": ICC, "comment": COMMENT, "dpi": DPI}
    if name == "PNG":
        text = PngInfo()
        text.add_text("Author", "somebody")
        text.add_text("Comment", COMMENT)
        text.add_itxt("XML:com.adobe.xmp", XMP.decode())
        params["pnginfo"] = text
    if name == "TIFF":
        exif = Image.Exif()
        exif.load(full_exif(thumbnail=False))
        exif[ExifTags.Base.XMLPacket] = XMP
        params["exif"] = exif
    Image.radial_gradient("L").resize(SIZE).convert("RGB").save(fp, name, **params)
    return fp.getvalue()


def contents(im: Image.Image) -> dict[str, Any]:
    """Return what an image has, by the names of `ITEMS`."""
    im.load()
    exif = im.getexif()
    nested = exif.get_ifd(ExifTags.IFD.Exif)
    xmp = im.info.get("xmp")
    dpi = im.info.get("dpi")
    comment = im.info.get("comment", im.info.get("Comment"))
    found = {
        "EXIF tags": exif.get(ExifTags.Base.Make),
        "EXIF sub-IFD": nested.get(ExifTags.Base.DateTimeOriginal),
        "GPS": exif.get_ifd(ExifTags.IFD.GPSInfo).get(ExifTags.GPS.GPSLatitudeRef),
        "MakerNote": nested.get(ExifTags.Base.MakerNote),
        "EXIF thumbnail": THUMBNAIL in im.info.get("exif", b"") or None,
        "orientation": "applied" if im.size == SIZE[::-1] else exif.get(ExifTags.Base.Orientation),
        "XMP": xmp.encode() if isinstance(xmp, str) else xmp,
        "ICC profile": im.info.get("icc_profile"),
        "comment": comment.encode() if isinstance(comment, str) else comment,
        "resolution": tuple(round(float(side)) for side in dpi) if dpi else None,
        "text chunks": im.info.get("Author"),
    }
    return {name: value for name, value in found.items() if value}


def keywords(im: Image.Image) -> dict[str, Any]:
    """Return the keywords of ``save`` that hand the metadata of an image on."""
    return {key: im.info[key] for key in ("exif", "xmp", "icc_profile", "comment", "dpi") if key in im.info}


def into_rnc(source: str) -> dict[str, str]:
    """Return what becomes of each item when an image of a format is saved as `.rnc`."""
    data = source_file(source)
    have = contents(Image.open(io.BytesIO(data)))
    fp = io.BytesIO()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Image.open(io.BytesIO(data)).save(fp, "RNC")
    found = contents(Image.open(fp))
    cells = {}
    for item in ITEMS:
        if item not in have:
            cells[item] = "-"
        elif found.get(item) == have[item]:
            converted = have[item] == "applied" or (item == "comment" and source == "PNG")
            cells[item] = "converted" if converted else "kept"
        else:
            cells[item] = "warning" if caught else "lost"
    return cells


def out_of_rnc(target: str) -> dict[str, str]:
    """Return what becomes of each item when an image of an `.rnc` file is saved in a format."""
    data = source_file("RNC")
    have = contents(Image.open(io.BytesIO(data)))
    cells = dict.fromkeys(have, "-")
    for how in ("keyword", "kept"):
        im, fp = Image.open(io.BytesIO(data)), io.BytesIO()
        im.save(fp, target, **(keywords(im) if how == "keyword" else {}))
        found = contents(Image.open(fp, formats=[target]))
        for item, value in have.items():
            if found.get(item) in (value, "applied"):
                cells[item] = how
    return cells
