"""Networks at work on tiles whose images are wanted at 1/2, 1/4 or 1/8 of their size.

At 1/8 and 1/4, an image of the embedded family comes from the intervals of its coefficients alone: each coefficient is
placed in its interval without the decoder network, and each sample, the mean of 8x8 or 4x4 pixels, is a sum over the
coefficients of the block and of those around it. At 1/2, and in all other models, the network draws the tile, and the
means of its pixels are taken.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

import numpy as np

from pillow_rnc.entropy.schedule import COEFFICIENTS, MEANS, union
from pillow_rnc.models.basis import BLOCK, YCBCR, basis, coefficient_weights, overlap_filter
from pillow_rnc.models.embedded.kernel_network import ReducedKernelTiles
from pillow_rnc.models.embedded.numpy_network import Codes
from pillow_rnc.models.embedded.numpy_weights import can_run
from pillow_rnc.models.limits import MAX_HALF_WIDTH
from pillow_rnc.models.numpy_transform import transform_means
from pillow_rnc.models.runtime import network_kernel, network_weights, runtime

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from pillow_rnc.models.embedded.numpy_weights import NetworkWeights
    from pillow_rnc.models.numpy_operands import Floats
    from pillow_rnc.models.runtime import Runtime, TileDecoding
    from pillow_rnc.models.weights import Weights

_FROM_INTERVALS = 4
"""Least reduction at which the decoder network is left out."""


def reduced_runtime(
    weights: Weights, device: str, max_threads: int, reduction: int
) -> Callable[[int, int, int], TileDecoding]:
    """Return what decodes with a model at one over `reduction` of the size: 1, 2, 4 or 8.

    Sides of tiles are those of the whole size; `pixels` returns [n, height / reduction, width / reduction, 3].
    Other arguments and errors are those of `runtime.runtime`. Where no network draws the tile, the device is not looked
    at: a check would load torch, which takes longer than to decode a small image.
    """
    if reduction >= _FROM_INTERVALS and can_run(weights.config):
        kernel = network_kernel(weights, weights.config)
        if kernel is not None:
            return partial(ReducedKernelTiles, kernel, _taken_along_a_line(BLOCK // reduction))
        return partial(IntervalTiles, network_weights(weights, weights.config), reduction)
    network_for = runtime(weights, device, max_threads)
    return network_for if reduction == 1 else partial(MeanTiles, network_for, reduction)


class MeanTiles:
    """The network at work on n tiles of one size, of whose pixels means are taken; see `runtime.TileDecoding`.

    Args:
        network_for: Makes the network.
        reduction: 2, 4 or 8.
        n: How many tiles.
        height: Height of the padded tiles in pixels.
        width: Width of the padded tiles in pixels.
    """

    def __init__(self, network_for: Runtime, reduction: int, n: int, height: int, width: int) -> None:
        self._network, self._reduction = network_for(n, height, width), reduction
        self.decode = self._network.decode

    def pixels(self) -> Floats:
        """Return the images so far, float32 [n, height / reduction, width / reduction, 3]."""
        pixels, r = self._network.pixels(), self._reduction
        n, height, width, colours = pixels.shape
        rows = pixels.reshape(n, height // r, r, width * colours).sum(2)
        means: Floats = rows.reshape(n, height // r, width // r, r, colours).sum(3)
        return means * np.float32(1 / r**2)


class IntervalTiles:
    """The intervals of n tiles of one size, and images that they give at a reduced size; see `runtime.TileDecoding`.

    Args:
        weights: Of the network.
        reduction: 2, 4 or 8.
        n: How many tiles.
        height: Height of the padded tiles in pixels.
        width: Width of the padded tiles in pixels.
    """

    def __init__(self, weights: NetworkWeights, reduction: int, n: int, height: int, width: int) -> None:
        self._weights, self._side = weights, BLOCK // reduction
        self._codes = Codes(weights, (n, height // BLOCK, width // BLOCK))

    @np.errstate(all="ignore")
    def decode(self, planes: NDArray[np.uint8]) -> None:
        """Take the codes of the next iteration, uint8 [n, C, h, w]."""
        self._codes.decode(planes)

    @np.errstate(all="ignore")
    def pixels(self) -> Floats:
        """Return the images so far, float32 [n, height / reduction, width / reduction, 3]."""
        intervals, side = self._codes.intervals, self._side
        own = self._weights.iterations[self._codes.iterations - 1]
        scheduled = union(own.scheduled, MEANS)
        inside = intervals.midpoint[scheduled]
        gain = np.float32(own.gain) / self._codes.step_scale
        reach = np.minimum(np.abs(intervals.half_width[scheduled]), MAX_HALF_WIDTH / gain)
        reach *= np.sign(inside)
        inside += reach * own.shift[scheduled, None, None, None]
        transform_means(inside, back=True, means=np.searchsorted(scheduled, MEANS))
        # Beyond the borders of the image a block is its neighbour mirrored: filters across borders leave it as it is.
        padded = np.pad(inside, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
        frequency = scheduled % BLOCK**2
        down, across = (
            (1 - 2 * (f % 2)).astype(np.float32)[:, None, None] for f in (frequency // BLOCK, frequency % BLOCK)
        )
        for at in (0, -1):
            padded[:, :, at] *= down
            padded[:, :, :, at] *= across
        n, rows, columns = inside.shape[1:]
        sums: Floats = np.matmul(_sums(side)[:, scheduled], padded.reshape(len(scheduled), -1))
        parts = sums.reshape(3, 3, side * side * 3, *padded.shape[1:])
        out: Floats = np.full((side * side * 3, n, rows, columns), 128, np.float32)
        for y, x in np.ndindex(3, 3):
            out += parts[y, x, :, :, y : y + rows, x : x + columns]
        out = out.reshape(side, side, 3, n, rows, columns).transpose(3, 4, 0, 5, 1, 2)
        return np.ascontiguousarray(out).reshape(n, rows * side, columns * side, 3)


@cache
def _sums(side: int) -> Floats:
    """Return what each sample of a block takes from the coefficients of the blocks around it.

    Returns:
        float32 [3 * 3 * side * side * 3, 192]: block above, at, below; before, at, after; row; column; colour.
    """
    one = _sums_along_a_line(side)
    cosines = np.einsum("aiu,bjv->abijuv", one, one).reshape(9, side**2, BLOCK**2)
    colours = np.linalg.inv(np.array(YCBCR))
    sums = np.einsum("dsk,cp->dscpk", cosines, colours).reshape(-1, COEFFICIENTS) / coefficient_weights()
    operand: Floats = sums.astype(np.float32)
    return operand


@cache
def _taken_along_a_line(side: int) -> Floats:
    return np.ascontiguousarray(_sums_along_a_line(side), np.float32)


def _sums_along_a_line(side: int) -> NDArray[np.float64]:
    """Return the same along one axis, from the frequencies of the blocks before, at and after, [3, side, 8]."""
    half, reduction = BLOCK // 2, BLOCK // side
    pixels = basis().reshape(BLOCK, BLOCK, BLOCK, BLOCK)[:, 0, :, 0].T * np.sqrt(BLOCK)  # of frequencies
    filtered = np.linalg.inv(overlap_filter())
    blocks = np.zeros((3, BLOCK, BLOCK))
    blocks[0, :half] = filtered[half:, :half] @ pixels[half:]
    blocks[1, :half] = filtered[half:, half:] @ pixels[:half]
    blocks[1, half:] = filtered[:half, :half] @ pixels[half:]
    blocks[2, half:] = filtered[:half, half:] @ pixels[:half]
    means: NDArray[np.float64] = blocks.reshape(3, side, reduction, BLOCK).mean(2)
    return means
