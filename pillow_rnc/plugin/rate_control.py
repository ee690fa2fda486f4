"""Files truncated to a rate: every prefix of complete iterations is an image, so nothing is encoded twice.

Must not load torch or numpy except to measure a PSNR.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from io import BytesIO
from typing import TYPE_CHECKING

from pillow_rnc.container import reader, writer
from pillow_rnc.errors import RncOptionError
from pillow_rnc.fork_safety import importing

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray

    from pillow_rnc.codec.execution import ExecutionOptions
    from pillow_rnc.container.chunks import ByteSource
    from pillow_rnc.container.records import FileHead, RncFile
    from pillow_rnc.models.weights import Weights
    from pillow_rnc.plugin.options import SaveOptions

_PEAK = 255


def truncated(file: RncFile, iterations: int) -> RncFile:
    """Return a file with the first iterations of another."""
    return replace(file, header=replace(file.header, iterations=iterations), units=file.units[:iterations])


def truncated_to_size(file: RncFile, options: SaveOptions) -> RncFile:
    """Return a file with as many iterations of another as the size limit of the options allows, if they have one.

    Raises:
        RncOptionError: Even one iteration exceeds the limit.
    """
    limit = options.size_limit(file.header.width, file.header.height)
    if limit is None:
        return file
    fp = BytesIO(writer.build(file))
    return truncated(file, iterations_within(file_sizes(fp, reader.read_head(fp)), *limit))


def file_sizes(fp: ByteSource, head: FileHead) -> list[int]:
    """Return the lengths in bytes of a file when truncated to 1, 2, ... iterations."""
    return list(itertools.accumulate(reader.unit_sizes(fp, head), initial=head.units_offset))[1:]


def iterations_within(sizes: list[int], option: str, limit: int) -> int:
    """Return how many iterations fit within a limit in bytes.

    Args:
        sizes: Length of the file with 1, 2, ... iterations, in bytes.
        option: Name of the option that set the limit, for the message.
        limit: Largest allowed length of the file in bytes.

    Raises:
        RncOptionError: Not even one fits; the message gives the smallest length.
    """
    fitting = sum(size <= limit for size in sizes)
    if not fitting:
        msg = f"{option} allows {limit} bytes, the smallest file has {sizes[0]}"
        raise RncOptionError(msg)
    return fitting


def truncated_to_psnr(
    file: RncFile, pixels: NDArray[uint8], target_db: float, weights: Weights, execution: ExecutionOptions
) -> RncFile:
    """Return a file with the fewest iterations of another that reach a PSNR.

    Args:
        file: The file to truncate.
        pixels: uint8 [height, width, 3], the original.
        target_db: PSNR in dB over all channels.
        weights: The model of the file.
        execution: How to compute.

    Raises:
        RncOptionError: No iteration reaches it; the message gives the best PSNR.
    """
    with importing:
        from pillow_rnc.codec import decoder

    best_db = 0.0
    images = decoder.iter_images(file.header, file.units, weights, execution=execution)
    for iterations, decoded in enumerate(images, 1):
        psnr_db = _psnr_db(pixels, decoded)
        if psnr_db >= target_db:
            return truncated(file, iterations)
        best_db = max(best_db, psnr_db)
    count = len(file.units)
    msg = f"target_psnr {target_db} dB is not reached, the best of {count} iterations is {best_db:.2f} dB"
    raise RncOptionError(msg)


def _psnr_db(pixels: NDArray[uint8], decoded: NDArray[uint8]) -> float:
    with importing:
        import numpy as np

    original = pixels if decoded.ndim == pixels.ndim else pixels[..., 0]
    # 16 bits hold the differences exactly, in half the memory of 32.
    error = np.subtract(original, decoded, dtype=np.int16).astype(np.float32)
    mse = float(np.mean(np.square(error), dtype=np.float64))
    return 10 * math.log10(_PEAK**2 / mse) if mse else math.inf
