"""Composes a sheet of crops: original, ours and JPEG side by side, one row per rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

if TYPE_CHECKING:
    from collections.abc import Sequence

_CROP_PX = 240
_GAP_PX = 8
_CAPTION_PX = 54
_FONT_PX = 13
_BACKGROUND, _INK, _EMPTY = "white", "black", (225, 225, 225)

Box = tuple[int, int, int, int]


class SheetRow(NamedTuple):
    """The whole images of one rate, with their captions."""

    ours: Image.Image
    caption: str
    jpeg: Image.Image | None
    jpeg_caption: str


def contact_sheet(original: Image.Image, rows: Sequence[SheetRow]) -> Image.Image:
    """Return a sheet with two blocks of columns: the busiest crop, and the smoothest.

    The one shows detail, the other banding and block edges. An image no larger
    than a crop is shown whole, in one block.
    """
    boxes = crop_boxes(original)
    crop_width, crop_height = boxes[0][2] - boxes[0][0], boxes[0][3] - boxes[0][1]
    cell_width = max(crop_width, _CROP_PX) + _GAP_PX
    cell_height = crop_height + _CAPTION_PX + _GAP_PX
    size = (3 * len(boxes) * cell_width + _GAP_PX, len(rows) * cell_height + _GAP_PX)
    sheet = Image.new("RGB", size, _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_FONT_PX)
    for index, row in enumerate(rows):
        top = _GAP_PX + index * cell_height
        for block, box in enumerate(boxes):
            cells = (
                (original, f"original\nat {box[0]}, {box[1]}"),
                (row.ours, row.caption),
                (row.jpeg, row.jpeg_caption),
            )
            for column, (picture, caption) in enumerate(cells):
                left = _GAP_PX + (3 * block + column) * cell_width
                draw.multiline_text((left, top), caption, fill=_INK, font=font, spacing=2)
                corner = (left, top + _CAPTION_PX)
                sheet.paste(picture.crop(box) if picture else _EMPTY, _placed(corner, box))
    return sheet


def crop_boxes(original: Image.Image, side: int = _CROP_PX) -> list[Box]:
    """Return the boxes of the busiest and the smoothest crop, or one of the whole image.

    Busy is a great mean difference between neighbouring grey values.
    """
    width, height = min(side, original.width), min(side, original.height)
    if (width, height) == original.size:
        return [(0, 0, width, height)]
    grey = np.asarray(original.convert("L"), dtype=np.float64)
    detail = np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]
    step = max(1, side // 4)
    corners = [
        (left, top)
        for top in range(0, original.height - height + 1, step)
        for left in range(0, original.width - width + 1, step)
    ]
    means = [float(detail[top : top + height, left : left + width].mean()) for left, top in corners]
    chosen = (corners[int(np.argmax(means))], corners[int(np.argmin(means))])
    return [(left, top, left + width, top + height) for left, top in dict.fromkeys(chosen)]


def _placed(corner: tuple[int, int], box: Box) -> Box:
    left, top = corner
    return (left, top, left + box[2] - box[0], top + box[3] - box[1])
