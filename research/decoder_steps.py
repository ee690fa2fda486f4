"""``python -m research.decoder_steps DIR``: quality and time of more or fewer steps of the decoder.

The decoder takes several steps for one reconstruction, and only the last one has an output.

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
from pillow_rnc.evaluation.markdown_table import number, table
from pillow_rnc.evaluation.metrics import score
from pillow_rnc.models.embedded.numpy_network import NumpyTiles
from pillow_rnc.models.embedded.numpy_weights import NetworkWeights, can_run
from pillow_rnc.models.runtime import CPU, runtime
from research.model_arguments import chosen_images, chosen_weights, model_parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from PIL import Image

    from pillow_rnc.models.config import EmbeddedConfig
    from pillow_rnc.models.weights import Weights

STEPS = (1, 2, 3, 4)
_GRID_PX = 16


class Reconstruction(NamedTuple):
    """One reconstruction: MS-SSIM, PSNR-HVS in dB, and CPU time in seconds."""

    ms_ssim: float
    psnr_hvs: float
    seconds: float


def config_of(weights: Weights) -> EmbeddedConfig:
    """Return the configuration of a model that the NumPy runtime runs.

    Raises:
        RncOptionError: It does not run the model.
    """
    if not can_run(weights.config):
        raise pillow_rnc.RncOptionError(f"model {weights.name!r}: the NumPy runtime does not run it")
    return weights.config


def measure(images: Iterable[Image.Image], weights: Weights, iterations: Sequence[int]) -> NDArray[np.float64]:
    """Return the fields of `Reconstruction`, float64 [images, steps, iterations, 3].

    Up to 15 rows and columns at the bottom and at the right of an image do not count.

    Raises:
        RncOptionError: The NumPy runtime does not run the model.
        WeightsError: The weights do not fit their own configuration.
    """
    config = config_of(weights)
    decoders = [NetworkWeights(weights, replace(config, decoder_steps=n)) for n in STEPS]
    return np.array([_reconstructions(np.asarray(image), weights, decoders, iterations) for image in images])


def _reconstructions(
    pixels: NDArray[np.uint8], weights: Weights, decoders: Sequence[NetworkWeights], iterations: Sequence[int]
) -> list[list[Reconstruction]]:
    height, width = (side - side % _GRID_PX for side in pixels.shape[:2])
    original = pixels[:height, :width]
    encoder = runtime(weights, CPU)(1, height, width)
    encoder.set_target(original[None])
    tiles = [NumpyTiles(decoder, 1, height, width) for decoder in decoders]
    found: list[list[Reconstruction]] = [[] for _ in tiles]
    for iteration in range(1, max(iterations) + 1):
        plane = encoder.encode()
        for reconstructions, tile in zip(found, tiles, strict=True):
            tile.decode(plane)
            if iteration in iterations:
                start = process_time()
                shown = tile.pixels()[0]
                seconds = process_time() - start
                scores = score(original, np.rint(shown.clip(0, 255)).astype(np.uint8))
                reconstructions.append(Reconstruction(scores.ms_ssim, scores.psnr_hvs, seconds))
    return found


def markdown(found: NDArray[np.float64], iterations: Sequence[int], trained: int) -> str:
    """Return a table of means over images: MS-SSIM and PSNR-HVS by steps and iterations, and time."""
    rows = []
    for steps, found_here in zip(STEPS, found.mean(0), strict=True):
        mark = ", as trained" * (steps == trained)
        cells = (f"{number(one[0], 4)} / {number(one[1], 2)}" for one in found_here)
        rows.append([f"{steps}{mark}", *cells, number(float(found_here[:, 2].mean()), 3)])
    return table(["Steps", *(f"after {k}" for k in iterations), "Seconds"], rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 2 bad usage."""
    options = _parser().parse_args(arguments)
    try:
        weights = chosen_weights(options)
        found = measure(chosen_images(options), weights, options.iterations)
    except (OSError, ValueError, pillow_rnc.RncError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    plural = "s" * (len(found) != 1)
    print(f"{weights.name}, {len(found)} image{plural}; MS-SSIM / PSNR-HVS in dB, and CPU time.\n")
    print(markdown(found, options.iterations, config_of(weights).decoder_steps))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = model_parser(
        "research.decoder_steps", "Show the quality of the same codes when the decoder takes 1, 2, 3 and 4 steps."
    )
    parser.add_argument(
        "--iterations", type=iteration_counts, default=(1, 4, 8, 16), metavar="1,2,...", help="default: 1,4,8,16"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
