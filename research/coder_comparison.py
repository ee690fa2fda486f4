"""``python -m research.coder_comparison --data DATA --minutes N``: the cost of exact and parallel coding.

Trains the published entropy coder, which is serial and works in floats, on the codes of a model, and prints its ideal
code length beside that of the model's own entropy network, on images that neither has learned from. Both code the same
bits: those that are not inferred. Ours takes one bit for each sign; the published coder may predict them.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from pillow_rnc.entropy.tile_coder import code_plane
from pillow_rnc.models.runtime import CPU, runtime
from pillow_rnc.models.weights import DEFAULT, load
from pillow_rnc.training.crops import CropSampler
from pillow_rnc.training.data import load_photographs
from pillow_rnc.training.recurrent.coder_training import CoderTraining, train_coder
from pillow_rnc.training.recurrent.published_coder import PublishedCoder
from research.code_lengths import coded_bits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pillow_rnc.entropy.model import EntropyModel
    from pillow_rnc.models.weights import Weights

    Pixels = NDArray[np.uint8]

_CROP_PX = 128
_BATCH = 2
_GRID_PX = 16


class CoderComparison(NamedTuple):
    """Ideal code lengths in bits per pixel of each iteration, means over the held-out images, float64 [T]."""

    ours: NDArray[np.float64]
    published: NDArray[np.float64]
    pictures: int
    training: CoderTraining


def codes_of(weights: Weights, pixels: Pixels) -> NDArray[np.uint8]:
    """Return the codes uint8 [T, N, C, h, w] of images uint8 [N, H, W, 3], both sides multiples of 16."""
    tiles = runtime(weights, CPU)(*pixels.shape[:3])
    tiles.set_target(pixels)
    return np.stack([tiles.encode() for _ in range(weights.config.iterations)])


def own_code_lengths(model: EntropyModel, codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the ideal code length in bits of each iteration by the integer network of a model, float64 [T].

    Args:
        model: The entropy network.
        codes: Of one image, uint8 [T, C, h, w], values 0 or 1.
    """
    state, coded_bits, previous = model.start(*codes.shape[2:]), model.coded_bits(*codes.shape[2:]), None
    parts: list[NDArray[np.float64]] = []

    def measured(k: NDArray[np.uint16], bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        p = k / 65536
        parts.append(-np.log2(np.where(bits == 1, p, 1 - p)))
        return bits

    lengths = []
    for t, plane in enumerate(codes):
        state.start_iteration(t, previous)
        code_plane(model.passes, state, coded_bits, plane.copy(), measured)
        lengths.append(np.concatenate(parts).sum())
        parts.clear()
        previous = coded_bits.finish(plane)
    return np.array(lengths)


def compare(weights: Weights, training: list[Pixels], held_out: list[Pixels], minutes: float) -> CoderComparison:
    """Train the published coder for this many minutes of CPU time; return the code lengths of both coders.

    Args:
        weights: The model whose codes they are.
        training: Images uint8 [H, W, 3] to train on, 128 pixels a side at least.
        held_out: Images to measure on; up to 15 rows and columns at the bottom and at the right do not count.
        minutes: How long to train; making the codes counts.
    """
    torch.manual_seed(0)
    config = weights.config
    sampler = CropSampler(training, crop_px=_CROP_PX, seed=0)

    def batch(step: int) -> torch.Tensor:
        pixels = sampler.batch(step, _BATCH).permute(0, 2, 3, 1).to(torch.uint8).numpy()
        return _with_inferred_as_zero(weights, codes_of(weights, pixels))

    coder = PublishedCoder(config.iterations, config.code_channels)
    report = train_coder(coder, batch, 60 * minutes)
    ours, published = [], []
    for image in held_out:
        height, width = (side - side % _GRID_PX for side in image.shape[:2])
        codes = codes_of(weights, image[None, :height, :width])
        ours.append(own_code_lengths(weights.entropy_model, codes[:, 0]) / (height * width))
        with torch.no_grad():
            published.append(
                coder.code_lengths(_with_inferred_as_zero(weights, codes))[:, 0].double().numpy() / (height * width)
            )
    return CoderComparison(np.mean(ours, 0), np.mean(published, 0), len(held_out), report)


def _with_inferred_as_zero(weights: Weights, codes: NDArray[np.uint8]) -> torch.Tensor:
    """Return codes [T, N, C, h, w] as bits +-1, float32, and 0 where they are inferred."""
    coded = np.stack([coded_bits(weights.entropy_model, codes[:, n]) for n in range(codes.shape[1])], 1)
    return torch.from_numpy(coded * (2 * codes.astype(np.float32) - 1))


def markdown(comparison: CoderComparison, minutes: float) -> str:
    """Return the comparison as a table, iteration by iteration, with how it was made."""
    rows = [(f"{t + 1}", a, b) for t, (a, b) in enumerate(zip(comparison.ours, comparison.published, strict=True))]
    rows.append(("all", comparison.ours.sum(), comparison.published.sum()))
    lines = [f"| {name} | {a:.4f} | {b:.4f} | {100 * (b / a - 1):+.1f} % |" for name, a, b in rows]
    return "\n".join(
        [
            "| Iteration | Ours, bpp | Published coder, bpp | It needs |",
            "|---|---:|---:|---:|",
            *lines,
            "",
            (
                f"Ideal code lengths of the coded bits, means over {comparison.pictures} held-out images. "
                f"The published coder was trained for {minutes:g} minutes of CPU time: "
                f"{comparison.training.steps} steps, {comparison.training.bits_seen / 1e6:.0f} million code bits."
            ),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m research.coder_comparison", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs, or a pack of one")
    parser.add_argument("--minutes", type=float, required=True, help="minutes of CPU time to train for")
    parser.add_argument("--model", default=DEFAULT, help="whose codes; default: the released default")
    parser.add_argument("--limit", type=int, help="measure on the first N held-out images")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    photographs = load_photographs(args.data, smallest_px=_CROP_PX)
    if not photographs.held_out:
        parser.error(f"{args.data}: no image of it is held out, so there is none to measure on")
    held_out = photographs.held_out[: args.limit]
    print(markdown(compare(load(args.model), photographs.training, held_out, args.minutes), args.minutes))


if __name__ == "__main__":
    main()
