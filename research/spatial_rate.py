"""``python -m research.spatial_rate DIR``: what a spatially adaptive rate would save.

An oracle that knows all reconstructions chooses for each square region how many iterations it keeps, so that one more
bit would reduce the error by the same amount everywhere. This is a bound, not a codec: a region is reconstructed, and
costs as many bits, as if the whole image had as many iterations, although its neighbours may have fewer.

Source: spatially adaptive bit rates of Johnston et al., "Improved lossy image compression with priming and spatially
adaptive bit rates for recurrent networks", CVPR 2018, section 3.3.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

import pillow_rnc
from pillow_rnc.evaluation.curves import Point, bd_rate
from pillow_rnc.evaluation.markdown_table import number, table
from pillow_rnc.evaluation.metrics import MS_SSIM_MIN_SIDE_PX, planes_of, score
from pillow_rnc.models.runtime import CPU, runtime
from pillow_rnc.models.torch_transform import BLOCK, hvs_weights
from research.bit_kinds import network_of
from research.code_lengths import CodeLengths
from research.model_arguments import chosen_images, chosen_weights, model_parser

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from PIL import Image
    from torch import Tensor

    from pillow_rnc.models.weights import Weights

    Pixels = NDArray[np.uint8]

REGIONS_PX = (64, 128)
Error = Literal["psnr_hvs", "ms_ssim", "both"]
ERRORS: tuple[Error, ...] = ("psnr_hvs", "ms_ssim", "both")
_GRID_PX = 16
_SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # weights of MS-SSIM
_WINDOW_PX = 11
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_PARTS = (("first third", 0, 1 / 3), ("second third", 1 / 3, 2 / 3), ("last third", 2 / 3, 1), ("all", 0, 1))


class Progression(NamedTuple):
    """An image after each of T iterations.

    Attributes:
        original: uint8 [H, W, 3].
        reconstructions: uint8 [T, H, W, 3].
        bits: Ideal code length of each block in all iterations so far, float64 [T, h, w].
    """

    original: Pixels
    reconstructions: Pixels
    bits: NDArray[np.float64]


class Saving(NamedTuple):
    """What the oracle saves on one image: region, the error it uses, and curves without it and with it."""

    region_px: int
    error: Error
    uniform: list[Point]
    chosen: list[Point]


def progression(pixels: Pixels, weights: Weights) -> Progression:
    """Return an image, uint8 [H, W, 3] with both sides multiples of 16, after each iteration, as one tile."""
    tiles = runtime(weights, CPU)(1, *pixels.shape[:2])
    tiles.set_target(pixels[None])
    codes, reconstructions = [], []
    for _ in range(weights.config.iterations):
        codes.append(tiles.encode()[0])
        reconstructions.append(np.rint(tiles.pixels()[0].clip(0, 255)).astype(np.uint8))
    lengths = CodeLengths(weights).lengths(np.stack(codes))
    return Progression(pixels, np.stack(reconstructions), np.cumsum(lengths.sum(1, dtype=np.float64), 0))


def hvs_errors(one: Progression, weights: Weights) -> NDArray[np.float64]:
    """Return the squared error that PSNR-HVS sees in each block after each iteration, float64 [T, h, w]."""
    transform = network_of(weights).transform
    visible = hvs_weights().view(1, -1, 1, 1)
    target = transform(planes_of(one.original))
    images = one.reconstructions
    errors = (transform.blocks(transform(planes_of(image)) - target)[0, : BLOCK**2] for image in images)
    return torch.stack([(error * visible[0]).square().sum(0) for error in errors]).double().numpy()


def ssim_errors(one: Progression) -> NDArray[np.float64]:
    """Return by how much each block reduces the logarithm of MS-SSIM after each iteration, about, float64 [T, h, w].

    To first order that logarithm is a sum over scales and places. Windows are boxes here; images are evaluated by
    the metric itself.
    """
    height, width = one.original.shape[:2]
    size = (height // BLOCK, width // BLOCK)
    out = []
    for picture in one.reconstructions:
        x, y = planes_of(one.original), planes_of(picture)
        total = torch.zeros(1, 1, *size)
        for scale, weight in enumerate(_SCALES):
            similarity = _similarity(x, y, whole=scale == len(_SCALES) - 1)
            error = (1 - similarity).mean(1, keepdim=True) / similarity.mean()
            total += weight * F.interpolate(error, size, mode="area")
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        out.append(total[0, 0])
    return torch.stack(out).double().numpy()


def _similarity(x: Tensor, y: Tensor, *, whole: bool) -> Tensor:
    """Return contrast and structure around each pixel of [1, 3, H, W], and luminance too if it is the ``whole``."""

    def mean(z: Tensor) -> Tensor:
        return F.avg_pool2d(z, _WINDOW_PX, stride=1, padding=_WINDOW_PX // 2, count_include_pad=False)

    mean_x, mean_y = mean(x), mean(y)
    variance = mean(x * x) - mean_x**2 + mean(y * y) - mean_y**2
    similarity = (2 * (mean(x * y) - mean_x * mean_y) + _C2) / (variance + _C2)
    return similarity * (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1) if whole else similarity


def oracle(errors: NDArray[np.float64], bits: NDArray[np.float64], slope: float) -> NDArray[np.intp]:
    """Return the index of the iteration after which each region stops: least error plus ``slope`` times bits.

    Args:
        errors: After each iteration in each region, float64 [T, regions].
        bits: So far, the same shape.
        slope: Error per bit.
    """
    stops: NDArray[np.intp] = np.argmin(errors + slope * bits, axis=0)
    return stops


def savings(one: Progression, weights: Weights, regions_px: Sequence[int] = REGIONS_PX) -> list[Saving]:
    """Return what regions of these sizes save on an image, for each error."""
    count = len(one.reconstructions)
    totals = one.bits.sum((1, 2))
    uniform = [_point(one, t, one.reconstructions[t], float(totals[t])) for t in range(count)]
    hvs, ssim = hvs_errors(one, weights), ssim_errors(one)
    found = []
    for error in ERRORS:
        for region_px in regions_px:
            label = _regions(one.bits.shape[1:], region_px // BLOCK)
            spent = _sums(one.bits, label)
            chosen = []
            for t in range(0, count - 1, 2):
                # Parts of the whole error at this iteration, so that both metrics weigh alike.
                parts = {"psnr_hvs": hvs / hvs[t].sum(), "ms_ssim": ssim / ssim[t].sum()}
                errors = parts["psnr_hvs"] + parts["ms_ssim"] if error == "both" else parts[error]
                later = min(t + 2, count - 1)
                slope = (errors[t].sum() - errors[later].sum()) / (totals[later] - totals[t])
                stops = oracle(_sums(errors, label), spent, float(slope))
                picture = np.take_along_axis(one.reconstructions, _enlarged(stops[label])[None, ..., None], axis=0)[0]
                bits = np.take_along_axis(spent, stops[None], axis=0).sum()
                chosen.append(_point(one, t, picture, float(bits) + _side_bits(stops)))
            found.append(Saving(region_px, error, uniform, chosen))
    return found


def _side_bits(stops: NDArray[np.intp]) -> float:
    """Return the least bits that signal where regions stop: the entropy of the counts, times the regions."""
    shares = np.unique(stops, return_counts=True)[1] / stops.size
    return float(-stops.size * (shares * np.log2(shares)).sum())


def _regions(size: tuple[int, ...], side: int) -> NDArray[np.intp]:
    """Return the number of the region of each block, intp [h, w]; at the right and bottom they may be smaller."""
    rows, columns = (np.arange(length) // side for length in size)
    label: NDArray[np.intp] = rows[:, None] * (columns[-1] + 1) + columns
    return label


def _sums(maps: NDArray[np.float64], label: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the sums of maps [T, h, w] over regions, [T, regions]."""
    return np.stack([np.bincount(label.ravel(), one.ravel()) for one in maps])


