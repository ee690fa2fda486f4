"""``python -m research.crop_sheet DIR -o SHEET``: crops to inspect, beside JPEG and WebP of the same bytes.

Each image is shown where it is flat, where it has sharp edges, fine texture and strong colours, and where tiles meet.
Beside the sheet goes a JSON file with numbers of each crop, which a later release is compared with.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from tqdm import tqdm

import pillow_rnc
from pillow_rnc.container.reader import parse
from pillow_rnc.evaluation.arguments import iteration_counts, positive
from pillow_rnc.evaluation.peer_measurements import PeerMeasurements
from pillow_rnc.evaluation.peers import PEERS, is_available
from pillow_rnc.evaluation.photographs import find_photographs, load_photograph
from pillow_rnc.evaluation.rate_distortion import RncCodec
from research.crop_choice import KINDS, Crop, choose_crops
from research.crop_scores import compare, crop_scores, means

if TYPE_CHECKING:
    from collections.abc import Sequence

OURS = "rnc"
SHOWN_PEERS = ("jpeg420", "webp")
_GAP_PX, _FONT_PX, _CAPTION_PX = 6, 12, 48
_BACKGROUND, _INK, _EMPTY = "white", "black", (225, 225, 225)
_WEBP_MAX_PX = 16383


class SheetCell(NamedTuple):
    """A crop of the sheet, or None where no file is that small, and its caption."""

    crop: Image.Image | None
    caption: str


@dataclass(frozen=True, slots=True)
class CropPlan:
    """What the sheet shows of every image."""

    codec: RncCodec
    iterations: tuple[int, ...]
    kinds: tuple[str, ...] = KINDS
    side_px: int = 160
    peers: tuple[str, ...] = SHOWN_PEERS
    cache_folder: Path | None = None


def crops_of(paths: Sequence[Path], plan: CropPlan) -> tuple[list[list[SheetCell]], list[dict[str, Any]]]:
    """Return the rows of the sheet and the records of all crops of image files.

    Raises:
        OSError: An image cannot be read.
        ValueError: It is not 8-bit, or no image has a crop of the wanted kinds.
    """
    rows, records = [], []
    for path in tqdm(paths, unit="image", disable=None):  # None draws the bar on a terminal only
        more_rows, more_records = rows_of(path.stem, load_photograph(path), plan)
        rows += more_rows
        records += more_records
    if not rows:
        msg = f"no crop of {', '.join(plan.kinds)} in {len(paths)} images"
        raise ValueError(msg)
    return rows, records


def rows_of(name: str, image: Image.Image, plan: CropPlan) -> tuple[list[list[SheetCell]], list[dict[str, Any]]]:
    """Return the rows of the sheet for an image, one for each crop, and the records of its crops."""
    files = plan.codec.encode(image, plan.iterations)
    pixels = np.asarray(image)
    crops = choose_crops(pixels, plan.side_px, parse(next(iter(files.values()))).header.grid, plan.kinds)
    rows = [
        [SheetCell(image.crop(crop.box), f"{name}\n{crop.kind}\nat {crop.box[0]}, {crop.box[1]}")] for crop in crops
    ]
    records: list[dict[str, Any]] = []

    def add(picture: Image.Image, codec: str, label: str, iterations: int, file_bytes: int) -> None:
        for row, crop in zip(rows, crops, strict=True):
            shown = picture.crop(crop.box)
            scores = crop_scores(np.asarray(image.crop(crop.box)), np.asarray(shown))
            caption = f"{label}\n{file_bytes} bytes\n{scores.psnr_hvs:.1f} dB, SSIM {scores.ssim:.3f}"
            row.append(SheetCell(shown, caption))
            records.append(_record(name, crop, codec, iterations, file_bytes) | scores._asdict())

    measured = {peer: PeerMeasurements(image, PEERS[peer], plan.cache_folder) for peer in plan.peers}
    for iterations, file in files.items():
        add(_opened(file), OURS, f"RNC, iterations {iterations}", iterations, len(file))
        for peer, measurements in measured.items():
            point = measurements.best_within(len(file))
            if point is None:
                smallest = f"no {PEERS[peer].label}\nso small: at least\n{measurements.smallest_bytes()} bytes"
                for row in rows:
                    row.append(SheetCell(None, smallest))
                continue
            label = f"{PEERS[peer].label}, quality {point.setting}"
            add(_opened(measurements.encode(point.setting)), peer, label, iterations, int(point.file_bytes))
    for measurements in measured.values():
        measurements.write()
    return rows, records


def _record(name: str, crop: Crop, codec: str, iterations: int, file_bytes: int) -> dict[str, Any]:
    return {
        "picture": name,
        "kind": crop.kind,
        "box": list(crop.box),
        "codec": codec,
        "iterations": iterations,
        "bytes": file_bytes,
    }


def _opened(file: bytes) -> Image.Image:
    with Image.open(io.BytesIO(file)) as opened:
        return opened.convert("RGB")


def compose(rows: Sequence[Sequence[SheetCell]]) -> Image.Image:
    """Return the sheet of rows of crops."""
    crops = [cell.crop for row in rows for cell in row if cell.crop is not None]
    side = max(max(crop.size) for crop in crops)
    step = (side + _GAP_PX, side + _CAPTION_PX + _GAP_PX)
    columns = max(len(row) for row in rows)
    sheet = Image.new("RGB", (columns * step[0] + _GAP_PX, len(rows) * step[1] + _GAP_PX), _BACKGROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_PX)
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            left, top = _GAP_PX + x * step[0], _GAP_PX + y * step[1]
            draw.multiline_text((left, top), cell.caption, fill=_INK, font=font, spacing=2)
            corner = (left, top + _CAPTION_PX)
            if cell.crop is None:
                sheet.paste(_EMPTY, (*corner, corner[0] + side, corner[1] + side))
            else:
                sheet.paste(cell.crop, corner)
    return sheet


def _save(sheet: Image.Image, path: Path) -> None:
    if path.suffix.lower() == ".webp" and sheet.height > _WEBP_MAX_PX:
        msg = f"the sheet is {sheet.height} pixels high, a WebP at most {_WEBP_MAX_PX}: give fewer images, or a PNG"
        raise ValueError(msg)
    sheet.save(path, quality=95)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 1 something regressed, 2 bad usage."""
    options = _parser().parse_args(arguments)
    missing = [name for name in SHOWN_PEERS if not is_available(PEERS[name])]
    for name in missing:
        print(f"left out: {name}, this Pillow is built without it", file=sys.stderr)
    codec = RncCodec(options.model, options.weights, options.tile_size)
    peers = tuple(name for name in SHOWN_PEERS if name not in missing)
    plan = CropPlan(codec, options.iterations, options.kinds, options.side, peers, options.cache)
    try:
        old = json.loads(options.against.read_text(encoding="utf-8"))["crops"] if options.against else None
        paths = find_photographs(options.directory)[: options.limit]
        rows, records = crops_of(paths, plan)
        _save(compose(rows), options.out)
        about = {"model": codec.label, "side_px": plan.side_px, "crops": records}
        numbers = options.out.with_suffix(".json")
        numbers.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    except (OSError, ValueError, KeyError, pillow_rnc.RncError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{len(rows)} crops of {len(paths)} images: {options.out}, {numbers}\n\n{means(records)}")
    return 0 if old is None else _report(old, records)


def _report(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> int:
    """Print the regressions; return 1 if there are any."""
    found = compare(old, new, OURS)
    for one in found.regressions:
        print(f"regression: {one.place}: {one.measure} {one.is_:.3f}, was {one.was:.3f} at as many bytes")
    print(f"{len(found.regressions)} of {found.compared} numbers regressed")
    return int(bool(found.regressions))


def _kinds(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(text.split(",")))
    if unknown := [name for name in names if name not in KINDS]:
        msg = f"unknown: {', '.join(unknown)}; known: {', '.join(KINDS)}"
        raise argparse.ArgumentTypeError(msg)
    return names


def _side(text: str) -> int:
    if not text.isdecimal() or int(text) < 16 or int(text) % 8:
        msg = f"{text!r} is not a multiple of 8 of at least 16"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m research.crop_sheet",
        description="Make a sheet of crops at several rates, beside JPEG and WebP of at most the same bytes of the "
        "whole image, and a JSON file of numbers of each crop.",
    )
    parser.add_argument("directory", type=Path, metavar="DIR", help="folder of images, or one image")
    parser.add_argument("-o", "--out", type=Path, default=Path("crops.png"), metavar="SHEET", help="PNG or WebP")
    parser.add_argument("--iterations", type=iteration_counts, default=(1, 2, 4, 8), metavar="1,2,...")
    parser.add_argument("--kinds", type=_kinds, default=KINDS, metavar="NAMES", help=f"default: {','.join(KINDS)}")
    parser.add_argument("--side", type=_side, default=160, metavar="PX", help="of a crop (default: %(default)s)")
    parser.add_argument("--tile-size", type=int, metavar="PX", help="smaller tiles show seams in small images, too")
    parser.add_argument("--limit", type=positive, metavar="N", help="take the first N images only")
    parser.add_argument("--against", type=Path, metavar="JSON", help="numbers to compare with: print regressions")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="where measurements of JPEG and WebP are kept")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--model", metavar="NAME", help="model to save with (default: the plugin's)")
    chosen.add_argument("--weights", type=Path, metavar="FILE", help="unreleased weights instead")
    return parser


if __name__ == "__main__":
    sys.exit(main())
