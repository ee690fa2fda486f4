"""The recurrent cells of the specification: GRU, residual GRU, LSTM and associative LSTM."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from reference_operations import Map, Model, add, convolution, each, linear, sigmoid

if TYPE_CHECKING:
    from collections.abc import Sequence

State: TypeAlias = "list[Map] | None"  # None before the first step


class Cell:
    """A recurrent cell: the tensors whose names begin with `network.decoder.NAME`.

    Args:
        model: The model.
        name: As above.
        separable: Whether it has depthwise convolutions and linear maps in the place of convolutions.
        hidden: Size of the kernels over the state in a cell that is not separable; those over the input have 3x3.
    """

    def __init__(self, model: Model, name: str, *, separable: bool, hidden: int = 3) -> None:
        self.model, self.name, self.separable, self.hidden = model, name, separable, hidden

    def tensor(self, name: str) -> tuple[float, ...]:
        """Return one of its tensors."""
        return self.model.get(f"{self.name}.{name}")

    def spatial(self, part: str, x: Map, width: int) -> Map:
        """Return the depthwise convolution of a separable cell; in others, its input."""
        if not self.separable:
            return x
        weight, bias = self.tensor(f"{part}.spatial.weight"), self.tensor(f"{part}.spatial.bias")
        maps = [convolution(weight[9 * c : 9 * c + 9], None, [channel], width)[0] for c, channel in enumerate(x)]
        return [[value + bias[c] for value in channel] for c, channel in enumerate(maps)]

    def mix(self, part: str, x: Map, width: int, bias: Sequence[float] | None = None) -> Map:
        """Return the linear map of a separable cell; in others, the convolution."""
        weight = self.tensor(f"{part}.weight")
        if self.separable:
            return linear(weight, bias, x)
        return convolution(weight, bias, x, width, 3 if part in ("input.mix", "shortcut_input.mix") else self.hidden)

    def step(self, x: Map, state: State, width: int) -> tuple[Map, list[Map]]:
        """Return output and next state."""
        v = self.mix("input.mix", self.spatial("input", x, width), width, self.tensor("input.mix.bias"))
        kind = {"gru": self.gru, "residual_gru": self.residual_gru, "lstm": self.lstm}
        return kind.get(self.model.config["cell"], self.associative_lstm)(x, v, state, width)

    def gates(self, v: Map, state: State, width: int) -> Map:
        """Return v, plus what the state adds to it."""
        return v if state is None else add(v, self.mix("hidden.mix", self.spatial("hidden", state[0], width), width))

    def gru(self, x: Map, v: Map, state: State, width: int) -> tuple[Map, list[Map]]:
        """Return output and next state of a GRU."""
        del x
        n = len(v) // 3
        v_z, v_r, v_q = v[:n], v[n : 2 * n], v[2 * n :]
        if state is None:
            h = each(lambda z, q: sigmoid(z) * math.tanh(q), v_z, v_q)
            return h, [h]
        m = self.spatial("hidden", state[0], width)
        gates = self.mix("hidden.mix", m, width)
        r = each(lambda a, b: sigmoid(a + b), v_r, gates[n:])
        candidate = self.mix("candidate", each(float.__mul__, r, m), width)
        q = each(lambda a, b: math.tanh(a + b), v_q, candidate)
        z = each(lambda a, b: sigmoid(a + b), v_z, gates[:n])
        h = each(lambda h, z, q: h + z * (q - h), state[0], z, q)
        return h, [h]

    def residual_gru(self, x: Map, v: Map, state: State, width: int) -> tuple[Map, list[Map]]:
        """Return output and next state of a residual GRU."""
        h, _ = self.gru(x, v, state, width)
        if state is not None:
            past = self.mix("shortcut_hidden.mix", self.spatial("shortcut_hidden", state[0], width), width)
            h = each(lambda a, b: a + 0.1 * b, h, past)
        skip = self.mix("shortcut_input.mix", self.spatial("shortcut_input", x, width), width)
        return each(lambda a, b: a + 0.1 * b, h, skip), [h]

    def lstm(self, x: Map, v: Map, state: State, width: int) -> tuple[Map, list[Map]]:
        """Return output and next state of an LSTM."""
        del x
        g = self.gates(v, state, width)
        n = len(g) // 4
        c = each(lambda i, j: sigmoid(i) * math.tanh(j), g[n : 2 * n], g[3 * n :])
        if state is not None:
            c = each(lambda c, f, past: c + sigmoid(f) * past, c, g[:n], state[1])
        h = each(lambda o, c: sigmoid(o) * math.tanh(c), g[2 * n : 3 * n], c)
        return h, [h, c]

    def associative_lstm(self, x: Map, v: Map, state: State, width: int) -> tuple[Map, list[Map]]:
        """Return output and next state of an associative LSTM with three copies."""
        del x
        g = self.gates(v, state, width)
        d = len(g) // 9
        f, i, o = (each(sigmoid, g[n * d : n * d + d]) * 2 for n in range(3))
        j, k_i, k_o = (bounded(g[n * d : n * d + 2 * d]) for n in (3, 5, 7))
        stored = each(float.__mul__, i, j)
        copies, recalled = [], [[0.0] * len(x_row) for x_row in stored]
        for n in range(3):
            order = permutation(d, n)
            order += [d + index for index in order]
            c = complex_product([k_i[index] for index in order], stored)
            if state is not None:
                c = each(lambda c, f, past: c + f * past, c, f, state[1 + n])
            copies.append(c)
            recalled = add(recalled, complex_product([k_o[index] for index in order], c))
        h = each(float.__mul__, o, bounded([[value / 3 for value in row] for row in recalled]))
        return h, [h, *copies]


def bounded(z: Map) -> Map:
    """Return complex numbers, the real parts first, divided by their modulus where that is above 1."""
    d = len(z) // 2
    modulus = each(lambda a, b: max(1.0, math.hypot(a, b)), z[:d], z[d:])
    return each(float.__truediv__, z, modulus * 2)


def complex_product(a: Map, b: Map) -> Map:
    """Return the product of complex numbers, value by value."""
    d = len(a) // 2
    real = each(lambda a, b, c, d: a * c - b * d, a[:d], a[d:], b[:d], b[d:])
    return real + each(lambda a, b, c, d: a * d + b * c, a[:d], a[d:], b[:d], b[d:])


def permutation(d: int, n: int) -> list[int]:
    """Return the permutation of the keys of copy n."""
    step = next(s for s in range(6 * n + 1, 7 * n + d + 7) if math.gcd(s, d) == 1)
    return [(index * step + n) % d for index in range(d)]
