"""The page of the paper's comparison: one table, its caption, and how far our order agrees with the published one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, get_args

import numpy as np

from pillow_rnc.evaluation.curves import Metric, Point, area_under_curve
from pillow_rnc.evaluation.markdown_table import table
from pillow_rnc.evaluation.paper_runs import CELLS, CODER_SHARE, Combination, Measured, area_range
from pillow_rnc.evaluation.paper_values import HIGH_ENTROPY, JPEG, SMALL, WIDTH_BPP, Areas
from pillow_rnc.evaluation.peers import PEERS
from pillow_rnc.models.config import Framework
from pillow_rnc.training.recurrent.paper_model import paper_config

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pillow_rnc.training.recipe import Recipe

_CELL_LABELS = {
    "lstm": "LSTM", "associative_lstm": "Associative LSTM", "gru": "GRU", "residual_gru": "Residual GRU",
}  # fmt: skip
_FRAMEWORK_LABELS = {"one_shot": "one-shot", "additive": "additive", "residual_scaling": "residual scaling"}
_METRICS: tuple[Metric, Metric] = ("ms_ssim", "psnr_hvs")
_DIGITS = {"ms_ssim": 4, "psnr_hvs": 2}
_SETS = {"high-entropy tiles": HIGH_ENTROPY, "32x32 images": SMALL}


class PaperComparison(NamedTuple):
    """Everything that the page shows.

    Attributes:
        recipe: What all runs have in common.
        minutes: CPU time of each.
        runs: Those of the twelve, and others of another seed.
        peers: Mean curves by the name of the peer.
        pictures: How many images they were measured on.
    """

    recipe: Recipe
    minutes: float
    runs: Mapping[Combination, Measured]
    peers: Mapping[str, Sequence[Point]]
    pictures: int


AGREEMENT = (
    "Agreement with the published order (Spearman's rank correlation; 1 is the same order, 0 is chance; with so few "
    "combinations, less than about 0.7 cannot be told from chance):"
)


def label(combination: Combination) -> str:
    """Return the name of a combination in the table."""
    return f"{_CELL_LABELS[combination.cell]}, {_FRAMEWORK_LABELS[combination.framework]}"


def means(curve: Sequence[Point], recipe: Recipe) -> Areas:
    """Return the areas under a curve over the recipe's range of rates, divided by its width."""
    low, high = area_range(recipe)
    return Areas(*(area_under_curve(curve, metric, low, high).value / (high - low) for metric in _METRICS))


def rank_correlation(ours: Sequence[float], published: Sequence[float]) -> float:
    """Return Spearman's coefficient: 1 for the same order, -1 for the opposite one; nan for fewer than two."""
    if len(ours) < 2:
        return float("nan")
    first, second = (np.argsort(np.argsort(values)) for values in (ours, published))
    return float(np.corrcoef(first, second)[0, 1])


def markdown(comparison: PaperComparison) -> str:
    """Return table, caption and agreement."""
    return "\n\n".join([_table(comparison), _caption(comparison), _spread(comparison), _agreement(comparison)]) + "\n"


def _of_the_twelve(comparison: PaperComparison) -> dict[tuple[str, str], Measured]:
    seed = comparison.recipe.seed
    return {
        (cell, framework): comparison.runs[Combination(cell, framework, seed)]
        for cell in CELLS
        for framework in get_args(Framework)
    }


def _table(comparison: PaperComparison) -> str:
    header = ["Codec", "MS-SSIM", "coded", "PSNR-HVS", "coded"]
    header += [f"published, {name}" for name in _SETS]
    rows = []
    for key, run in _of_the_twelve(comparison).items():
        combination = Combination(key[0], key[1], comparison.recipe.seed)  # type: ignore[arg-type]
        plain, coded = means(run.plain, comparison.recipe), means(run.coded, comparison.recipe)
        published = [_published(values.get(key)) for values in _SETS.values()]
        rows.append([label(combination), *_interleaved(plain, coded), *published])
    for name, curve in comparison.peers.items():
        own = means(curve, comparison.recipe)
        published = [_published(JPEG.get(name))] * len(_SETS)
        rows.append([PEERS[name].label, "", _number(own, "ms_ssim"), "", _number(own, "psnr_hvs"), *published])
    return table(header, rows)


