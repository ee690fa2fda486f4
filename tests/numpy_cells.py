"""The four recurrent cells restated in float64 NumPy from their published equations, for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Map: TypeAlias = "NDArray[np.float64]"
Tensors: TypeAlias = "Mapping[str, NDArray[Any]]"


def sigmoid(x: Map) -> Map:
    return np.asarray(1 / (1 + np.exp(-x)))


def convolve(x: Map, weight: Map, bias: Map | None = None, *, stride: int = 1) -> Map:
    """Return the cross-correlation of x [N, in, h, w] with weight [out, in, k, k], zeros round the map."""
    kernel = weight.shape[2]
    reach = kernel // 2
    padded = np.pad(x, ((0, 0), (0, 0), (reach, reach), (reach, reach)))
    height = (x.shape[2] + 2 * reach - kernel) // stride + 1
    width = (x.shape[3] + 2 * reach - kernel) // stride + 1
    out = np.zeros((len(x), len(weight), height, width))
    for dy in range(kernel):
        for dx in range(kernel):
            taps = padded[:, :, dy : dy + stride * height : stride, dx : dx + stride * width : stride]
            out += np.einsum("oi,nihw->nohw", weight[:, :, dy, dx], taps)
    return out if bias is None else out + bias[None, :, None, None]


def depthwise(x: Map, weight: Map, bias: Map, *, stride: int = 1) -> Map:
    """Return the convolution of each channel with its own kernel, weight [C, 1, k, k]."""
    maps = [convolve(x[:, c : c + 1], weight[c : c + 1], bias[c : c + 1], stride=stride) for c in range(len(weight))]
    return np.concatenate(maps, 1)


def linear_map(tensors: Tensors, name: str, x: Map, *, stride: int = 1) -> Map:
    """Return ``W x + b`` of a full or separable map of the cell: spatial part, then 1x1 part, where it has both."""
    spatial = f"{name}.spatial.weight"
    if spatial in tensors:
        x = depthwise(x, tensors[spatial], tensors[f"{name}.spatial.bias"], stride=stride)
        stride = 1
    return convolve(x, tensors[f"{name}.mix.weight"], tensors.get(f"{name}.mix.bias"), stride=stride)


def gru(tensors: Tensors, x: Map, h: Map, *, stride: int = 1) -> Map:
    """z = s(Wz x + Uz h); r = s(Wr x + Ur h); h' = (1 - z) h + z tanh(W x + U (r h))."""
    c = h.shape[1]
    from_input, from_hidden = linear_map(tensors, "input", x, stride=stride), linear_map(tensors, "hidden", h)
    z = sigmoid(from_input[:, :c] + from_hidden[:, :c])
    r = sigmoid(from_input[:, c : 2 * c] + from_hidden[:, c:])
    if "hidden.spatial.weight" in tensors:
        h_mixed = depthwise(h, tensors["hidden.spatial.weight"], tensors["hidden.spatial.bias"])
    else:
        h_mixed = h
    candidate = np.tanh(from_input[:, 2 * c :] + convolve(r * h_mixed, tensors["candidate.weight"]))
    return (1 - z) * h + z * candidate


def residual_gru(tensors: Tensors, x: Map, h: Map, *, stride: int = 1) -> tuple[Map, Map]:
    """h' = GRU(x, h) + 0.1 Wh h recurs; o = h' + 0.1 Wx x is passed on."""
    new = gru(tensors, x, h, stride=stride) + 0.1 * (
        linear_map(tensors, "shortcut_hidden", h) if h.any() else np.zeros_like(h)
    )
    return new + 0.1 * linear_map(tensors, "shortcut_input", x, stride=stride), new


def lstm(tensors: Tensors, x: Map, h: Map, cell: Map, *, stride: int = 1) -> tuple[Map, Map]:
    """f, i, o = s(W x + U h + b); j = tanh(W x + U h + b); c' = f c + i j; h' = o tanh(c')."""
    gates = linear_map(tensors, "input", x, stride=stride) + linear_map(tensors, "hidden", h)
    f, i, o, j = np.split(gates, 4, 1)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(j)
    return sigmoid(o) * np.tanh(cell), cell


def bound(z: NDArray[np.complex128]) -> NDArray[np.complex128]:
    return np.asarray(z / np.maximum(1, np.abs(z)))


def associative_lstm(
    tensors: Tensors, orders: list[list[int]], x: Map, h: Map, cells: list[NDArray[np.complex128]], *, stride: int = 1
) -> tuple[Map, list[NDArray[np.complex128]]]:
    """c_n' = f c_n + P_n(k_i) (i j); h' = o bnd(mean_n P_n(k_o) c_n'), with complex keys and memories."""
    gates = linear_map(tensors, "input", x, stride=stride) + linear_map(tensors, "hidden", h)
    d = h.shape[1] // 2
    f, i, o = (sigmoid(gates[:, n * d : (n + 1) * d]) for n in range(3))
    complexes = [gates[:, (3 + 2 * n) * d : (4 + 2 * n) * d] + 1j * gates[:, (4 + 2 * n) * d : (5 + 2 * n) * d]
                 for n in range(3)]  # fmt: skip
    j, key_in, key_out = (bound(z) for z in complexes)
    new = [f * cell + key_in[:, order] * (i * j) for order, cell in zip(orders, cells, strict=True)]
    recalled = sum(key_out[:, order] * cell for order, cell in zip(orders, new, strict=True)) / len(new)
    out = o * bound(np.asarray(recalled))
    return np.concatenate([out.real, out.imag], 1), new