def _enlarged(blocks: NDArray[np.intp]) -> NDArray[np.intp]:
    return blocks.repeat(BLOCK, 0).repeat(BLOCK, 1)


def _point(one: Progression, setting: int, picture: Pixels, bits: float) -> Point:
    bpp = bits / (one.original.shape[0] * one.original.shape[1])
    return Point(setting + 1, bits / 8, bpp, *score(one.original, picture))


def markdown(savings_of: Sequence[Sequence[Saving]]) -> str:
    """Return a table: bits at equal quality against equal counts everywhere, means over images."""
    rows = []
    for same in zip(*savings_of, strict=True):
        for metric in _COMPARED:
            row = [f"{same[0].region_px}x{same[0].region_px}", _LABELS[same[0].error], _LABELS[metric]]
            for _, low, high in _PARTS:
                values = [bd_rate(*_within(one, low, high), metric) for one in same]
                row.append(f"{number(float(np.mean(values)), 1)} %")
            rows.append(row)
    header = ["Regions", "Chosen by", "Bits at equal", *(f"{name} of iterations" for name, *_ in _PARTS)]
    return table(header, rows)


_LABELS: dict[Error, str] = {"psnr_hvs": "PSNR-HVS", "ms_ssim": "MS-SSIM", "both": "both equally"}
_COMPARED: tuple[Literal["psnr_hvs", "ms_ssim"], ...] = ("psnr_hvs", "ms_ssim")


def _within(one: Saving, low: float, high: float) -> tuple[list[Point], list[Point]]:
    """Return the uniform points of a part of the iterations, and the whole curve of the oracle."""
    last = len(one.uniform) - 1
    return one.uniform[round(low * last) : round(high * last) + 1], one.chosen


def measure(images: Iterable[Image.Image], weights: Weights) -> list[list[Saving]]:
    """Return the savings on each image; up to 15 rows and columns at the bottom and at the right do not count.

    Raises:
        ValueError: An image is too small for MS-SSIM.
    """
    found = []
    for image in images:
        width, height = (side - side % _GRID_PX for side in image.size)
        if min(width, height) < MS_SSIM_MIN_SIDE_PX:
            msg = f"an image of {width}x{height} is too small: at least {MS_SSIM_MIN_SIDE_PX} pixels on either side"
            raise ValueError(msg)
        found.append(savings(progression(np.asarray(image)[:height, :width], weights), weights))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 2 bad usage."""
    options = model_parser(
        "research.spatial_rate",
        "Show how many bits an oracle would save that chooses the iterations of each region of an image.",
    ).parse_args(arguments)
    try:
        weights = chosen_weights(options)
        found = measure(chosen_images(options), weights)
    except (OSError, ValueError, pillow_rnc.RncError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    plural = "s" * (len(found) != 1)
    print(f"{weights.name}, {len(found)} image{plural}, each as one tile; ideal code lengths.\n\n{markdown(found)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
