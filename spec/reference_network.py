"""From codes to pixels: the decoder network, blending and rounding of the specification, in its order.

It needs nothing but the Python standard library and shares no code with the package. It computes with Python's 64-bit
floats; the tolerance of the specification is measured from its samples. It is slow: a few seconds for an image of
64 x 64 pixels and a small model.

    python reference_network.py WEIGHTS FILE > IMAGE.ppm
"""

from __future__ import annotations

import json
import math
import struct
import sys
from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from reference_decoder import Header, Plane, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Map: TypeAlias = "list[list[float]]"  # per channel, the cells in row-major order

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
        kind = tuple(self.config[name] for name in ("family", "cell", "code_stride"))
        if kind != ("embedded", "gru", 8):
            raise NotImplementedError(f"model of family, cell and stride {kind}")

    def get(self, name: str) -> tuple[float, ...]:
        """Return the tensor `network.decoder.NAME`."""
        return self.tensors[f"network.decoder.{name}"]


# --- Operations -------------------------------------------------------------------------------------------


def linear(weight: Sequence[float], bias: Sequence[float] | None, x: Map) -> Map:
    """Return W x + b at each cell; the weight is [outputs, inputs]."""
    inputs, cells = len(x), list(zip(*x, strict=True))
    rows = [weight[n : n + inputs] for n in range(0, len(weight), inputs)]
    return [[sum(map(mul, row, cell)) + (bias[o] if bias else 0.0) for cell in cells] for o, row in enumerate(rows)]


def convolve(weight: Sequence[float], x: list[float], width: int) -> list[float]:
    """Return one channel under a 3x3 kernel, 0 outside."""
    height = len(x) // width
    out = []
    for row in range(height):
        for column in range(width):
            total = 0.0
            for a in range(max(0, 1 - row), min(3, height + 1 - row)):
                for b in range(max(0, 1 - column), min(3, width + 1 - column)):
                    total += weight[3 * a + b] * x[(row + a - 1) * width + column + b - 1]
            out.append(total)
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


# --- Cell ---------------------------------------------------------------------------------------------------


