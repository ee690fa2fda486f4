"""From codes to pixels: chooses the decoder network (`reference_embedded`, `reference_recurrent`), blends and rounds.

It needs nothing but the Python standard library and shares no code with the package. It computes with Python's 64-bit
floats; the tolerance of the specification is measured from its samples. It is slow: a few seconds for an image of
64 x 64 pixels and a small model.

    python reference_network.py WEIGHTS FILE > IMAGE.ppm
"""

from __future__ import annotations

import math
import sys
from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING

import reference_embedded
import reference_model
import reference_recurrent
from reference_decoder import Header, decode
from reference_operations import YCBCR, Model

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_decoder import Plane
    from reference_operations import Pixels


def decoder_network(model: Model) -> Callable[[Model, list[Plane], int], Pixels]:
    """Return the decoder network of a model: from the code planes of a tile of some width in pixels to its R, G, B."""
    if model.config["family"] == "embedded":
        return reference_embedded.pixels
    if model.config["network"] == "paper":
        return reference_recurrent.paper_pixels
    return reference_recurrent.light_pixels if model.config["code_stride"] == 16 else reference_recurrent.block_pixels


# --- Overlap and blending ------------------------------------------------------------------------------------


def ramps(extent: int, header: Header) -> list[tuple[int, list[float]]]:
    """Return start and weights of each tile along one axis."""
    step, overlap = header.tile_size - header.overlap, header.overlap
    out = []
    for start in range(0, max(1, extent - overlap), step):
        length = min(header.tile_size, extent - start)
        weights = [1.0] * length
        for i in range(overlap):
            if start:
                weights[i] = (2 * i + 1) / (2 * overlap)
            if start + length < extent:
                weights[length - overlap + i] = 1 - (2 * i + 1) / (2 * overlap)
        out.append((start, weights))
    return out


def samples(weights: bytes, data: bytes, *, tolerant: bool = False) -> tuple[Header, bytes]:
    """Return the header and the samples of a file in row-major order: one byte per pixel in grey modes, else three.

    Raises:
        Rejected: The file breaks a rule, or needs other weights.
        ModelError: The weights break one.
    """
    reference_model.check(weights)
    model = Model(weights)
    network = decoder_network(model)
    header, codes = decode(data, weights, tolerant=tolerant)
    image = [[[0.0, 0.0, 0.0] for _ in range(header.width)] for _ in range(header.height)]
    tile = 0
    for top, down in ramps(header.height, header):
        for left, across in ramps(header.width, header):
            width = -(-len(across) // 16) * 16
            rows = network(model, codes[tile], width)
            for i, y_weight in enumerate(down):
                for j, x_weight in enumerate(across):
                    pixel = image[top + i][left + j]
                    for channel in range(3):
                        pixel[channel] += y_weight * x_weight * rows[i][j][channel]
            tile += 1
    out = bytearray()
    for row in image:
        for pixel in row:
            values = [sum(map(mul, YCBCR[0], pixel))] if header.mode < 2 else pixel
            out += bytes(min(255, max(0, math.floor(value + 0.5))) for value in values)
    return header, bytes(out)


def main(arguments: list[str]) -> None:
    """Write the image as PGM or PPM."""
    header, out = samples(*(Path(name).read_bytes() for name in arguments))
    kind = "P5" if header.mode < 2 else "P6"
    sys.stdout.buffer.write(f"{kind} {header.width} {header.height} 255\n".encode() + out)


if __name__ == "__main__":
    main(sys.argv[1:])
