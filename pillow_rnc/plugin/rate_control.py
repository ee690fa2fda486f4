"""Files cut to a rate: every prefix of whole iterations is a picture, so nothing is encoded twice.

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

if TYPE_CHECKING:
    from numpy import uint8
    from numpy.typing import NDArray

    from pillow_rnc.container.chunks import ByteSource
    from pillow_rnc.container.records import FileHead, RncFile
    from pillow_rnc.plugin.options import SaveOptions

_PEAK = 255


def cut(file: RncFile, iterations: int) -> RncFile:
    """Return a file with the first iterations of another."""
    return replace(file, header=replace(file.header, iterations=iterations), units=file.units[:iterations])


def cut_to_size(file: RncFile, options: SaveOptions) -> RncFile:
    """Return the longest cut of a file that keeps to the size limit of the options, if they have one.

    Raises:
        RncOptionError: Even one iteration is too long.
    """
    limit = options.size_limit(file.header.width, file.header.height)
    if limit is None:
        return file
    fp = BytesIO(writer.build(file))
    return cut(file, iterations_within(file_sizes(fp, reader.read_head(fp)), *limit))


def file_sizes(fp: ByteSource, head: FileHead) -> list[int]:
    """Return how long in bytes a file is when cut after 1, 2, ... iterations."""
    return list(itertools.accumulate(reader.unit_sizes(fp, head), initial=head.units_offset))[1:]


def iterations_within(sizes: list[int], option: str, limit: int) -> int:
    """Return how many iterations fit into a limit in bytes.

    Args:
        sizes: File length after 1, 2, ... iterations.
        option: Name of the option that set the limit, for the message.
        limit: Largest allowed file length.

    Raises:
        RncOptionError: Not even one fits; the message names the smallest length.
    """
    fitting = sum(size <= limit for size in sizes)
    if not fitting:
        msg = f"{option} allows {limit} bytes, the smallest file has {sizes[0]}"
        raise RncOptionError(msg)
    return fitting


def cut_to_psnr(
    file: RncFile, pixels: NDArray[uint8], target_db: float, *, device: str, max_threads: int = 0
) -> RncFile:
    """Return the shortest cut of a file that reaches a PSNR.

    Args:
        file: The file to cut.
        pixels: uint8 [height, width, 3], the original.
        target_db: PSNR in dB over all channels.
        device: What runs the network.
        max_threads: As for `decoder.decode`.

    Raises:
        RncOptionError: No iteration reaches it; the message names the best.
    """
    from pillow_rnc.codec import decoder

    reached: list[float] = []

    def measure(_done: int, _total: int, decoded: NDArray[uint8]) -> None:
        reached.append(_psnr_db(pixels, decoded))

    decoder.decode(file, device=device, on_iteration=measure, max_threads=max_threads)
    for iterations, psnr_db in enumerate(reached, 1):
        if psnr_db >= target_db:
            return cut(file, iterations)
    msg = f"target_psnr {target_db} dB is not reached, the best of {len(reached)} iterations is {max(reached):.2f} dB"
    raise RncOptionError(msg)


def _psnr_db(pixels: NDArray[uint8], decoded: NDArray[uint8]) -> float:
    import numpy as np

    original = pixels if decoded.ndim == pixels.ndim else pixels[..., 0]
    # In 16 bits the differences are exact, and half the memory of 32.
    error = np.subtract(original, decoded, dtype=np.int16).astype(np.float32)
    mse = float(np.mean(np.square(error), dtype=np.float64))
    return 10 * math.log10(_PEAK**2 / mse) if mse else math.inf
