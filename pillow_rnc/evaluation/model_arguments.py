"""What commands that look into a model ask for: pictures, how many of them, and the model."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from pillow_rnc.evaluation.arguments import positive
from pillow_rnc.evaluation.photographs import find_photographs, load_photograph
from pillow_rnc.models.weights import DEFAULT, load, register

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL import Image

    from pillow_rnc.models.weights import Weights


def model_parser(command: str, description: str) -> argparse.ArgumentParser:
    """Return a parser of a folder, ``--limit``, ``--model`` and ``--weights``."""
    parser = argparse.ArgumentParser(prog=f"python -m pillow_rnc.evaluation {command}", description=description)
    parser.add_argument("directory", type=Path, metavar="DIR", help="folder of pictures, or one picture")
    parser.add_argument("--limit", type=positive, metavar="N", help="take the first N pictures only")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--model", default=DEFAULT, metavar="NAME", help="whose codes (default: the plugin's choice)")
    chosen.add_argument("--weights", type=Path, metavar="FILE", help="weights that are not released, instead")
    return parser


def chosen_weights(options: argparse.Namespace) -> Weights:
    """Return the model that was asked for.

    Raises:
        RncError: There is none of that name, or the file is not that of a model.
    """
    return load(register(options.weights).model_id if options.weights else options.model)


def chosen_pictures(options: argparse.Namespace) -> Iterator[Image.Image]:
    """Yield the pictures that were asked for, RGB, with a bar on a terminal.

    Raises:
        OSError: A picture cannot be read, or there is none.
        ValueError: A picture is not 8-bit.
    """
    paths = find_photographs(options.directory)[: options.limit]
    yield from tqdm(map(load_photograph, paths), total=len(paths), unit="picture", disable=None)
