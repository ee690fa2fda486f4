"""What both decoder networks of the specification are made of: the weights file, operations on maps, and the transform.

It needs nothing but the Python standard library and shares no code with the package.
"""

from __future__ import annotations

import json
import math
import struct
from operator import mul
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Map: TypeAlias = "list[list[float]]"  # per channel, the cells in row-major order
Pixels: TypeAlias = "list[list[tuple[float, ...]]]"  # by rows, R, G, B of each pixel, neither clipped nor rounded

# --- Weights file ---------------------------------------------------------------------------------------


class Model:
    """Configuration and float tensors of a weights file; the tensors flat, the last index fastest."""

    def __init__(self, data: bytes) -> None:
        (size,) = struct.unpack("<Q", data[:8])
        description = json.loads(data[8 : 8 + size])
        self.config: dict[str, Any] = json.loads(description.pop("__metadata__")["config"])
        self.tensors: dict[str, tuple[float, ...]] = {}
        for name, entry in description.items():
            start, stop = (8 + size + offset for offset in entry["data_offsets"])
            if entry["dtype"] == "F32":
                self.tensors[name] = struct.unpack(f"<{(stop - start) // 4}f", data[start:stop])

    def get(self, name: str) -> tuple[float, ...]:
        """Return the tensor `network.decoder.NAME`."""
        return self.tensors[f"network.decoder.{name}"]


# --- Operations -------------------------------------------------------------------------------------------


def linear(weight: Sequence[float], bias: Sequence[float] | None, x: Map) -> Map:
    """Return W x + b at each cell; the weight is [outputs, inputs]."""
    inputs, cells = len(x), list(zip(*x, strict=True))
    rows = [weight[n : n + inputs] for n in range(0, len(weight), inputs)]
    return [[sum(map(mul, row, cell)) + (bias[o] if bias else 0.0) for cell in cells] for o, row in enumerate(rows)]


def convolution(
    weight: Sequence[float], bias: Sequence[float] | None, x: Map, width: int, kernel: int = 3, *, stride: int = 1
) -> Map:
    """Return W * x + b under square kernels, 0 outside; the weight is [outputs, inputs, kernel, kernel].

    An odd kernel is centred, an even one starts at its cell.
    """
    height, before = len(x[0]) // width, (kernel - 1) // 2
    size = kernel * kernel * len(x)
    out = []
    for o in range(len(weight) // size):
        kernels = weight[o * size : (o + 1) * size]
        channel = []
        for row in range(-before, height - before, stride):
            for column in range(-before, width - before, stride):
                total = bias[o] if bias else 0.0
                for i, plane in enumerate(x):
                    for a in range(max(0, -row), min(kernel, height - row)):
                        for b in range(max(0, -column), min(kernel, width - column)):
                            weight_at = kernels[(i * kernel + a) * kernel + b]
                            total += weight_at * plane[(row + a) * width + column + b]
                channel.append(total)
        out.append(channel)
    return out


def each(function: Callable[..., float], *maps: Map) -> Map:
    """Return a function of the values of maps, value by value."""
    return [[function(*values) for values in zip(*rows, strict=True)] for rows in zip(*maps, strict=True)]


def add(x: Map, y: Map) -> Map:
    """Return x + y."""
    return each(float.__add__, x, y)


def sigmoid(a: float) -> float:
    """Return 1 / (1 + exp(-a))."""
    return 1 / (1 + math.exp(-a)) if a >= 0 else math.exp(a) / (1 + math.exp(a))


def fold(x: Map, width: int) -> Map:
    """Return the map with four channels for one and half the height and width."""
    height = len(x[0]) // width
    return [
        [channel[(2 * row + a) * width + 2 * column + b] for row in range(height // 2) for column in range(width // 2)]
        for channel in x
        for a in (0, 1)
        for b in (0, 1)
    ]


def unfold(x: Map, width: int) -> Map:
    """Return the inverse of `fold`; `width` is that of the result."""
    height = 4 * len(x[0]) // width
    return [
        [
            x[4 * c + 2 * (row % 2) + column % 2][row // 2 * (width // 2) + column // 2]
            for row in range(height)
            for column in range(width)
        ]
        for c in range(len(x) // 4)
    ]


# --- Coefficients to samples -----------------------------------------------------------------------------------

COSINES = [
    [math.cos(math.pi * (2 * i + 1) * u / 16) / 2 / (math.sqrt(2) if u == 0 else 1) for i in range(8)] for u in range(8)
]
HALF_COSINES = [
    [math.cos(math.pi * (2 * i + 1) * u / 8) / (2 if u == 0 else math.sqrt(2)) for i in range(4)] for u in range(4)
]
ODD_COSINES = [[math.cos(math.pi * (2 * i + 1) * (2 * u + 1) / 16) / math.sqrt(2) for i in range(4)] for u in range(4)]
SCALES = (1.3, 1.0, 1.0, 1.0)
YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))


def inverse(matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return the inverse of a 3x3 matrix, by cofactors."""

    def minor(i: int, j: int) -> float:
        a, b = ((i + 1) % 3, (i + 2) % 3), ((j + 1) % 3, (j + 2) % 3)
        return matrix[a[0]][b[0]] * matrix[a[1]][b[1]] - matrix[a[0]][b[1]] * matrix[a[1]][b[0]]

    determinant = sum(matrix[0][j] * minor(0, j) for j in range(3))
    return [[minor(j, i) / determinant for j in range(3)] for i in range(3)]


def filtered(line: list[float]) -> list[float]:
    """Return a row or a column of values, filtered across each block border."""
    out = list(line)
    for border in range(8, len(line), 8):
        pairs = [(line[border - 4 + i], line[border + 3 - i]) for i in range(4)]
        inside = [sum((a - b) * HALF_COSINES[u][i] for i, (a, b) in enumerate(pairs)) / SCALES[u] for u in range(4)]
        for j, (a, b) in enumerate(pairs):
            difference = sum(inside[u] * ODD_COSINES[u][j] for u in range(4))
            out[border - 4 + j], out[border + 3 - j] = (a + b + difference) / 2, (a + b - difference) / 2
    return out


def lapped_pixels(y: Map, scale: Sequence[float], width: int) -> Pixels:
    """Return the R, G, B of a tile from its 192 maps of coefficients, each times its scale."""
    to_rgb = inverse(YCBCR)
    height = len(y[0]) // width
    planes = [[[0.0] * (8 * width) for _ in range(8 * height)] for _ in range(3)]
    for cell in range(len(y[0])):
        row, column = divmod(cell, width)
        for channel in range(3):
            block = [[0.0] * 8 for _ in range(8)]
            for u in range(8):
                for v in range(8):
                    number = 64 * channel + 8 * u + v
                    value = y[number][cell] * scale[number]
                    for i in range(8):
                        for j in range(8):
                            block[i][j] += value * COSINES[u][i] * COSINES[v][j]
            for i in range(8):
                planes[channel][8 * row + i][8 * column : 8 * column + 8] = block[i]
    ycc = []
    for plane in planes:
        columns = [filtered(list(column)) for column in zip(*map(filtered, plane), strict=True)]
        ycc.append(list(zip(*columns, strict=True)))
    return [
        [tuple(sum(map(mul, line, pixel)) + 128 for line in to_rgb) for pixel in zip(*rows, strict=True)]
        for rows in zip(*ycc, strict=True)
    ]
