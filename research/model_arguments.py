"""Arguments of the commands that examine a model: images, how many of them, and the model."""

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


def model_parser(module: str, description: str) -> argparse.ArgumentParser:
    """Return a parser of a folder, ``--limit``, ``--model`` and ``--weights``."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description)
    parser.add_argument("directory", type=Path, metavar="DIR", help="folder of images, or one image")
    parser.add_argument("--limit", type=positive, metavar="N", help="take the first N images only")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--model", default=DEFAULT, metavar="NAME", help="the model (default: the plugin's)")
    chosen.add_argument("--weights", type=Path, metavar="FILE", help="unreleased weights instead")
    return parser


def chosen_weights(options: argparse.Namespace) -> Weights:
    """Return the chosen model.

    Raises:
        RncError: No model has that name, or the file is not a model.
    """
    return load(register(options.weights).model_id if options.weights else options.model)


def chosen_images(options: argparse.Namespace) -> Iterator[Image.Image]:
    """Yield the chosen images, RGB, with a progress bar on a terminal.

    Raises:
        OSError: An image cannot be read, or there is none.
        ValueError: An image is not 8-bit.
    """
    paths = find_photographs(options.directory)[: options.limit]
    yield from tqdm(map(load_photograph, paths), total=len(paths), unit="image", disable=None)
