"""From codes to pixels in a model of family `recurrent`: both light networks, and the paper's own on pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from reference_cells import Cell
from reference_embedded import activity, weighted_pixels
from reference_operations import Map, Model, Pixels, add, convolution, each, fold, lapped_pixels, linear, unfold

if TYPE_CHECKING:
    from reference_cells import State
    from reference_decoder import Plane


def signs(plane: Plane) -> Map:
    """Return +1 for a bit that is 1, -1 for one that is 0."""
    return [[2.0 * bit - 1 for bit in row] for row in plane]


def unstack(x: Map, width: int) -> Map:
    """Return the map with a quarter of the channels, and twice the height and width, which is `width`."""
    channels, height = len(x) // 4, 4 * len(x[0]) // width
    return [
        [
            x[channels * (2 * (row % 2) + column % 2) + c][row // 2 * (width // 2) + column // 2]
            for row in range(height)
            for column in range(width)
        ]
        for c in range(channels)
    ]


# --- Light network ---------------------------------------------------------------------------------------------


def light_pixels(model: Model, planes: list[Plane], width: int) -> Pixels:
    """Return the R, G, B of a tile of `width` pixels from its code planes."""
    width //= 8
    config, cells = model.config, 4 * len(planes[0][0])
    deviation = model.tensors["network.transform.deviation"]
    context, detail = (Cell(model, name, separable=config["separable"]) for name in ("context", "detail"))
    context_state: State = None
    detail_state: State = None
    y: Map = [[0.0] * cells for _ in range(192)]
    factor = [1.0] * cells
    for t, plane in enumerate(planes):
        bits = signs(plane)
        gain = [math.exp(model.tensors["network.log_gain"][t]) * value for value in factor]
        seen = [[value * math.sqrt(deviation[n] / 28) for value in row] for n, row in enumerate(y)]
        k, e = config["code_channels"], config["context_channels"]
        given = linear(model.get("input")[t * e * k : (t + 1) * e * k], model.get("bias")[t * e : (t + 1) * e], bits)
        wide, context_state = context.step(given, context_state, width // 2)
        fine = unstack(linear(model.get("up.weight"), model.get("up.bias"), wide), width)
        fine = add(fine, linear(model.get("stem.weight"), None, seen))
        features, detail_state = detail.step(fine, detail_state, width)
        direct = linear(model.get("direct")[t * 768 * k : (t + 1) * 768 * k], None, bits)
        update = add(linear(model.get("output.weight"), model.get("output.bias"), features), unstack(direct, width))
        y = update if config["framework"] == "one_shot" else add(y, over(update, gain))
        if config["framework"] == "residual_scaling":
            factor = block_factors(model, features, width)
    return lapped_pixels(y, deviation, width)


def block_factors(model: Model, features: Map, width: int) -> list[float]:
    """Return, for each cell at 1/8, the factor of its code cell."""
    (a,) = linear(model.tensors["network.gain.weight"], model.tensors["network.gain.bias"], features)
    out = [0.0] * len(a)
    for row in range(0, len(a) // width, 2):
        for column in range(0, width, 2):
            four = [(row + i) * width + column + j for i in (0, 1) for j in (0, 1)]
            for cell in four:
                out[cell] = math.exp(3 * math.tanh(sum(a[n] for n in four) / 4))
    return out


# --- Light network of stride 8 ---------------------------------------------------------------------------------


def block_pixels(model: Model, planes: list[Plane], width: int) -> Pixels:
    """Return the R, G, B of a tile of `width` pixels from its code planes."""
    width //= 8
    framework, cells = model.config["framework"], len(planes[0][0])
    context, detail = (Cell(model, name, separable=model.config["separable"]) for name in ("context", "detail"))
    context_state: State = None
    detail_state: State = None
    y: Map = [[0.0] * cells for _ in range(192)]
    coded = y
    for t, plane in enumerate(planes):
        bits = signs(plane)
        gain = [math.exp(model.tensors["network.log_gain"][0 if framework == "one_shot" else t])] * cells
        if framework == "residual_scaling":
            gain = [a * b for a, b in zip(gain, masking(model, coded, width), strict=True)]
        significant = each(lambda a: min(1.0, max(0.0, 2 * abs(a) - 1)), times(coded, gain))
        refinement = each(float.__mul__, linear(model.get(f"refinement.{t}.weight"), None, bits), significant)
        step = over(add(linear(model.get(f"direct.{t}.weight"), None, bits), refinement), gain)
        x = linear(model.get(f"inputs.{t}.weight"), model.get(f"inputs.{t}.bias"), bits)
        low = linear(model.get("down.weight"), model.get("down.bias"), fold(x, width))
        wide, context_state = context.step(low, context_state, width // 2)
        fine = unfold(linear(model.get("up.weight"), model.get("up.bias"), wide), width)
        features, detail_state = detail.step(add(x, fine), detail_state, width)
        estimate = over(linear(model.get("output.weight"), model.get("output.bias"), features), gain)
        if framework == "one_shot":
            coded, y = step, add(estimate, step)
        else:
            coded, y = add(coded, step), add(y, add(estimate, step))
    return weighted_pixels(y, width)


def masking(model: Model, coded: Map, width: int) -> list[float]:
    """Return the factor of the gain of each cell."""
    (exponent,), (log_floor,) = (model.tensors[f"network.masking.{name}"] for name in ("exponent", "log_floor"))
    return [(1 + a / math.exp(log_floor)) ** -exponent for a in activity(coded, width)]


def times(x: Map, factors: list[float]) -> Map:
    """Return a map times one factor for each cell."""
    return [[value * factor for value, factor in zip(row, factors, strict=True)] for row in x]


def over(x: Map, factors: list[float]) -> Map:
    """Return a map over one factor for each cell."""
    return [[value / factor for value, factor in zip(row, factors, strict=True)] for row in x]


# --- Paper network ---------------------------------------------------------------------------------------------


def paper_pixels(model: Model, planes: list[Plane], width: int) -> Pixels:
    """Return the R, G, B of a tile of `width` pixels from its code planes."""
    layers = [Cell(model, str(n), separable=False, hidden=hidden) for n, hidden in enumerate((1, 1, 3, 3))]
    states: list[State] = [None] * 4
    height = 256 * len(planes[0][0]) // width
    y: Map = [[0.0] * (width * height) for _ in range(3)]
    for t, plane in enumerate(planes):
        gain = [1.0] * (width * height)
        if t and model.config["framework"] == "residual_scaling":
            gain = patch_gains(model, y, width)
        x = linear(model.tensors["network.root.weight"], model.tensors["network.root.bias"], signs(plane))
        across = width // 16
        for n, layer in enumerate(layers):
            x, states[n] = layer.step(x, states[n], across)
            across *= 2
            x = unfold(x, across)
        update = linear(model.tensors["network.output.weight"], model.tensors["network.output.bias"], x)
        update = each(lambda a: math.tanh(a) / 2, update)
        y = update if model.config["framework"] == "one_shot" else add(y, over(update, gain))
    channels = [[255 * (value + 0.5) for value in row] for row in y]
    rgb = list(zip(*channels, strict=True))
    return [rgb[start : start + width] for start in range(0, len(rgb), width)]


def patch_gains(model: Model, y: Map, width: int) -> list[float]:
    """Return, for each pixel, the gain of its patch of 32x32."""
    height = len(y[0]) // width
    across, down = -(-width // 32) * 32, -(-height // 32) * 32
    x = [
        [
            plane[min(row, height - 1) * width + min(column, width - 1)]
            for row in range(down)
            for column in range(across)
        ]
        for plane in y
    ]
    size = across
    for layer in range(4):
        weight, bias = (model.tensors[f"network.gain.layers.{layer}.{part}"] for part in ("weight", "bias"))
        x = each(elu, convolution(weight, bias, x, size, 3, stride=2))
        size //= 2
    weight, bias = (model.tensors[f"network.gain.last.{part}"] for part in ("weight", "bias"))
    (gains,) = each(lambda a: elu(a) + 2, convolution(weight, bias, x, size, 2, stride=2))
    return [gains[row // 32 * (across // 32) + column // 32] for row in range(height) for column in range(width)]


def elu(a: float) -> float:
    """Return a, or exp(a) - 1 below 0."""
    return a if a > 0 else math.expm1(a)
