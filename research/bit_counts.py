"""Where the bits of files go: counts by iteration, pass, kind and probability, with and without some inputs."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import pillow_rnc
from pillow_rnc.container import reader
from pillow_rnc.entropy.tile_coder import decode_tile
from research.bit_kinds import BitKind, chroma_of, kinds_of, network_of, pass_of
from research.code_lengths import BIT_LENGTHS, ENTRIES, CodeLengths

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import ArrayLike, NDArray
    from PIL import Image

    from pillow_rnc.models.weights import Weights
    from research.code_lengths import Input

VIEWS: dict[str, tuple[Input, ...]] = {
    "all inputs": (),
    "no earlier passes of the iteration": ("passes",),
    "recurrent state reset every iteration": ("memory",),
    "no accumulators": ("accumulators",),
    "no earlier iterations": ("earlier iterations",),
    "none of these": ("passes", "earlier iterations"),
}
"""Inputs withheld from the entropy network, by name in the tables; the first one withholds none."""


@dataclass(slots=True)
class Bits:
    """Sums over images. T iterations, P passes, C code channels, of which the first M are context-coded.

    Attributes:
        pictures: How many images there are.
        pixels: Of all of them.
        file_bytes: Of all files truncated after each iteration, int64 [T].
        cells: Blocks of 8x8 pixels of all tiles; tiles overlap and are padded.
        channels: C.
        lengths: Ideal code length in bits by iteration, pass, kind, and luma or chroma, float64 [T, P + 1, 5, 2]; the
            last "pass" are the signs, of one bit each.
        counts: By view, how often coded bits of each value met each entry of the table of probabilities,
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
    """Return the counts of images, all iterations.

    Args:
        images: RGB.
        weights: The model, of the embedded family.
        ablate: Also measure code lengths with inputs withheld.

    Raises:
        RncOptionError: The model is not of the embedded family, so that its bits have no known meaning.
    """
    config = weights.config
    network, lengths = network_of(weights), CodeLengths(weights)
    t, m, passes = config.iterations, config.context_coded_channels, weights.entropy_model.passes
    chroma = chroma_of(network)
    views = VIEWS if ablate else dict(list(VIEWS.items())[:1])
    bits = Bits(
        0, 0, np.zeros(t, np.int64), 0, config.code_channels, np.zeros((t, len(passes) + 1, len(BitKind), 2)),
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
            kinds, by_pass = kinds_of(network, codes), pass_of(passes, *codes.shape[1:])
            iteration, channel, *cell = coded = np.nonzero(kinds[:, :m])
            place = iteration, by_pass[(channel, *cell)], kinds[coded], chroma[iteration, channel]
            for view, withheld in views.items():
                entries = lengths.entries(codes, withheld)[coded]
                _add(bits.counts[view], (iteration, channel, place[1], codes[coded], entries))
                if not withheld:
                    _add(bits.lengths, place, BIT_LENGTHS[codes[coded], entries])
            iteration, sign = np.nonzero(kinds[:, m:])[:2]
            _add(bits.lengths, (iteration, len(passes), BitKind.SIGN, chroma[iteration, m + sign]))
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