def _interleaved(plain: Areas, coded: Areas) -> list[str]:
    return [_number(areas, metric) for metric in _METRICS for areas in (plain, coded)]


def _number(areas: Areas, metric: Metric) -> str:
    return f"{getattr(areas, metric):.{_DIGITS[metric]}f}"


def _published(areas: Areas | None) -> str:
    if areas is None:
        return "-"
    mean = Areas(*(value / WIDTH_BPP for value in areas))
    return f"{_number(mean, 'ms_ssim')} / {_number(mean, 'psnr_hvs')}"


def _caption(comparison: PaperComparison) -> str:
    recipe, runs = comparison.recipe, _of_the_twelve(comparison).values()
    low, high = area_range(recipe)
    seen = [run.block_iterations / 1e6 for run in runs]
    steps = [run.steps for run in runs]
    count = comparison.pictures
    return (
        f"Mean of each metric over {low:g} to {high:g} bpp, which is the area under the mean curve of "
        f"{count} image{'s' * (count != 1)} divided by the width of that range; JPEG was measured over the same.\n"
        "*Coded*: at the ideal code length of an entropy coder of the published kind, trained on the codes of the run; "
        "before it at the rate of the plain bits.\n"
        f"Each run had {comparison.minutes:g} minutes of CPU time and its coder "
        f"{60 * CODER_SHARE * comparison.minutes:.0f} seconds: {min(steps)} to {max(steps)} steps, "
        f"{min(seen):.2f} to {max(seen):.2f} million block-iterations (16x16 blocks times iterations).\n"
        f"All runs share one recipe (`weights/recipes/{recipe.name}.toml`): the paper's network with its widths "
        f"divided by {paper_config(recipe).paper_divisor}, {recipe.model.iterations} iterations, L1, crops of "
        f"{recipe.crop_px}x{recipe.crop_px}, batches of {recipe.batch}, from noise.\n"
        "*Published*: MS-SSIM / PSNR-HVS areas over 0.125 to 2 bpp by their width, before entropy coding, from memory; "
        "a dash where none is remembered. They are of networks at full width after about a million steps, and of a "
        "wider range of rates: only their order can be compared."
    )


def _spread(comparison: PaperComparison) -> str:
    """Return what another seed changes, for each combination that has one."""
    lines = []
    for combination, run in comparison.runs.items():
        first = Combination(combination.cell, combination.framework, comparison.recipe.seed)
        if combination == first:
            continue
        one, other = (means(r.plain, comparison.recipe) for r in (comparison.runs[first], run))
        lines.append(
            f"{label(first)} with another seed: MS-SSIM {_number(other, 'ms_ssim')} instead of "
            f"{_number(one, 'ms_ssim')}, PSNR-HVS {_number(other, 'psnr_hvs')} instead of {_number(one, 'psnr_hvs')}."
        )
    return "\n".join(lines) or "No combination was trained with a second seed, so the noise is not known."


def _agreement(comparison: PaperComparison) -> str:
    runs = _of_the_twelve(comparison)
    lines = [AGREEMENT, ""]
    for name, values in _SETS.items():
        found = []
        for metric in _METRICS:
            ours = [getattr(means(runs[key].plain, comparison.recipe), metric) for key in values]
            theirs = [getattr(areas, metric) for areas in values.values()]
            found.append(f"{metric.upper().replace('_', '-')} {rank_correlation(ours, theirs):+.2f}")
        lines.append(f"- {name}, {len(values)} combinations: {', '.join(found)}")
    return "\n".join(lines)
