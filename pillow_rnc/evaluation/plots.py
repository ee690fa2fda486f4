"""Draws mean curves, with published ones behind them where a file of anchors is given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pillow_rnc.evaluation.curves import AREA_HIGH_BPP, METRICS, Metric, Point
from pillow_rnc.evaluation.report import METRIC_LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KODAK = Path(__file__).with_name("kodak.json")
"""Published means over the 24 Kodak images.

Sources: TensorFlow Compression, results/image_compression/kodak, all but the first two interpolated in bits per pixel;
1zb/pytorch-image-comp-rnn, test/lstm_ssim.csv.
"""
# Keys of a metric in a file of anchors, ours first.
_ANCHOR_KEYS: dict[Metric, tuple[str, ...]] = {
    "psnr": ("psnr",),
    "ms_ssim": ("ms_ssim", "msssim"),
    "psnr_hvs": ("psnr_hvs", "hvs"),
    "ssimulacra2": ("ssimulacra2",),
}
_BPP_LIMIT = AREA_HIGH_BPP + 0.1


class Anchor(NamedTuple):
    """A curve measured elsewhere; a metric that it lacks has no entry."""

    label: str
    bpp: list[float]
    values: dict[Metric, list[float]]


def read_anchors(path: Path) -> list[Anchor]:
    """Return the curves of a JSON file of anchors.

    The file maps names to curves. A curve is an object of equally long arrays, or an array of
    objects, with the key ``bpp`` and any of ``psnr``, ``ms_ssim`` (or ``msssim``),
    ``psnr_hvs`` (or ``hvs``) and ``ssimulacra2``. The name ``published`` may hold another such map.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not of this form.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        curves = {**content, **content.get("published", {})}
        curves.pop("published", None)
        return [_anchor(name, curve) for name, curve in curves.items()]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        msg = f"{path}: not a file of anchors: {type(error).__name__}: {error}"
        raise ValueError(msg) from error


def write_plots(curves: Mapping[str, Sequence[Point]], folder: Path, anchors: Sequence[Anchor] = ()) -> list[Path]:
    """Write one PNG per metric, the first curve drawn boldly; return the files.

    Raises:
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_write_plot(curves, metric, folder, anchors) for metric in METRICS]


def _write_plot(curves: Mapping[str, Sequence[Point]], metric: Metric, folder: Path, anchors: Sequence[Anchor]) -> Path:
    figure = Figure(figsize=(9, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    lowest = []
    for index, anchor in enumerate(anchors):
        if metric in anchor.values:
            colour = colormaps["Dark2"](index % 8)
            axes.plot(anchor.bpp, anchor.values[metric], "--", color=colour, linewidth=1, label=anchor.label)
    for index, (label, curve) in enumerate(curves.items()):
        points = sorted((point.bpp, float(getattr(point, metric))) for point in curve)
        lowest.append(points[0][1])
        (line,) = axes.plot([x for x, _ in points], [y for _, y in points], "o-", markersize=3, label=label)
        if index == 0:
            line.set(color="black", linewidth=2.5, zorder=5)
    axes.set_xlim(0, _BPP_LIMIT)
    if metric == "ms_ssim":
        axes.set_ylim(max(min(lowest), 0.75), 1)
    if metric == "ssimulacra2":
        axes.set_ylim(max(min(lowest), 0), 100)  # what is below 0 nobody wants to look at
    axes.set_xlabel("bits per pixel (whole files)")
    axes.set_ylabel(METRIC_LABELS[metric] + (" [dB]" if metric in ("psnr", "psnr_hvs") else ""))
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="lower right")
    path = folder / f"{metric.replace('_', '-')}.png"
    figure.savefig(path, dpi=110)
    return path


def _anchor(name: str, curve: object) -> Anchor:
    if isinstance(curve, list):
        columns = {key: [float(point[key]) for point in curve] for key in curve[0]}
    elif isinstance(curve, dict):
        columns = {key: [float(value) for value in values] for key, values in curve.items()}
    else:
        msg = f"{name} is a {type(curve).__name__}"
        raise TypeError(msg)
    values = {metric: columns[key] for metric, keys in _ANCHOR_KEYS.items() for key in keys if key in columns}
    if any(len(column) != len(columns["bpp"]) for column in values.values()):
        msg = f"{name} has arrays of different lengths"
        raise ValueError(msg)
    return Anchor(name, columns["bpp"], values)
