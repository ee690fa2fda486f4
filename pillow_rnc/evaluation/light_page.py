"""The page of the comparison of cells and frameworks in the light network, on whole `.rnc` files."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pillow_rnc.evaluation.curves import Metric, Point, area_under_curve
from pillow_rnc.evaluation.markdown_table import table
from pillow_rnc.evaluation.paper_page import AGREEMENT, label, rank_correlation
from pillow_rnc.evaluation.paper_values import HIGH_ENTROPY, JPEG, SMALL, Areas
from pillow_rnc.evaluation.peers import PEERS
from pillow_rnc.evaluation.plain_bits import plain_curve
from pillow_rnc.evaluation.rate_distortion import MATCHED_PEER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pillow_rnc.evaluation.light_runs import LightResult
    from pillow_rnc.evaluation.paper_runs import Combination
    from pillow_rnc.training.recurrent.light_recipe import LightRecipe
    from pillow_rnc.training.recurrent.timed import Minutes

_COMPARED: tuple[Metric, Metric] = ("ms_ssim", "psnr_hvs")
_DIGITS = {"ms_ssim": 4, "psnr_hvs": 2}
_PUBLISHED = {"high-entropy tiles": HIGH_ENTROPY, "32x32 images": SMALL}
_FIRST_SET = "Kodak"


class LightComparison(NamedTuple):
    """Everything that the page shows.

    Attributes:
        recipe: What all runs have in common.
        minutes: CPU time of each.
        runs: Those that are complete.
        peers: Mean curves of JPEG 4:2:0 by the name of the set of images; empty until they are measured.
    """

    recipe: LightRecipe
    minutes: Minutes
    runs: Mapping[Combination, LightResult]
    peers: Mapping[str, Sequence[Point]]


def areas(curve: Sequence[Point]) -> Areas:
    """Return the areas under a curve from 0.125 to 2 bpp."""
    return Areas(*(area_under_curve(curve, metric).value for metric in _COMPARED))


def markdown(comparison: LightComparison) -> str:
    """Return a table for each set of images, the caption, and how far the order agrees with the published one."""
    sets = list(next(iter(comparison.runs.values())).curves) if comparison.runs else []
    parts = [_table(comparison, name) for name in sets]
    return "\n\n".join([*parts, _caption(comparison), _spread(comparison), _agreement(comparison)]) + "\n"


def _of_the_twelve(comparison: LightComparison) -> dict[Combination, LightResult]:
    return {one: result for one, result in comparison.runs.items() if one.seed == comparison.recipe.seed}


def _table(comparison: LightComparison, name: str) -> str:
    """Return the table of a set of images; that of Kodak has the published values beside ours."""
    published = _PUBLISHED if name == _FIRST_SET else {}
    measured = ["Trained", "MS-SSIM", "coded", "PSNR-HVS", "coded", "Saved"]
    header = [name, *measured, *(f"published, {one}" for one in published)]
    rows = []
    for combination, result in _of_the_twelve(comparison).items():
        curve = result.curves[name]
        plain, coded = areas(plain_curve(curve)), areas(curve)
        saved = 1 - curve[-1].bpp / plain_curve(curve)[-1].bpp
        values = [_areas(one.get(combination[:2])) for one in published.values()]
        trained = f"{result.block_iterations / 1e6:.2f}"
        rows.append([label(combination), trained, *_numbers(plain, coded), f"{100 * saved:.1f} %", *values])
    if name in comparison.peers:
        jpeg = areas(comparison.peers[name])
        numbers = ["", "", _number(jpeg, "ms_ssim"), "", _number(jpeg, "psnr_hvs"), ""]
        rows.append([PEERS[MATCHED_PEER].label, *numbers, *[_areas(JPEG[MATCHED_PEER])] * len(published)])
    return table(header, rows)


def _numbers(plain: Areas, coded: Areas) -> list[str]:
    return [_number(one, metric) for metric in _COMPARED for one in (plain, coded)]


def _number(values: Areas, metric: Metric) -> str:
    return f"{getattr(values, metric):.{_DIGITS[metric]}f}"


def _areas(values: Areas | None) -> str:
    return "-" if values is None else " / ".join(_number(values, metric) for metric in _COMPARED)


def _range(values: Sequence[float], digits: int) -> str:
    low, high = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _caption(comparison: LightComparison) -> str:
    if not comparison.runs:
        return "No run is complete."
    runs, minutes = comparison.runs.values(), comparison.minutes
    return (
        "Area under the mean curve from 0.125 to 2 bpp, at plain bits (0.125 bpp for each iteration) and *coded*, at "
        "the bytes of whole files.\n"
        "*Saved*: by entropy coding, headers included, in all iterations together.\n"
        f"Each codec had {minutes.codec:g} minutes of CPU time and its entropy network {minutes.entropy:g}: "
        f"{_range([run.steps for run in runs], 0)} steps; *Trained*: million block-iterations. Entropy networks: "
        f"{_range([run.entropy_steps for run in runs], 0)} steps on the codes of "
        f"{_range([run.crops for run in runs], 0)} crops.\n"
        "*Published*: MS-SSIM / PSNR-HVS areas before entropy coding, quoted from memory; a dash marks values not "
        "remembered."
    )


def _spread(comparison: LightComparison) -> str:
    """Return what another seed changes."""
    lines = []
    for combination, result in comparison.runs.items():
        first = comparison.runs.get(combination._replace(seed=comparison.recipe.seed))
        if combination.seed == comparison.recipe.seed or first is None:
            continue
        one, other = (areas(plain_curve(r.curves[_FIRST_SET])) for r in (first, result))
        lines.append(f"{label(combination)}, with another seed: {_areas(other)} instead of {_areas(one)}.")
    return "\n".join(lines) or "No combination was trained with a second seed, so the noise is not known."


def _agreement(comparison: LightComparison) -> str:
    ours = {
        combination[:2]: areas(plain_curve(result.curves[_FIRST_SET]))
        for combination, result in _of_the_twelve(comparison).items()
    }
    lines = [AGREEMENT, ""]
    for name, values in _PUBLISHED.items():
        common = [key for key in values if key in ours]
        found = []
        for metric in _COMPARED:
            pairs = [[getattr(side[key], metric) for key in common] for side in (ours, values)]
            found.append(f"{metric.upper().replace('_', '-')} {rank_correlation(*pairs):+.2f}")
        lines.append(f"- {name}, {len(common)} combinations: {', '.join(found)}")
    return "\n".join(lines)
