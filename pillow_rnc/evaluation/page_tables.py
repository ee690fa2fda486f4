"""What the page of the paper's comparison and that of the light network's have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from pillow_rnc.evaluation.paper_values import HIGH_ENTROPY, SMALL, Areas
from pillow_rnc.evaluation.report import DIGITS, METRIC_LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pillow_rnc.evaluation.curves import Metric
    from pillow_rnc.evaluation.paper_runs import Combination

_Result = TypeVar("_Result")

METRICS: tuple[Metric, Metric] = ("ms_ssim", "psnr_hvs")
PUBLISHED = {"high-entropy tiles": HIGH_ENTROPY, "32x32 images": SMALL}
"""Areas that the paper reports, by the images that it trained on."""
_AGREEMENT = (
    "Agreement with the published order (Spearman's rank correlation; 1 is the same order, 0 is chance; with so few "
    "combinations, less than about 0.7 cannot be told from chance):"
)
_CELL_LABELS = {
    "lstm": "LSTM", "associative_lstm": "Associative LSTM", "gru": "GRU", "residual_gru": "Residual GRU",
}  # fmt: skip
_FRAMEWORK_LABELS = {"one_shot": "one-shot", "additive": "additive", "residual_scaling": "residual scaling"}


def label(combination: Combination) -> str:
    """Return the name of a combination in the table."""
    return f"{_CELL_LABELS[combination.cell]}, {_FRAMEWORK_LABELS[combination.framework]}"


def of_seed(runs: Mapping[Combination, _Result], seed: int) -> dict[Combination, _Result]:
    """Return the runs of a seed; those of the recipe's are the twelve, or as many as there are of them."""
    return {one: result for one, result in runs.items() if one.seed == seed}


def number(areas: Areas, metric: Metric) -> str:
    """Return an area as the tables have it."""
    return f"{getattr(areas, metric):.{DIGITS[metric]}f}"


def interleaved(plain: Areas, coded: Areas) -> list[str]:
    """Return MS-SSIM of both, then PSNR-HVS of both."""
    return [number(areas, metric) for metric in METRICS for areas in (plain, coded)]


def pair(areas: Areas | None) -> str:
    """Return MS-SSIM and PSNR-HVS, or a dash for what is not known."""
    return "-" if areas is None else " / ".join(number(areas, metric) for metric in METRICS)


def conclusion(areas: Mapping[Combination, Areas], seed: int) -> str:
    """Return what another seed changes, and how far the order of the runs of this one agrees with the published one."""
    return f"{_spread(areas, seed)}\n\n{_agreement(areas, seed)}"


def _spread(areas: Mapping[Combination, Areas], seed: int) -> str:
    lines = []
    for combination, other in areas.items():
        first = areas.get(combination._replace(seed=seed))
        if combination.seed != seed and first is not None:
            found = [f"{METRIC_LABELS[m]} {number(other, m)} instead of {number(first, m)}" for m in METRICS]
            lines.append(f"{label(combination)}, with another seed: {', '.join(found)}.")
    return "\n".join(lines) or "No combination was trained with a second seed, so the noise is not known."


def _agreement(areas: Mapping[Combination, Areas], seed: int) -> str:
    ours = {combination[:2]: values for combination, values in of_seed(areas, seed).items()}
    lines = [_AGREEMENT, ""]
    for name, published in PUBLISHED.items():
        common = [key for key in published if key in ours]
        found = []
        for metric in METRICS:
            pairs = [[getattr(side[key], metric) for key in common] for side in (ours, published)]
            found.append(f"{METRIC_LABELS[metric]} {rank_correlation(*pairs):+.2f}")
        lines.append(f"- {name}, {len(common)} combinations: {', '.join(found)}")
    return "\n".join(lines)


def rank_correlation(ours: Sequence[float], published: Sequence[float]) -> float:
    """Return Spearman's coefficient: 1 for the same order, -1 for the opposite one; nan for fewer than two."""
    if len(ours) < 2:
        return float("nan")
    first, second = (np.argsort(np.argsort(values)) for values in (ours, published))
    return float(np.corrcoef(first, second)[0, 1])
