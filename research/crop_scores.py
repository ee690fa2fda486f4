"""Perceptual numbers of crops, and which of them regressed since another release."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from pytorch_msssim import ssim as windowed_ssim

from pillow_rnc.evaluation.markdown_table import number, table
from pillow_rnc.evaluation.metrics import planes_of, psnr_hvs
from pillow_rnc.models.basis import BLOCK, YCBCR

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
    Record = dict[str, Any]


class CropScores(NamedTuple):
    """Numbers of a crop of an image beside the same crop of the original."""

    psnr_hvs: float  # dB, of luma
    ssim: float  # at one scale, averaged over R, G and B; at most 1
    colour: float  # mean distance of 8x8 means in the plane of Cb and Cr, in 8-bit levels: false colours, not noise
    blockiness: float  # see `blockiness`, less that of the original


_GREATER_IS_BETTER = {"psnr_hvs": True, "ssim": True, "colour": False, "blockiness": False}
TOLERANCES = {"psnr_hvs": 0.3, "ssim": 0.01, "colour": 0.3, "blockiness": 0.1}
"""Differences that are not reported, because they are not visible."""


def crop_scores(original: Pixels, crop: Pixels) -> CropScores:
    """Return the numbers of a crop, uint8 [H, W, 3], both sides multiples of 8 and at least 16.

    Its corner is where blocks of 8x8 begin.
    """
    with torch.inference_mode():
        similarity = float(windowed_ssim(planes_of(original), planes_of(crop), data_range=255))
    first, second = (_colours(pixels) for pixels in (original, crop))
    return CropScores(
        psnr_hvs(original, crop),
        similarity,
        float(np.hypot(*(first - second)).mean()),
        blockiness(crop) - blockiness(original),
    )


def blockiness(pixels: Pixels) -> float:
    """Return by how many levels luma steps more, on average, across borders of 8x8 blocks than inside of them."""
    luma = pixels @ np.array(YCBCR[0])
    found = []
    for axis in (0, 1):
        steps = np.abs(np.diff(luma, axis=axis)).mean(1 - axis)
        across = np.arange(len(steps)) % BLOCK == BLOCK - 1
        found.append(steps[across].mean() - steps[~across].mean())
    return float(np.mean(found))


def _colours(pixels: Pixels) -> NDArray[np.float64]:
    """Return the means of Cb and Cr in each block, [2, h, w]."""
    height, width = pixels.shape[0] // BLOCK, pixels.shape[1] // BLOCK
    means = pixels.reshape(height, BLOCK, width, BLOCK, 3).mean((1, 3))
    return np.stack([means @ np.array(row) for row in YCBCR[1:]])


def means(records: Sequence[Record]) -> str:
    """Return a table: the means over the crops of each codec at each number of iterations."""
    rows = []
    for iterations, codec in dict.fromkeys((one["iterations"], one["codec"]) for one in records):
        same = [one for one in records if (one["iterations"], one["codec"]) == (iterations, codec)]
        values = (float(np.mean([one[name] for one in same])) for name in ("bytes", *CropScores._fields))
        cells = (number(value, digits) for value, digits in zip(values, (0, 2, 3, 2, 2), strict=True))
        rows.append([str(iterations), codec, str(len(same)), *cells])
    return table(["Iterations", "Codec", "Crops", "Bytes", "PSNR-HVS", "SSIM", "Colour", "Blockiness"], rows)


class Regression(NamedTuple):
    """A number that regressed: where, and what it was at as many bytes."""

    place: str
    measure: str
    was: float
    is_: float


class CropComparison(NamedTuple):
    """How many numbers could be compared, and those that regressed."""

    compared: int
    regressions: list[Regression]


def compare(old: Sequence[Record], new: Sequence[Record], codec: str) -> CropComparison:
    """Return what regressed at equal bytes, between the files of an older release.

    Args:
        old: Records of its crops: image, kind, box, codec, bytes and the fields of `CropScores`.
        new: Records to compare, at any iterations.
        codec: Whose records are compared.
    """
    compared, regressions = 0, []
    for record in (one for one in new if one["codec"] == codec):
        same = sorted(_same_place(old, record), key=lambda one: one["bytes"])
        sizes = [math.log(one["bytes"]) for one in same]
        size = math.log(record["bytes"])
        if not sizes or not sizes[0] <= size <= sizes[-1]:
            continue
        for measure, greater in _GREATER_IS_BETTER.items():
            was, is_ = float(np.interp(size, sizes, [one[measure] for one in same])), float(record[measure])
            compared += 1
            if (was - is_ if greater else is_ - was) > TOLERANCES[measure]:
                place = f"{record['picture']} {record['kind']}, {record['iterations']} iterations"
                regressions.append(Regression(place, measure, was, is_))
    return CropComparison(compared, regressions)


def _same_place(records: Iterable[Record], wanted: Record) -> Iterator[Record]:
    names = ("picture", "kind", "box", "codec")
    return (one for one in records if all(one[name] == wanted[name] for name in names))
