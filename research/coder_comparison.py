"""``python -m research.coder_comparison --data DATA --minutes N``: what exact and parallel coding costs.

Trains the published entropy coder, which is serial and works in floats, on the codes of a model, and prints its ideal
code length beside that of the model's own entropy network, on pictures that neither has learned from.
Both are asked for the bits that are told, and for no others. Ours takes one bit for each sign; the published coder may
foresee them.
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
from research.code_lengths import told_bits
from research.coder_training import CoderTraining, train_coder
from research.published_coder import PublishedCoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pillow_rnc.entropy.model import EntropyModel
    from pillow_rnc.models.weights import Weights

    Pixels = NDArray[np.uint8]

_CROP_PX = 128
_BATCH = 2
_GRID_PX = 16


class Price(NamedTuple):
    """Ideal code lengths in bits per pixel of each iteration, means over the pictures held back, float64 [T]."""

    ours: NDArray[np.float64]
    published: NDArray[np.float64]
    pictures: int
    training: CoderTraining


def codes_of(weights: Weights, pixels: Pixels) -> NDArray[np.uint8]:
    """Return the codes uint8 [T, N, C, h, w] of pictures uint8 [N, H, W, 3], both sides multiples of 16."""
    tiles = runtime(weights, CPU)(*pixels.shape[:3])
    tiles.set_target(pixels)
    return np.stack([tiles.encode() for _ in range(weights.config.iterations)])


def own_code_lengths(model: EntropyModel, codes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the ideal code length in bits of each iteration by the integer network of a model, float64 [T].

    Args:
        model: The entropy network.
        codes: Of one picture, uint8 [T, C, h, w], values 0 or 1.
    """
    state, told, previous = model.start(*codes.shape[2:]), model.coded_bits(*codes.shape[2:]), None
    parts: list[NDArray[np.float64]] = []

    def priced(k: NDArray[np.uint16], bits: NDArray[np.uint8]) -> NDArray[np.uint8]:
        p = k / 65536
        parts.append(-np.log2(np.where(bits == 1, p, 1 - p)))
        return bits

    lengths = []
    for t, plane in enumerate(codes):
        state.start_iteration(t, previous)
        code_plane(model.passes, state, told, plane.copy(), priced)
        lengths.append(np.concatenate(parts).sum())
        parts.clear()
        previous = told.finish(plane)
    return np.array(lengths)


def compare(weights: Weights, training: list[Pixels], held_back: list[Pixels], minutes: float) -> Price:
    """Train the published coder for so many minutes of processor time; return what both coders need.

    Args:
        weights: The model whose codes they are.
        training: Pictures uint8 [H, W, 3] to train on, 128 pixels a side at least.
        held_back: Pictures to measure on; up to 15 rows and columns at the bottom and at the right do not count.
        minutes: How long to train; making the codes counts.
    """
    torch.manual_seed(0)
    config = weights.config
    sampler = CropSampler(training, crop_px=_CROP_PX, seed=0)

    def batch(step: int) -> torch.Tensor:
        pixels = sampler.batch(step, _BATCH).permute(0, 2, 3, 1).to(torch.uint8).numpy()
        return _told(weights, codes_of(weights, pixels))

    coder = PublishedCoder(config.iterations, config.code_channels)
    report = train_coder(coder, batch, 60 * minutes)
    ours, published = [], []
    for picture in held_back:
        height, width = (side - side % _GRID_PX for side in picture.shape[:2])
        codes = codes_of(weights, picture[None, :height, :width])
        ours.append(own_code_lengths(weights.entropy_model, codes[:, 0]) / (height * width))
        with torch.no_grad():
            published.append(coder.code_lengths(_told(weights, codes))[:, 0].double().numpy() / (height * width))
    return Price(np.mean(ours, 0), np.mean(published, 0), len(held_back), report)


def _told(weights: Weights, codes: NDArray[np.uint8]) -> torch.Tensor:
    """Return codes [T, N, C, h, w] as bits +-1, float32, and 0 where they are not told."""
    told = np.stack([told_bits(weights.entropy_model, codes[:, n]) for n in range(codes.shape[1])], 1)
    return torch.from_numpy(told * (2 * codes.astype(np.float32) - 1))


def markdown(price: Price, minutes: float) -> str:
    """Return the comparison as a table, iteration by iteration, with how it was made."""
    rows = [(f"{t + 1}", a, b) for t, (a, b) in enumerate(zip(price.ours, price.published, strict=True))]
    rows.append(("all", price.ours.sum(), price.published.sum()))
    lines = [f"| {name} | {a:.4f} | {b:.4f} | {100 * (b / a - 1):+.1f} % |" for name, a, b in rows]
    return "\n".join(
        [
            "| Iteration | Ours, bpp | Published coder, bpp | It needs |",
            "|---|---:|---:|---:|",
            *lines,
            "",
            (
                f"Ideal code lengths of the bits that are told, means over {price.pictures} pictures held back. "
                f"The published coder was trained for {minutes:g} minutes of processor time: "
                f"{price.training.steps} steps, {price.training.bits_seen / 1e6:.0f} million code bits."
            ),
        ]
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m research.coder_comparison", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of photographs, or a pack of one")
    parser.add_argument("--minutes", type=float, required=True, help="processor time to train for")
    parser.add_argument("--model", default=DEFAULT, help="whose codes; default: the released default")
    parser.add_argument("--limit", type=int, help="measure on the first so many of the pictures held back")
    args = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    photographs = load_photographs(args.data, smallest_px=_CROP_PX)
    if not photographs.held_back:
        parser.error(f"{args.data}: no picture of it is held back, so there is none to measure on")
    held_back = photographs.held_back[: args.limit]
    print(markdown(compare(load(args.model), photographs.training, held_back, args.minutes), args.minutes))


if __name__ == "__main__":
    main()
