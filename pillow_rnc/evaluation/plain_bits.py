"""A recurrent model without entropy coding, as the paper reports it too, from a finished evaluation.

python -m pillow_rnc.evaluation.plain_bits evaluation/evaluation.json

Every iteration then costs the same plain bits. Compared are the mean curves of the evaluation: JPEG 4:2:0 at the same
mean rate, by linear interpolation between its quality settings.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.evaluation.curves import Metric, Point, area_under_curve
from pillow_rnc.evaluation.markdown_table import number, table
from pillow_rnc.evaluation.peers import PEERS
from pillow_rnc.evaluation.rate_distortion import MATCHED_PEER

if TYPE_CHECKING:
    from collections.abc import Sequence

PLAIN_BPP = 32 / 16**2
"""Bits per pixel and iteration of the paper's code layer: 32 for each 16x16 pixels."""


def plain_curve(curve: Sequence[Point], bpp: float = PLAIN_BPP) -> list[Point]:
    """Return a curve with `bpp` for each iteration in the place of the rate of its files.

    Args:
        curve: Points whose settings are iterations.
        bpp: Plain bits per pixel and iteration, above 0.
    """
    return [point._replace(bpp=bpp * point.setting, file_bytes=math.nan) for point in curve]


def value_at(curve: Sequence[Point], bpp: float, metric: Metric) -> float:
    """Return a metric of a curve at a rate, between its points; nan outside of its rates."""
    points = sorted((point.bpp, getattr(point, metric)) for point in curve)
    rates, values = zip(*points, strict=True)
    return float(np.interp(bpp, rates, values, left=math.nan, right=math.nan))


def markdown(label: str, ours: Sequence[Point], jpeg: Sequence[Point], bpp: float = PLAIN_BPP) -> str:
    """Return the table of iterations, and the areas with and without entropy coding.

    Args:
        label: Name of the codec.
        ours: Its mean curve, of whole files.
        jpeg: Mean curve of JPEG 4:2:0.
        bpp: Plain bits per pixel and iteration.
    """
    plain = plain_curve(ours, bpp)
    rows = []
    for coded, point in zip(ours, plain, strict=True):
        row = [str(point.setting), number(point.bpp, 3), f"{100 * (1 - coded.bpp / point.bpp):.1f} %"]
        for metric, digits in (("ms_ssim", 4), ("psnr_hvs", 2)):
            found, other = getattr(point, metric), value_at(jpeg, point.bpp, metric)  # type: ignore[arg-type]
            row.append(f"{number(found, digits)} / {number(other, digits)}")
        rows.append(row)
    header = [
        "Iterations",
        "bpp, plain bits",
        "Saved by entropy coding",
        "MS-SSIM / JPEG 4:2:0",
        "PSNR-HVS / JPEG 4:2:0",
    ]
    areas = []
    for name, curve in (
        (f"{label}, whole files", ours),
        (f"{label}, plain bits", plain),
        (PEERS[MATCHED_PEER].label, jpeg),
    ):
        areas.append(
            [
                name,
                number(area_under_curve(curve, "ms_ssim").value, 4),
                number(area_under_curve(curve, "psnr_hvs").value, 2),
            ]
        )
    return f"{table(header, rows)}\n\n{table(['Area, 0.125 to 2.0 bpp', 'MS-SSIM', 'PSNR-HVS'], areas)}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables of an evaluation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("evaluation", type=Path, help="evaluation.json of `python -m pillow_rnc.evaluation`")
    parser.add_argument(
        "--bpp", type=float, default=PLAIN_BPP, help="bits per pixel and iteration (default: %(default)s)"
    )
    args = parser.parse_args(arguments)
    record = json.loads(args.evaluation.read_text(encoding="utf-8"))
    curves = {name: [Point(**point) for point in points] for name, points in record["mean"].items()}
    jpeg = PEERS[MATCHED_PEER].label
    if jpeg not in curves:
        print(f"error: {args.evaluation}: no curve of {jpeg}, evaluate with --peers {MATCHED_PEER}", file=sys.stderr)
        return 1
    print(markdown(record["label"], curves[record["label"]], curves[jpeg], args.bpp), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
