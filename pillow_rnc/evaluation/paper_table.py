"""``python -m pillow_rnc.evaluation table``: the paper's comparison, trained and measured again.

Four cells and three frameworks from one recipe, each for the same CPU time, on the same images, beside JPEG measured in
the same way. Complete runs are not trained again; a run that was killed resumes from its checkpoint, and so does every
run that is given more minutes.
"""

from __future__ import annotations

import argparse
import functools
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from tqdm import tqdm

from pillow_rnc.evaluation.curves import mean_curve
from pillow_rnc.evaluation.page_tables import label
from pillow_rnc.evaluation.paper_page import PaperComparison, markdown
from pillow_rnc.evaluation.paper_runs import CELLS, CODER_CROP_PX, Combination, measured, recipe_of
from pillow_rnc.evaluation.paper_values import JPEG
from pillow_rnc.evaluation.peer_measurements import PeerMeasurements
from pillow_rnc.evaluation.peers import PEERS
from pillow_rnc.evaluation.photographs import find_photographs, load_photograph
from pillow_rnc.models.config import Framework
from pillow_rnc.training.data import Photographs, load_photographs
from pillow_rnc.training.recipe import Recipe
from pillow_rnc.training.recurrent.paper_model import paper_config

if TYPE_CHECKING:
    from collections.abc import Sequence

_SECOND_SEED: tuple[tuple[str, str], ...] = (("gru", "one_shot"),)


def combinations(seed: int) -> list[Combination]:
    """Return all runs: the twelve, then one of them again from another seed, to measure the noise."""
    twelve = [Combination(cell, framework, seed) for cell in CELLS for framework in get_args(Framework)]
    return twelve + [one._replace(seed=seed + 1) for one in twelve if one[:2] in _SECOND_SEED]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 2 bad usage."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    try:
        comparison = compare(options)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    page = options.out / "table.md"
    page.write_text(markdown(comparison), encoding="utf-8")
    print(markdown(comparison))
    print(f"written: {page}", file=sys.stderr)
    return 0


def compare(options: argparse.Namespace) -> PaperComparison:
    """Train and measure whatever is not there yet.

    Raises:
        OSError: Images cannot be read, or results not be written.
        ValueError: The recipe is not valid, is not for the paper's network, or is not that of the runs in the folder.
    """
    recipe = Recipe.from_toml(options.recipe)
    paper_config(recipe)
    pictures = [load_photograph(path) for path in find_photographs(options.kodak)[: options.limit]]
    photographs = functools.cache(lambda: _photographs(options.data))
    runs = {}
    # `disable=None` draws the bar on a terminal only.
    for one in tqdm(combinations(recipe.seed), unit="run", disable=None):
        logging.getLogger(__name__).info("%s, seed %d", label(one), one.seed)
        folder = options.out / one.folder_name
        runs[one] = measured(recipe_of(recipe, one), photographs, pictures, folder, options.minutes)
    peers = {}
    for name in JPEG:
        curves = []
        for picture in pictures:
            measurements = PeerMeasurements(picture, PEERS[name], options.out / "peer-cache")
            curves.append(measurements.curve())
            measurements.write()
        peers[name] = mean_curve(curves)
    return PaperComparison(recipe, options.minutes, runs, peers, len(pictures))


def _photographs(source: Path) -> Photographs:
    return load_photographs(source, smallest_px=CODER_CROP_PX)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pillow_rnc.evaluation table", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photographs to train on, or a pack")
    parser.add_argument("--kodak", type=Path, required=True, metavar="DIR", help="images to measure on")
    parser.add_argument("--out", type=Path, default=Path("paper-table"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--minutes", type=float, default=2.0, help="CPU time of each run (default: %(default)s)")
    parser.add_argument(
        "--recipe",
        type=Path,
        default=Path("weights/recipes/paper-table.toml"),
        metavar="FILE",
        help="what all runs share (default: %(default)s)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="measure on the first N images only")
    return parser
