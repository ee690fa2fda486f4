"""Writes an evaluation as CSV, JSON and Markdown."""

from __future__ import annotations

import csv
import json
import math
from typing import TYPE_CHECKING, NamedTuple

from pillow_rnc.evaluation.codecs_used import codec_table, codecs_used
from pillow_rnc.evaluation.curves import (
    AREA_HIGH_BPP,
    AREA_LOW_BPP,
    METRICS,
    Area,
    Metric,
    Point,
    area_under_curve,
    bd_rate,
)
from pillow_rnc.evaluation.markdown_table import number, table
from pillow_rnc.evaluation.peers import PEERS
from pillow_rnc.evaluation.rate_distortion import (
    MATCHED_PEER,
    Evaluation,
    MatchedMean,
    matched_means,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

METRIC_LABELS: dict[Metric, str] = {
    "psnr": "PSNR",
    "ms_ssim": "MS-SSIM",
    "psnr_hvs": "PSNR-HVS",
    "ssimulacra2": "SSIMULACRA2",
}
DIGITS: dict[Metric, int] = {"psnr": 2, "ms_ssim": 4, "psnr_hvs": 2, "ssimulacra2": 2}

# Those that the codec is tuned for come first, the one that nobody trained for next.
_AREA_ORDER: tuple[Metric, ...] = ("ms_ssim", "psnr_hvs", "ssimulacra2", "psnr")


class Summary(NamedTuple):
    """One codec's mean curve in a few numbers."""

    label: str
    areas: dict[Metric, Area]
    bd_rates: dict[Metric, float]  # of our curve against this one, percent


def summaries(evaluation: Evaluation) -> list[Summary]:
    """Return area and Bjontegaard rate of every mean curve, ours first."""
    curves = evaluation.curves()
    ours = curves[evaluation.label]
    return [
        Summary(
            label,
            {metric: area_under_curve(curve, metric) for metric in METRICS},
            {metric: bd_rate(curve, ours, metric) for metric in METRICS},
        )
        for label, curve in curves.items()
    ]


def markdown(evaluation: Evaluation) -> str:
    """Return the tables and how they are to be read, as a section of a model card."""
    count = len(evaluation.pictures)
    parts = [
        f"## Evaluation: {evaluation.label}",
        (
            f"Means over {count} image{'s' * (count != 1)}; whole files are counted, headers included.\n"
            "PSNR, MS-SSIM and SSIMULACRA2 on 8-bit RGB, PSNR-HVS on BT.601 luma; PSNR and PSNR-HVS in dB."
        ),
        mean_table(evaluation.curves()[evaluation.label]),
    ]
    if evaluation.pictures[0].matched:
        parts += _matched_part(evaluation)
    if evaluation.curves().keys() - {evaluation.label}:
        parts += comparison(evaluation)
    parts += ["### Codecs", codec_table(evaluation)]
    if evaluation.skipped:
        names = "\n".join(f"- {skipped.name}: {skipped.reason}" for skipped in evaluation.skipped)
        parts += [f"### Skipped: {len(evaluation.skipped)}", names]
    return "\n\n".join(parts) + "\n"


def comparison(evaluation: Evaluation) -> list[str]:
    """Return the tables of areas and Bjontegaard rates beside the peers, as Markdown paragraphs."""
    entries = summaries(evaluation)
    return [
        "### Area under the mean curve",
        _area_table(entries),
        (
            f"Trapezoid of the mean curve over {AREA_LOW_BPP} to {AREA_HIGH_BPP} bpp.\n"
            "A curve that ends earlier is held at its last value, and one that starts later is continued by "
            "the line through its first two points; both widths are given in bpp."
        ),
        "### Bits of RNC at equal quality (BD-rate)",
        _bd_table(entries[1:]),
        (
            "Mean difference of log rate over the values that both mean curves reach; negative is fewer bits.\n"
            "MS-SSIM enters in dB."
        ),
    ]


def _matched_part(evaluation: Evaluation) -> list[str]:
    return [
        "### Against the best JPEG 4:2:0 of at most the same bytes, image by image",
        _matched_table(matched_means(evaluation.pictures)),
        (
            "Per image, the highest of JPEG's quality settings 1 to 100 (optimized Huffman tables) whose "
            "file is not larger than ours.\n"
            "*Images*: the number for which JPEG produces such a file; means and wins are over these images only."
        ),
    ]


def write_reports(evaluation: Evaluation, folder: Path) -> list[Path]:
    """Write ``points.csv``, ``mean.csv``, ``matched.csv``, ``evaluation.json``, ``model-card.md``.

    Returns:
        The files written.

    Raises:
        OSError: The folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [
        _write_csv(folder / "points.csv", ("picture", "codec", *Point._fields), _rows(evaluation)),
        _write_csv(
            folder / "mean.csv",
            ("codec", *Point._fields),
            ([name, *point] for name, curve in evaluation.curves().items() for point in curve),
        ),
        _write_csv(
            folder / "matched.csv",
            (
                "picture",
                *(f"{side}_{field}" for side in ("rnc", "jpeg420") for field in Point._fields),
            ),
            (
                [picture.name, *entry.ours, *(entry.jpeg or [""] * len(Point._fields))]
                for picture in evaluation.pictures
                for entry in picture.matched
            ),
        ),
    ]
    record = folder / "evaluation.json"
    record.write_text(json.dumps(as_json(evaluation), indent=1) + "\n", encoding="utf-8")
    card = folder / "model-card.md"
    card.write_text(markdown(evaluation), encoding="utf-8")
    return [*written, record, card]


def as_json(evaluation: Evaluation) -> dict[str, object]:
    """Return the evaluation as plain values; what is not a number becomes None."""
    summary = {
        entry.label: {
            "area": {metric: _finite(area.value) for metric, area in entry.areas.items()},
            "extrapolated_bpp": entry.areas["psnr"].extrapolated_bpp,
            "held_bpp": entry.areas["psnr"].held_bpp,
            "bd_rate_of_ours": {metric: _finite(value) for metric, value in entry.bd_rates.items()},
        }
        for entry in summaries(evaluation)
    }
    matched = [
        {
            "iterations": entry.iterations,
            "pictures": entry.pictures,
            "ours": point_record(entry.ours),
            "jpeg420": point_record(entry.jpeg),
            "wins": entry.wins,
        }
        for entry in matched_means(evaluation.pictures)
    ]
    pictures = {
        picture.name: {
            "width": picture.width,
            "height": picture.height,
            "ours": [point_record(point) for point in picture.ours],
            "peers": {name: [point_record(point) for point in curve] for name, curve in picture.peers.items()},
            "matched": [None if entry.jpeg is None else point_record(entry.jpeg) for entry in picture.matched],
        }
        for picture in evaluation.pictures
    }
    return {
        "label": evaluation.label,
        "codecs": [codec._asdict() for codec in codecs_used(evaluation)],
        "area_bpp": [AREA_LOW_BPP, AREA_HIGH_BPP],
        "summary": summary,
        "mean": {name: [point_record(point) for point in curve] for name, curve in evaluation.curves().items()},
        "matched_jpeg420": matched,
        "pictures": pictures,
        "skipped": {skipped.name: skipped.reason for skipped in evaluation.skipped},
    }


def point_record(point: Point) -> dict[str, float | None]:
    """Return a point as plain values; what is not a number becomes None."""
    return {name: _finite(value) for name, value in point._asdict().items()}


def mean_table(curve: Sequence[Point]) -> str:
    """Return rate and metrics of our curve as a Markdown table."""
    header = ["Iterations", "Bytes", "bpp", *(METRIC_LABELS[metric] for metric in METRICS)]
    rows = [
        [
            str(point.setting),
            number(point.file_bytes, 0),
            number(point.bpp, 3),
            *(number(getattr(point, metric), DIGITS[metric]) for metric in METRICS),
        ]
        for point in curve
    ]
    return table(header, rows)


def _matched_table(means: Sequence[MatchedMean]) -> str:
    header = ["Iterations", "Bytes", "bpp", "Images"]
    header += [f"{METRIC_LABELS[metric]} / {PEERS[MATCHED_PEER].label} (wins)" for metric in METRICS]
    rows = []
    for entry in means:
        row = [
            str(entry.iterations),
            number(entry.ours.file_bytes, 0),
            number(entry.ours.bpp, 3),
            str(entry.pictures),
        ]
        for metric in METRICS:
            digits = DIGITS[metric]
            ours = number(getattr(entry.ours, metric), digits)
            jpeg = number(getattr(entry.jpeg, metric), digits)
            row.append(f"{ours} / {jpeg} ({entry.wins[metric]})")
        rows.append(row)
    return table(header, rows)


def _area_table(entries: Sequence[Summary]) -> str:
    rows = []
    for entry in entries:
        area = entry.areas["psnr"]
        rows.append(
            [
                entry.label,
                *(number(entry.areas[metric].value, DIGITS[metric]) for metric in _AREA_ORDER),
                number(area.extrapolated_bpp, 3),
                number(area.held_bpp, 3),
            ]
        )
    header = ["Codec", *(METRIC_LABELS[metric] for metric in _AREA_ORDER), "Extrapolated below", "Held above"]
    return table(header, rows)


def _bd_table(entries: Sequence[Summary]) -> str:
    rows = [
        [
            entry.label,
            *("-" if math.isnan(entry.bd_rates[metric]) else f"{entry.bd_rates[metric]:+.1f} %" for metric in METRICS),
        ]
        for entry in entries
    ]
    return table(["Against", *(METRIC_LABELS[metric] for metric in METRICS)], rows)


def _rows(evaluation: Evaluation) -> Iterable[list[object]]:
    for picture in evaluation.pictures:
        for point in picture.ours:
            yield [picture.name, evaluation.label, *point]
        for name, curve in picture.peers.items():
            for point in curve:
                yield [picture.name, PEERS[name].label, *point]


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
