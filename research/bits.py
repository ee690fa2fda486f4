"""``python -m pillow_rnc.evaluation bits DIR``: where the bytes of files go, and what each context saves."""

from __future__ import annotations

import io
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import pillow_rnc
from pillow_rnc.container import reader
from pillow_rnc.entropy.tile_coder import decode_tile
from pillow_rnc.evaluation.model_arguments import chosen_pictures, chosen_weights, model_parser
from research.bits_page import markdown
from research.code_lengths import BIT_LENGTHS, ENTRIES, CodePrices
from research.code_tasks import Task, chroma_of, network_of, pass_of, tasks_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import ArrayLike, NDArray
    from PIL import Image

    from pillow_rnc.models.weights import Weights
    from research.code_lengths import Input

VIEWS: dict[str, tuple[Input, ...]] = {
    "all inputs": (),
    "no earlier passes of the iteration": ("passes",),
    "recurrent state reset every iteration": ("memory",),
    "no tallies": ("tallies",),
    "no earlier iterations": ("earlier iterations",),
    "none of these": ("passes", "earlier iterations"),
}
"""What is withheld, by name in the tables; the first one withholds nothing."""


@dataclass(slots=True)
class Bits:
    """Sums over pictures. T iterations, P passes, C code channels, of which the first M have probabilities.

    Attributes:
        pictures: How many there are.
        pixels: Of all of them.
        file_bytes: Of all files cut after each iteration, int64 [T].
        cells: Blocks of 8x8 pixels of all tiles; tiles overlap and are padded.
        channels: C.
        lengths: Ideal code length in bits by iteration, pass, task, and luma or chroma, float64 [T, P + 1, 5, 2]; the
            last "pass" are the signs, of one bit each.
        counts: By view, how often told bits of each value met each entry of the table of probabilities,
            int64 [T, M, P, 2, 256].
    """

    pictures: int
    pixels: int
    file_bytes: NDArray[np.int64]
    cells: int
    channels: int
    lengths: NDArray[np.float64]
    counts: dict[str, NDArray[np.int64]]


def measure(images: Iterable[Image.Image], weights: Weights, *, ablate: bool = True) -> Bits:
    """Return what the bits of pictures are spent on, all iterations.

    Args:
        images: RGB.
        weights: The model, of the embedded framework.
        ablate: Price the codes with inputs withheld, too.

    Raises:
        RncOptionError: The model learns its codes, so that there is no telling what they say.
    """
    config = weights.config
    if config.framework != "embedded":
        raise pillow_rnc.RncOptionError(f"model {weights.name!r} is of framework {config.framework!r}, not 'embedded'")
    network, prices = network_of(weights), CodePrices(weights)
    t, m, passes = config.iterations, config.modelled_channels, weights.entropy_model.passes
    chroma = chroma_of(network)
    views = VIEWS if ablate else dict(list(VIEWS.items())[:1])
    bits = Bits(
        0, 0, np.zeros(t, np.int64), 0, config.code_channels, np.zeros((t, len(passes) + 1, len(Task), 2)),
        {view: np.zeros((t, m, len(passes), 2, ENTRIES), np.int64) for view in views},
    )  # fmt: skip
    for image in images:
        bits.pictures += 1
        bits.pixels += image.width * image.height
        file = io.BytesIO()
        image.save(file, "RNC", iterations=t, model=weights.model_id.hex())
        said = pillow_rnc.info(io.BytesIO(file.getvalue()))
        bits.file_bytes += said["bytes_before_iterations"] + np.cumsum(said["bytes_per_iteration"])
        for codes in codes_in(file.getvalue(), weights):
            bits.cells += codes[0, 0].size
            tasks, by_pass = tasks_of(network, codes), pass_of(passes, *codes.shape[1:])
            iteration, channel, *cell = told = np.nonzero(tasks[:, :m])
            place = iteration, by_pass[channel, *cell], tasks[told], chroma[iteration, channel]
            for view, withheld in views.items():
                entries = prices.entries(codes, withheld)[told]
                _add(bits.counts[view], (iteration, channel, place[1], codes[told], entries))
                if not withheld:
                    _add(bits.lengths, place, BIT_LENGTHS[codes[told], entries])
            iteration, sign = np.nonzero(tasks[:, m:])[:2]
            _add(bits.lengths, (iteration, len(passes), Task.SIGN, chroma[iteration, m + sign]))
    return bits


def _add(sums: NDArray[Any], place: tuple[ArrayLike, ...], amounts: NDArray[Any] | None = None) -> None:
    """Add amounts, or 1, at every place; `numpy.add.at` takes many times as long."""
    flat = np.ravel_multi_index([np.asarray(one, np.intp) for one in place], sums.shape)
    sums += np.bincount(flat, amounts, sums.size).reshape(sums.shape).astype(sums.dtype)


def codes_in(file: bytes, weights: Weights) -> Iterator[NDArray[np.uint8]]:
    """Yield the codes of each tile of a file, uint8 [T, C, h, w]."""
    parsed = reader.parse(file)
    for index, tile in enumerate(parsed.header.grid):
        shape = parsed.header.code_shape(tile)
        segments = [unit[index] for unit in parsed.units]
        yield decode_tile(segments, weights.entropy_model, (shape.height, shape.width), tile=index)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 2 bad usage."""
    options = _parser().parse_args(arguments)
    try:
        weights = chosen_weights(options)
        bits = measure(chosen_pictures(options), weights, ablate=not options.plain)
    except (OSError, ValueError, pillow_rnc.RncError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(markdown(bits, weights.name))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = model_parser(
        "bits",
        "Tell what the bits of files say, how many the entropy network saves, and what each of its inputs is good for.",
    )
    parser.add_argument("--plain", action="store_true", help="withhold nothing: a sixth of the time")
    return parser


if __name__ == "__main__":
    sys.exit(main())
