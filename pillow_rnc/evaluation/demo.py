"""One photograph at several rates: files, a table, and a sheet of crops to look at."""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

import pillow_rnc
from pillow_rnc.evaluation.arguments import iteration_counts
from pillow_rnc.evaluation.contact_sheet import SheetRow, contact_sheet
from pillow_rnc.evaluation.markdown_table import number, table
from pillow_rnc.evaluation.metrics import MS_SSIM_MIN_SIDE_PX
from pillow_rnc.evaluation.peer_measurements import PeerMeasurements
from pillow_rnc.evaluation.peers import PEERS
from pillow_rnc.evaluation.photographs import load_photograph, plain
from pillow_rnc.evaluation.rate_distortion import MATCHED_PEER, RncCodec, point_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pillow_rnc.evaluation.curves import Point
    from pillow_rnc.evaluation.rate_distortion import Codec

_ITERATIONS = (1, 2, 3, 4, 6, 8, 12, 16)


def main(arguments: Sequence[str], codec: Codec | None = None) -> int:
    """Run the command line of the demo and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        name, image = _photograph(options.photo)
    except (OSError, ValueError) as error:
        print(f"error: {options.photo}: {error}", file=sys.stderr)
        return 2
    try:
        show(name, image, options.out, codec or RncCodec(options.model, options.weights), options.iterations)
    except (pillow_rnc.RncError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def show(name: str, image: Image.Image, folder: Path, codec: Codec, iterations: Sequence[int] = _ITERATIONS) -> None:
    """Save an RGB image at several rates, print the table, write the contact sheet.

    Args:
        name: Begins the names of the files written.
        image: The photograph, RGB, without metadata.
        folder: Where files go; made when it does not exist.
        codec: Makes the files.
        iterations: Iteration counts, rising.

    Raises:
        OSError: The folder cannot be written.
        RncError: The codec cannot make a file of the image, or has no weights.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if min(image.size) < MS_SSIM_MIN_SIDE_PX:
        print(
            f"{image.width}x{image.height} is too small for MS-SSIM, "
            f"which needs at least {MS_SSIM_MIN_SIDE_PX} pixels on either side",
            file=sys.stderr,
        )
    print(f"{name}, {image.width}x{image.height}, beside the best JPEG 4:2:0 of at most the same bytes\n")
    jpeg = PeerMeasurements(image, PEERS[MATCHED_PEER])
    lines, rows = [], []
    for count, file in codec.encode(image, iterations).items():
        path = folder / f"{name}-{count:02}.rnc"
        path.write_bytes(file)
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        ours, theirs = point_of(image, picture, len(file), count), jpeg.best_within(len(file))
        lines.append(_line(ours, theirs))
        rows.append(_row(picture, ours, theirs, jpeg))
    header = ["Iterations", "Bytes", "bpp", "PSNR", "MS-SSIM"]
    print(table([*header, "JPEG quality", "JPEG bytes", "JPEG PSNR", "JPEG MS-SSIM"], lines))
    sheet = folder / f"{name}-sheet.png"
    contact_sheet(image, rows).save(sheet)
    print(f"\nfiles: {folder / name}-*.rnc\nlook at: {sheet}")


def _photograph(path: Path | None) -> tuple[str, Image.Image]:
    if path is not None:
        return path.stem, load_photograph(path)
    from skimage import data

    pixels: np.ndarray[tuple[int, ...], np.dtype[np.uint8]] = data.astronaut()  # type: ignore[no-untyped-call]  # it has none
    return "astronaut", plain(Image.fromarray(pixels))


def _line(ours: Point, jpeg: Point | None) -> list[str]:
    line = [
        str(ours.setting),
        str(ours.file_bytes),
        number(ours.bpp, 3),
        number(ours.psnr, 2),
        number(ours.ms_ssim, 4),
    ]
    if jpeg is None:
        return [*line, "none so small", "-", "-", "-"]
    return [
        *line,
        str(jpeg.setting),
        str(jpeg.file_bytes),
        number(jpeg.psnr, 2),
        number(jpeg.ms_ssim, 4),
    ]


def _row(picture: Image.Image, ours: Point, theirs: Point | None, jpeg: PeerMeasurements) -> SheetRow:
    caption = f"RNC, iterations {ours.setting}\n{_figures(ours)}"
    if theirs is None:
        return SheetRow(picture, caption, None, f"no JPEG so small:\nat least {jpeg.smallest_bytes()} bytes")
    with Image.open(io.BytesIO(jpeg.encode(theirs.setting))) as opened:
        return SheetRow(
            picture,
            caption,
            opened.convert("RGB"),
            f"JPEG 4:2:0, quality {theirs.setting}\n{_figures(theirs)}",
        )


def _figures(point: Point) -> str:
    similarity = "" if np.isnan(point.ms_ssim) else f", MS-SSIM {point.ms_ssim:.4f}"
    return f"{point.file_bytes} bytes, {point.bpp:.3f} bpp\n{point.psnr:.2f} dB{similarity}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pillow_rnc.evaluation demo",
        description="Save one photograph at several rates, open the files again, and compare with JPEG.",
    )
    parser.add_argument(
        "photo",
        type=Path,
        nargs="?",
        metavar="PHOTO",
        help="an image file (default: the astronaut of scikit-image)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("demo"), metavar="DIR", help="where files go (default: %(default)s)"
    )
    parser.add_argument(
        "--iterations",
        type=iteration_counts,
        default=_ITERATIONS,
        metavar="1,2,...",
        help="iteration counts (default: 1,2,3,4,6,8,12,16)",
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--model", metavar="NAME", help="model to save with (default: the plugin's)")
    chosen.add_argument("--weights", type=Path, metavar="FILE", help="unreleased weights instead")
    return parser
