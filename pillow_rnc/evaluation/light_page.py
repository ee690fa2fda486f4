"""The page of the comparison of cells and frameworks in the light network, on whole `.rnc` files."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pillow_rnc.evaluation.curves import Point, area_under_curve
from pillow_rnc.evaluation.markdown_table import table
from pillow_rnc.evaluation.page_tables import METRICS, PUBLISHED, conclusion, interleaved, label, number, of_seed, pair
from pillow_rnc.evaluation.paper_values import JPEG, Areas
from pillow_rnc.evaluation.peers import PEERS
from pillow_rnc.evaluation.plain_bits import plain_curve
from pillow_rnc.evaluation.rate_distortion import MATCHED_PEER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pillow_rnc.evaluation.light_runs import LightResult
    from pillow_rnc.evaluation.paper_runs import Combination
    from pillow_rnc.training.recurrent.light_recipe import LightRecipe
    from pillow_rnc.training.recurrent.timed import Minutes

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
    return Areas(*(area_under_curve(curve, metric).value for metric in METRICS))


def markdown(comparison: LightComparison) -> str:
    """Return a table for each set of images, the caption, and how far the order agrees with the published one."""
    sets = list(next(iter(comparison.runs.values())).curves) if comparison.runs else []
    parts = [_table(comparison, name) for name in sets]
    plain = {one: areas(plain_curve(result.curves[_FIRST_SET])) for one, result in comparison.runs.items()}
    return "\n\n".join([*parts, _caption(comparison), conclusion(plain, comparison.recipe.seed)]) + "\n"


def _table(comparison: LightComparison, name: str) -> str:
    """Return the table of a set of images; that of Kodak has the published values beside ours."""
    published = PUBLISHED if name == _FIRST_SET else {}
    measured = ["Trained", "MS-SSIM", "coded", "PSNR-HVS", "coded", "Saved"]
    header = [name, *measured, *(f"published, {one}" for one in published)]
    rows = []
    for combination, result in of_seed(comparison.runs, comparison.recipe.seed).items():
        curve = result.curves[name]
        plain, coded = areas(plain_curve(curve)), areas(curve)
        saved = 1 - curve[-1].bpp / plain_curve(curve)[-1].bpp
        values = [pair(one.get(combination[:2])) for one in published.values()]
        trained = f"{result.block_iterations / 1e6:.2f}"
        rows.append([label(combination), trained, *interleaved(plain, coded), f"{100 * saved:.1f} %", *values])
    if name in comparison.peers:
        jpeg = areas(comparison.peers[name])
        numbers = ["", "", number(jpeg, "ms_ssim"), "", number(jpeg, "psnr_hvs"), ""]
        rows.append([PEERS[MATCHED_PEER].label, *numbers, *[pair(JPEG[MATCHED_PEER])] * len(published)])
    return table(header, rows)


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
