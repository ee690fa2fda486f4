"""Rate-distortion curves as numbers: means, area under a curve, Bjontegaard rate difference.

Knows no images and no files.
"""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Literal, NamedTuple

import bjontegaard
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

Metric = Literal["psnr", "ms_ssim", "psnr_hvs", "ssimulacra2"]
METRICS: tuple[Metric, ...] = ("psnr", "ms_ssim", "psnr_hvs", "ssimulacra2")

AREA_LOW_BPP = 0.125
AREA_HIGH_BPP = 2.0


class Point(NamedTuple):
    """One file, or the mean over the files of one setting."""

    setting: int  # iterations, quality, or whatever the codec is asked for
    file_bytes: float
    bpp: float  # 8 * file bytes / pixels, headers included
    psnr: float
    ms_ssim: float
    psnr_hvs: float
    ssimulacra2: float = math.nan  # unknown in older records


class Area(NamedTuple):
    """Area under a curve, and how much of the range the curve did not cover by itself."""

    value: float
    extrapolated_bpp: float  # width below the first point
    held_bpp: float  # width above the last point


def mean_curve(curves: Sequence[Sequence[Point]]) -> list[Point]:
    """Return the mean point of every setting over the images, in the order of the first curve.

    Args:
        curves: One curve per image, all with the same settings in the same order.

    Raises:
        ValueError: The settings differ.
    """
    if len({tuple(point.setting for point in curve) for curve in curves}) > 1:
        msg = "the curves of different images have different settings"
        raise ValueError(msg)
    return [mean_point(points) for points in zip(*curves, strict=True)]


def mean_point(points: Sequence[Point]) -> Point:
    """Return the mean of points that share a setting; the setting of the first is kept."""
    means = np.mean([point[1:] for point in points], axis=0)
    return Point(points[0].setting, *(float(value) for value in means))


def area_under_curve(
    curve: Sequence[Point],
    metric: Metric,
    low_bpp: float = AREA_LOW_BPP,
    high_bpp: float = AREA_HIGH_BPP,
) -> Area:
    """Return the trapezoid area of a metric over ``low_bpp`` to ``high_bpp``.

    Between points the curve is linear in bpp. A curve that ends early is held at its
    last value: with more bytes allowed, the same file can still be used, so this is a lower bound.
    A curve that starts late is continued by the line through its first two points, not
    below 0 (SSIMULACRA2 may be); as such curves bend downwards there, this favours the codec, so the
    width is returned for the reader to judge. nan for a curve of fewer than two rates.
    """
    best: dict[float, float] = {}
    for point in curve:
        value: float = getattr(point, metric)
        if not math.isnan(value):
            best[point.bpp] = max(best.get(point.bpp, -math.inf), value)
    if len(best) < 2:
        return Area(math.nan, 0.0, 0.0)
    rates = np.array(sorted(best))
    values = np.array([best[rate] for rate in rates], dtype=np.float64)
    extrapolated = min(max(rates[0] - low_bpp, 0.0), high_bpp - low_bpp)
    held = min(max(high_bpp - rates[-1], 0.0), high_bpp - low_bpp)
    if extrapolated:
        slope = (values[1] - values[0]) / (rates[1] - rates[0])
        start = values[0] - slope * (rates[0] - low_bpp)
        if metric != "ssimulacra2":
            start = max(start, 0.0)
        rates, values = np.insert(rates, 0, low_bpp), np.insert(values, 0, start)
    inner = rates[(rates > low_bpp) & (rates < high_bpp)]
    grid = np.concatenate([[low_bpp], inner, [high_bpp]])
    area = np.trapezoid(np.interp(grid, rates, values), grid)
    return Area(float(area), float(extrapolated), float(held))


def bd_rate(reference: Sequence[Point], tested: Sequence[Point], metric: Metric) -> float:
    """Return the mean difference in bits at equal quality, in percent; negative saves bits.

    Logarithmic rate as a piecewise cubic (pchip) function of the metric, integrated over
    the values that both curves reach; MS-SSIM enters as ``-10 log10(1 - MS-SSIM)``.
    Points that cost more than another without being better are left out.
    nan when a curve has fewer than two points left or the two share no value.

    Source: Bjontegaard 2001, VCEG-M33, as computed by the package bjontegaard.
    """
    first, second = _frontier(reference, metric), _frontier(tested, metric)
    if len(first) < 2 or len(second) < 2:
        return math.nan
    with warnings.catch_warnings():  # no overlap is nan, a small one is the caller's to see
        warnings.simplefilter("ignore")
        return float(
            bjontegaard.bd_rate(
                [rate for rate, _ in first],
                [value for _, value in first],
                [rate for rate, _ in second],
                [value for _, value in second],
                method="pchip",
                require_matching_points=False,
                min_overlap=0,
            )
        )


def ms_ssim_db(value: float) -> float:
    """Return MS-SSIM as ``-10 log10(1 - value)`` in dB, 100 at most."""
    return -10 * math.log10(max(1 - value, 1e-10))


def _frontier(curve: Sequence[Point], metric: Metric) -> list[tuple[float, float]]:
    """Return (bpp, value) pairs that rise strictly in both."""
    kept: list[tuple[float, float]] = []
    for point in sorted(curve, key=lambda point: (point.bpp, -getattr(point, metric))):
        value: float = getattr(point, metric)
        if math.isnan(value):
            continue
        if metric == "ms_ssim":
            value = ms_ssim_db(value)
        if not kept or (value > kept[-1][1] and point.bpp > kept[-1][0]):
            kept.append((point.bpp, value))
    return kept
