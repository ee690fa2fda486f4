"""``python -m pillow_rnc.evaluation priming DIR``: what more or fewer silent steps of the decoder show.

The decoder looks at what all codes have said in several steps, of which the earlier ones show nothing.

Source: priming and diffusion of Johnston et al., "Improved lossy image compression with priming and spatially adaptive
bit rates for recurrent networks", CVPR 2018, section 3.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from time import process_time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import pillow_rnc
from pillow_rnc.evaluation.arguments import iteration_counts
from pillow_rnc.evaluation.metrics import score
from pillow_rnc.evaluation.model_arguments import chosen_pictures, chosen_weights, model_parser
from pillow_rnc.evaluation.report import number, table
from pillow_rnc.models.embedded.numpy_network import NumpyTiles
from pillow_rnc.models.embedded.numpy_weights import NetworkWeights
from pillow_rnc.models.runtime import CPU, runtime

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from pillow_rnc.models.weights import Weights

STEPS = (1, 2, 3, 4)
_GRID_PX = 16


class Look(NamedTuple):
    """What one look shows: MS-SSIM, PSNR-HVS in dB, and processor time in seconds."""

    ms_ssim: float
    psnr_hvs: float
    seconds: float


def measure(images: Iterable[Image.Image], weights: Weights, iterations: Sequence[int]) -> NDArray[np.float64]:
    """Return the fields of `Look`, float64 [pictures, steps, iterations, 3], for each number of steps after iterations.

    Up to 15 rows and columns at the bottom and at the right of a picture do not count.

    Raises:
        WeightsError: The weights do not fit their own configuration.
    """
    decoders = [NetworkWeights(replace(weights, config=replace(weights.config, decoder_steps=n))) for n in STEPS]
    return np.array([_looks(np.asarray(image), weights, decoders, iterations) for image in images])


def _looks(
    pixels: NDArray[np.uint8], weights: Weights, decoders: Sequence[NetworkWeights], iterations: Sequence[int]
) -> list[list[Look]]:
    height, width = (side - side % _GRID_PX for side in pixels.shape[:2])
    original = pixels[:height, :width]
    encoder = runtime(weights, CPU)(1, height, width)
    encoder.set_target(original[None])
    tiles = [NumpyTiles(decoder, 1, height, width) for decoder in decoders]
    found: list[list[Look]] = [[] for _ in tiles]
    for iteration in range(1, max(iterations) + 1):
        plane = encoder.encode()
        for looks, tile in zip(found, tiles, strict=True):
            tile.decode(plane)
            if iteration in iterations:
                start = process_time()
                shown = tile.pixels()[0]
                seconds = process_time() - start
                scores = score(original, np.rint(shown.clip(0, 255)).astype(np.uint8))
                looks.append(Look(scores.ms_ssim, scores.psnr_hvs, seconds))
    return found


def markdown(found: NDArray[np.float64], iterations: Sequence[int], trained: int) -> str:
    """Return a table of means over pictures: MS-SSIM and PSNR-HVS after iterations by steps, and time of a look."""
    rows = []
    for steps, looks in zip(STEPS, found.mean(0), strict=True):
        mark = ", as trained" * (steps == trained)
        cells = (f"{number(look[0], 4)} / {number(look[1], 2)}" for look in looks)
        rows.append([f"{steps}{mark}", *cells, number(float(looks[:, 2].mean()), 3)])
    return table(["Steps", *(f"after {k}" for k in iterations), "Seconds a look"], rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 2 bad usage."""
    options = _parser().parse_args(arguments)
    try:
        weights = chosen_weights(options)
        found = measure(chosen_pictures(options), weights, options.iterations)
    except (OSError, ValueError, pillow_rnc.RncError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    plural = "s" * (len(found) != 1)
    print(f"{weights.name}, {len(found)} picture{plural}; MS-SSIM / PSNR-HVS in dB, and processor time.\n")
    print(markdown(found, options.iterations, weights.config.decoder_steps))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = model_parser("priming", "Show what the decoder makes of the same codes in 1, 2, 3 and 4 steps.")
    parser.add_argument(
        "--iterations", type=iteration_counts, default=(1, 4, 8, 16), metavar="1,2,...", help="default: 1,4,8,16"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
