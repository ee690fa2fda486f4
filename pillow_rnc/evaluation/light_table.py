"""``python -m pillow_rnc.evaluation light-table``: cells and frameworks in the light network, on whole `.rnc` files.

Four cells and three frameworks, each trained for the same CPU time, codec and entropy network, and measured on
whole files beside JPEG. Stop it at any time and run it again: it goes on from the last checkpoint. The page is written
anew after each run.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from pillow_rnc.evaluation.curves import mean_curve
from pillow_rnc.evaluation.light_page import LightComparison, markdown
from pillow_rnc.evaluation.light_runs import (
    LightResult,
    Plan,
    curve_as_json,
    curve_from_json,
    held_out_crops,
    point_of,
    run,
)
from pillow_rnc.evaluation.paper_runs import Combination
from pillow_rnc.evaluation.peers import PEERS
from pillow_rnc.evaluation.photographs import find_photographs, load_photograph
from pillow_rnc.evaluation.rate_distortion import MATCHED_PEER
from pillow_rnc.plugin.file_io import atomic_write
from pillow_rnc.training.crops import VALIDATION_PX
from pillow_rnc.training.data import load_photographs
from pillow_rnc.training.recurrent.light_recipe import LightRecipe
from pillow_rnc.training.recurrent.timed import Minutes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from PIL import Image

    from pillow_rnc.evaluation.curves import Point
    from pillow_rnc.models.config import CellName, Framework

_log = logging.getLogger(__name__)
_FRAMEWORKS: tuple[Framework, ...] = ("residual_scaling", "one_shot", "additive")
_CELLS: tuple[CellName, ...] = ("gru", "lstm", "residual_gru", "associative_lstm")
_RESULTS = "results.json"


def combinations(seed: int) -> list[Combination]:
    """Return the twelve, the framework of the released model first, then one of them from another seed."""
    twelve = [Combination(cell, framework, seed) for framework in _FRAMEWORKS for cell in _CELLS]
    return [*twelve, twelve[0]._replace(seed=seed + 1)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 2 bad usage."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%m-%d %H:%M:%S")
    torch.set_num_threads(1)
    try:
        comparison = compare(options)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(markdown(comparison), end="")
    return 0


def compare(options: argparse.Namespace) -> LightComparison:
    """Do what is not done yet, and keep results and page up to date.

    Raises:
        OSError: Images cannot be read, or results not be written.
        ValueError: The folder holds results of other choices.
    """
    recipe, minutes = LightRecipe(**_pairs(options.set)), Minutes(options.minutes, options.entropy_minutes)
    choices = json.loads(json.dumps({"recipe": asdict(recipe), "minutes": minutes._asdict(), "limit": options.limit}))
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / _RESULTS
    record: dict[str, Any] = {"choices": choices, "peers": {}, "runs": {}}
    if path.exists():
        record = json.loads(path.read_text(encoding="utf-8"))
        if record["choices"] != choices:
            msg = f"{path}: of other choices, {record['choices']}; take another folder"
            raise ValueError(msg)
    images = functools.cache(lambda: load_photographs(options.data, smallest_px=VALIDATION_PX))
    kodak = [load_photograph(one) for one in find_photographs(options.kodak)[: options.limit]]
    pictures = {"Kodak": kodak, "held-out crops": held_out_crops(images())[: options.limit]}
    plan = Plan(recipe, minutes, images, compiled=not options.no_compile)
    for one in combinations(recipe.seed):
        if one.folder_name not in record["runs"]:
            _log.info("%s", one.folder_name)
            record["runs"][one.folder_name] = run(plan, one, pictures, options.out / one.folder_name).as_json()
            _write(path, record)
    if not record["peers"]:
        record["peers"] = {name: curve_as_json(_jpeg_curve(some)) for name, some in pictures.items()}
        _write(path, record)
    return _comparison(record)


def _pairs(texts: Sequence[str]) -> dict[str, Any]:
    return {key: json.loads(value) for key, value in (text.split("=", 1) for text in texts)}


def _write(path: Path, record: dict[str, Any]) -> None:
    atomic_write(path, json.dumps(record, indent=1).encode())
    atomic_write(path.with_name("table.md"), markdown(_comparison(record)).encode())


def _comparison(record: dict[str, Any]) -> LightComparison:
    seed = record["choices"]["recipe"]["seed"]
    found = {one: record["runs"].get(one.folder_name) for one in combinations(seed)}
    return LightComparison(
        LightRecipe(**record["choices"]["recipe"]),
        Minutes(**record["choices"]["minutes"]),
        {one: LightResult.from_json(values) for one, values in found.items() if values},
        {name: curve_from_json(curve) for name, curve in record["peers"].items()},
    )


def _jpeg_curve(pictures: Sequence[Image.Image]) -> list[Point]:
    """Return the mean curve of JPEG 4:2:0, at the settings of its curves elsewhere."""
    peer = PEERS[MATCHED_PEER]
    curves = []
    for picture in pictures:
        files = {setting: peer.encode(picture, setting) for setting in peer.curve_settings}
        curves.append([point_of(picture, peer.decode(file), len(file), at) for at, file in files.items()])
    return mean_curve(curves)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pillow_rnc.evaluation light-table", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="photographs to train on, or a pack")
    parser.add_argument("--kodak", type=Path, required=True, metavar="DIR", help="images to measure on")
    parser.add_argument("--out", type=Path, default=Path("light-table"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--minutes", type=float, default=12.0, help="CPU time of each codec (default: %(default)s)")
    parser.add_argument(
        "--entropy-minutes", type=float, default=3.5, help="CPU time of each entropy network (default: %(default)s)"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="measure on the first N images of each set only")
    parser.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="KEY=VALUE",
        help="change settings of the codec's recipe; values in JSON",
    )
    parser.add_argument(
        "--no-compile",
        action="store_true",
        help="do not compile the network: training is slower after the first minutes",
    )
    return parser