def gru(model: Model, name: str, x: Map, h: Map | None, width: int) -> Map:
    """Return the next state of a recurrent cell, which is also its output."""

    def spatial(part: str, x: Map) -> Map:
        if not model.config["separable"]:
            return x
        weight, bias = model.get(f"{name}.{part}.spatial.weight"), model.get(f"{name}.{part}.spatial.bias")
        maps = [convolve(weight[9 * c : 9 * c + 9], channel, width) for c, channel in enumerate(x)]
        return [[value + bias[c] for value in channel] for c, channel in enumerate(maps)]

    def mix(part: str, x: Map, bias: Sequence[float] | None = None) -> Map:
        weight = model.get(f"{name}.{part}.weight")
        if model.config["separable"]:
            return linear(weight, bias, x)
        out = []
        for o in range(len(weight) // (9 * len(x))):
            kernels = weight[9 * len(x) * o :]
            parts = [convolve(kernels[9 * i : 9 * i + 9], channel, width) for i, channel in enumerate(x)]
            out.append([sum(values) + (bias[o] if bias else 0.0) for values in zip(*parts, strict=True)])
        return out

    v = mix("input.mix", spatial("input", x), model.get(f"{name}.input.mix.bias"))
    n = len(v) // 3
    v_z, v_r, v_q = v[:n], v[n : 2 * n], v[2 * n :]
    if h is None:
        return each(lambda z, q: sigmoid(z) * math.tanh(q), v_z, v_q)
    m = spatial("hidden", h)
    gates = mix("hidden.mix", m)
    r = each(lambda a, b: sigmoid(a + b), v_r, gates[n:])
    q = each(lambda a, b: math.tanh(a + b), v_q, mix("candidate", each(float.__mul__, r, m)))
    z = each(lambda a, b: sigmoid(a + b), v_z, gates[:n])
    return each(lambda h, z, q: h + z * (q - h), h, z, q)


# --- Decoder network ------------------------------------------------------------------------------------------


def activity(k: Map, width: int) -> list[float]:
    """Return the activity of each cell, from the midpoints of its coefficients."""
    height = len(k[0]) // width
    energy = [sum(row[cell] ** 2 for row in k[1:64]) / 63 for cell in range(len(k[0]))]
    out = []
    for row in range(height):
        for column in range(width):
            near = [
                energy[r * width + c]
                for r in range(max(0, row - 1), min(height, row + 2))
                for c in range(max(0, column - 1), min(width, column + 2))
            ]
            out.append((energy[row * width + column] + sum(near) / len(near)) / 2)
    return out


def schedule(model: Model, t: int) -> dict[int, tuple[float, list[int]]]:
    """Return step and pairs of each coefficient that iteration t codes."""
    pairs = model.config["code_channels"] // 2
    out: dict[int, tuple[float, list[int]]] = {}
    for p in range(pairs):
        coefficient, level, step = (
            model.tensors[f"network.quantizer.{name}"][t * pairs + p] for name in ("coefficient", "level", "step")
        )
        if level < 1e6:
            out.setdefault(int(coefficient), (step, []))[1].append(p)
    return out


def refine(m: float, r: float, s: float, magnitudes: Sequence[int], negative: int) -> tuple[float, float]:
    """Return midpoint and half width of an interval after an iteration that codes its coefficient."""
    q = sum(magnitudes)
    if m == 0:
        if q == 0:
            return m, min(r, s)
        sign, low, last = -1.0 if negative else 1.0, q * s, q == len(magnitudes)
        if last and r == 1e9:
            return sign * (low + s / 2), -s / 2
        high = max(low, r if last else min(low + s, r))
        return sign * (low + high) / 2, (high - low) / 2
    sign = math.copysign(1.0, m)
    if not magnitudes[0]:
        return m - sign * abs(r) / 2, abs(r) / 2
    if r < 0:
        return m + sign * 2 * abs(r), 2 * r
    return m + sign * r / 2, r / 2


def coefficients(model: Model, planes: list[Plane], width: int) -> Map:
    """Return the 192 coefficients of each cell of a tile after all its iterations."""
    cells = len(planes[0][0])
    m: Map = [[0.0] * cells for _ in range(192)]
    r: Map = [[1e9] * cells for _ in range(192)]
    (exponent,), (log_floor,) = (model.tensors[f"network.masking.{name}"] for name in ("exponent", "log_floor"))
    step_scale = [1.0] * cells
    for t, plane in enumerate(planes):
        for coefficient, (step, pairs) in schedule(model, t).items():
            for cell in range(cells):
                magnitudes, negative = [plane[p][cell] for p in pairs], plane[len(plane) // 2 + pairs[0]][cell]
                s = step if coefficient in (0, 64, 128) else step * step_scale[cell]
                midpoint, half_width = m[coefficient][cell], r[coefficient][cell]
                interval = refine(midpoint, half_width, s, magnitudes, negative)
                m[coefficient][cell], r[coefficient][cell] = interval
        step_scale = [(1 + a / math.exp(log_floor)) ** exponent for a in activity(m, width)]
    last = len(planes) - 1
    gain = [math.exp(model.tensors["network.log_gain"][last]) / w for w in step_scale]
    return reconstruct(model, last, (m, r), gain, width)


def reconstruct(model: Model, t: int, intervals: tuple[Map, Map], gain: list[float], width: int) -> Map:
    """Return the reconstructed coefficients after iteration t, from midpoints and half widths."""
    m, r = intervals
    scaled = [[v * g / (1 + abs(v * g) / 4) for v, g in zip(row, gain, strict=True)] for row in m]
    widths = [[min(abs(v) * g, 4) for v, g in zip(row, gain, strict=True)] for row in r]
    x = linear(model.get("midpoint_projection.weight"), None, scaled)
    x = add(x, linear(model.get("half_width_projection.weight"), None, each(lambda w: w / 4 - 1, widths)))
    bias, shift = model.get("bias")[t * len(x) :], model.get("shift")[192 * t :]
    x = [[value + bias[d] for value in row] for d, row in enumerate(x)]
    context: Map | None = None
    detail: Map | None = None
    for _ in range(model.config["decoder_steps"]):
        context = gru(
            model,
            "context",
            linear(model.get("down.weight"), model.get("down.bias"), fold(x, width)),
            context,
            width // 2,
        )
        detail = gru(
            model,
            "detail",
            add(x, unfold(linear(model.get("up.weight"), model.get("up.bias"), context), width)),
            detail,
            width,
        )
    assert detail is not None
    estimate = linear(model.get("output.weight"), model.get("output.bias"), detail)
    return [
        [
            midpoint + (value + shift[c] * ((midpoint > 0) - (midpoint < 0))) * w / g
            for midpoint, value, w, g in zip(m[c], estimate[c], widths[c], gain, strict=True)
        ]
        for c in range(192)
    ]


# --- Coefficients to samples -----------------------------------------------------------------------------------

STEPS = (
    (16, 11, 10, 16, 24, 40, 51, 61),
    (12, 12, 14, 19, 26, 58, 60, 55),
    (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62),
    (18, 22, 37, 56, 68, 109, 103, 77),
    (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101),
    (72, 92, 95, 98, 112, 100, 103, 99),
)
COSINES = [
    [math.cos(math.pi * (2 * i + 1) * u / 16) / 2 / (math.sqrt(2) if u == 0 else 1) for i in range(8)] for u in range(8)
]
HALF_COSINES = [
    [math.cos(math.pi * (2 * i + 1) * u / 8) / (2 if u == 0 else math.sqrt(2)) for i in range(4)] for u in range(4)
]
ODD_COSINES = [[math.cos(math.pi * (2 * i + 1) * (2 * u + 1) / 16) / math.sqrt(2) for i in range(4)] for u in range(4)]
WAVELET_GAIN = 1.149604398860241
WAVELET_STEPS = ((0, 0.443506852043971), (1, 0.882911075530934), (0, -0.052980118572961), (1, -1.586134342059924))
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


def lowered(line: list[float]) -> list[float]:
    """Return a line of values after the inverse wavelet transform."""
    if len(line) == 1:
        return line
    last = len(line) - 1
    out = [value * WAVELET_GAIN if i % 2 else value / WAVELET_GAIN for i, value in enumerate(line)]
    for odd, factor in WAVELET_STEPS:
        for i in range(odd, len(out), 2):
            out[i] -= factor * (out[i - 1 if i else 1] + out[i + 1 if i < last else last - 1])
    return out


def means(plane: list[float], width: int) -> list[float]:
    """Return a map of block means after the inverse wavelet transform, coarse grid first, columns first."""
    rows = [plane[start : start + width] for start in range(0, len(plane), width)]
    for spacing in (2, 1):
        grid = [row[::spacing] for row in rows[::spacing]]
        columns = [lowered(list(column)) for column in zip(*grid, strict=True)]
        for row, values in zip(rows[::spacing], zip(*columns, strict=True), strict=True):
            row[::spacing] = lowered(list(values))
    return [value for row in rows for value in row]


def pixels(y: Map, width: int) -> list[list[tuple[float, ...]]]:
    """Return the R, G, B of a tile by rows, neither clipped nor rounded."""
    to_rgb = inverse(YCBCR)
    height = len(y[0]) // width
    y = [means(plane, width) if number in (0, 64, 128) else plane for number, plane in enumerate(y)]
    planes = [[[0.0] * (8 * width) for _ in range(8 * height)] for _ in range(3)]
    for cell in range(len(y[0])):
        row, column = divmod(cell, width)
        for channel in range(3):
            block = [[0.0] * 8 for _ in range(8)]
            for u in range(8):
                for v in range(8):
                    weight = (25.735 / STEPS[u][v]) ** 0.75 * (0.4 if channel else 1.0)
                    value = y[64 * channel + 8 * u + v][cell] / weight
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
    """Return the header and the samples of a file in row-major order: one byte per pixel in grey modes, else three."""
    model = Model(weights)
    header, codes = decode(data, weights, tolerant=tolerant)
    image = [[[0.0, 0.0, 0.0] for _ in range(header.width)] for _ in range(header.height)]
    tile = 0
    for top, down in ramps(header.height, header):
        for left, across in ramps(header.width, header):
            width = -(-len(across) // 16) * 16 // header.code_stride
            rows = pixels(coefficients(model, codes[tile], width), width)
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
