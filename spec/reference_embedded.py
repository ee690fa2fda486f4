"""From codes to pixels in a model of family `embedded`: intervals, one reconstruction, wavelet and transform."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reference_cells import Cell
from reference_operations import Map, Model, Pixels, add, each, fold, lapped_pixels, linear, unfold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reference_cells import State
    from reference_decoder import Plane

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
    separable = model.config["separable"]
    context, detail = (Cell(model, name, separable=separable) for name in ("context", "detail"))
    context_state: State = None
    detail_state: State = None
    features: Map = []
    for _ in range(model.config["decoder_steps"]):
        low = linear(model.get("down.weight"), model.get("down.bias"), fold(x, width))
        wide, context_state = context.step(low, context_state, width // 2)
        fine = unfold(linear(model.get("up.weight"), model.get("up.bias"), wide), width)
        features, detail_state = detail.step(add(x, fine), detail_state, width)
    estimate = linear(model.get("output.weight"), model.get("output.bias"), features)
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
WAVELET_GAIN = 1.149604398860241
WAVELET_STEPS = ((0, 0.443506852043971), (1, 0.882911075530934), (0, -0.052980118572961), (1, -1.586134342059924))


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


def weighted_pixels(y: Map, width: int) -> Pixels:
    """Return the R, G, B of a tile from its 192 maps of coefficients, as in "Coefficients"; `width` counts cells."""
    y = [means(plane, width) if number in (0, 64, 128) else plane for number, plane in enumerate(y)]
    weights = [(25.735 / step) ** 0.75 for row in STEPS for step in row]
    scale = [1 / weight for weight in weights] + [1 / (0.4 * weight) for weight in 2 * weights]
    return lapped_pixels(y, scale, width)


def pixels(model: Model, planes: list[Plane], width: int) -> Pixels:
    """Return the R, G, B of a tile of `width` pixels from its code planes."""
    return weighted_pixels(coefficients(model, planes, width // 8), width // 8)
