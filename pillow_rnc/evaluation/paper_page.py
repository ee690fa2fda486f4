"""The page of the paper's comparison: one table, its caption, and how far our order agrees with the published one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pillow_rnc.evaluation.curves import Point, area_under_curve
from pillow_rnc.evaluation.markdown_table import table
from pillow_rnc.evaluation.page_tables import METRICS, PUBLISHED, conclusion, interleaved, label, number, of_seed, pair
from pillow_rnc.evaluation.paper_runs import CODER_SHARE, Combination, Measured, area_range
from pillow_rnc.evaluation.paper_values import JPEG, WIDTH_BPP, Areas
from pillow_rnc.evaluation.peers import PEERS
from pillow_rnc.training.recurrent.paper_model import paper_config

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pillow_rnc.training.recipe import Recipe


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


def means(curve: Sequence[Point], recipe: Recipe) -> Areas:
    """Return the areas under a curve over the recipe's range of rates, divided by its width."""
    low, high = area_range(recipe)
    return Areas(*(area_under_curve(curve, metric, low, high).value / (high - low) for metric in METRICS))


def markdown(comparison: PaperComparison) -> str:
    """Return table, caption and agreement."""
    recipe = comparison.recipe
    plain = {one: means(run.plain, recipe) for one, run in comparison.runs.items()}
    return "\n\n".join([_table(comparison), _caption(comparison), conclusion(plain, recipe.seed)]) + "\n"


def _table(comparison: PaperComparison) -> str:
    header = ["Codec", "MS-SSIM", "coded", "PSNR-HVS", "coded"]
    header += [f"published, {name}" for name in PUBLISHED]
    rows = []
    for combination, run in of_seed(comparison.runs, comparison.recipe.seed).items():
        plain, coded = means(run.plain, comparison.recipe), means(run.coded, comparison.recipe)
        published = [_published(values.get(combination[:2])) for values in PUBLISHED.values()]
        rows.append([label(combination), *interleaved(plain, coded), *published])
    for name, curve in comparison.peers.items():
        own = means(curve, comparison.recipe)
        published = [_published(JPEG.get(name))] * len(PUBLISHED)
        rows.append([PEERS[name].label, "", number(own, "ms_ssim"), "", number(own, "psnr_hvs"), *published])
    return table(header, rows)


def _published(areas: Areas | None) -> str:
    return pair(areas and Areas(*(value / WIDTH_BPP for value in areas)))


def _caption(comparison: PaperComparison) -> str:
    recipe = comparison.recipe
    runs = of_seed(comparison.runs, recipe.seed).values()
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
