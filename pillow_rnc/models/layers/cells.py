"""The four recurrent cells of the codec: GRU, residual GRU, LSTM, associative LSTM.

Each cell is convolutional: a map ``x`` [N, in, h, w] and the state of the step before give an output map
[N, out, h, w] and the next state. ``None`` stands for "nothing seen yet", so that no caller needs to know its shape:
the hidden side then adds nothing, which in a full cell equals a state of zeros.

Every gate is an input map ``W x + b`` plus a hidden map ``U h``. In a *full* cell both are plain convolutions. In a
*separable* cell each is a 3x3 depthwise convolution, shared by all gates, followed by one 1x1 convolution per gate.

Source: Toderici et al. 2017; associative LSTM: Danihelka et al. 2016. How many copies the paper has is not known: three
of them, and permutations by arithmetic instead of random ones, are choices made here.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from pillow_rnc.models.layers.pointwise import Pointwise

if TYPE_CHECKING:
    from pillow_rnc.models.config import CellName

State: TypeAlias = tuple[Tensor, ...]

_RESIDUAL_SCALE = 0.1  # a_h and a_x of the residual GRU in all published experiments


class _Gates(nn.Module):
    """A spatial part followed by one linear map: ``outputs`` channels from ``channels`` channels."""

    def __init__(self, channels: int, outputs: int, *, kernel: int, stride: int, separable: bool, bias: bool) -> None:
        super().__init__()
        padding = kernel // 2
        if separable:
            spatial = nn.Conv2d(channels, channels, kernel, stride, padding, groups=channels)
            _near_identity(spatial)
            self.spatial: nn.Module = spatial
            self.mix: nn.Conv2d = Pointwise(channels, outputs, bias=bias)
        else:
            self.spatial = nn.Identity()
            self.mix = nn.Conv2d(channels, outputs, kernel, stride, padding, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.mix(self.spatial(x))
        return mixed


def _near_identity(convolution: nn.Conv2d) -> None:
    """Initialise a depthwise convolution close to the identity."""
    with torch.no_grad():
        convolution.weight.mul_(0.3)
        centre = convolution.kernel_size[0] // 2
        convolution.weight[:, :, centre, centre] += 1.0
        if convolution.bias is not None:
            convolution.bias.zero_()


class GRUCell(nn.Module):
    """Convolutional gated recurrent unit.

    ``z = sigmoid(Wz x + Uz h)``, ``r = sigmoid(Wr x + Ur h)``, ``h' = (1 - z) h + z tanh(W x + U (r h))``.
    In the separable form the hidden state passes the depthwise part once, before the reset gate is applied.
    """

    def __init__(
        self, inputs: int, channels: int, *, kernel: int, hidden_kernel: int, stride: int, separable: bool
    ) -> None:
        super().__init__()
        self.channels = channels
        self.input = _Gates(inputs, 3 * channels, kernel=kernel, stride=stride, separable=separable, bias=True)
        self.hidden = _Gates(channels, 2 * channels, kernel=hidden_kernel, stride=1, separable=separable, bias=False)
        self.candidate: nn.Conv2d = (
            Pointwise(channels, channels, bias=False)
            if separable
            else nn.Conv2d(channels, channels, hidden_kernel, padding=hidden_kernel // 2, bias=False)
        )
        nn.init.orthogonal_(self.candidate.weight.view(channels, -1))

    def _next(self, x: Tensor, state: State | None) -> Tensor:
        c = self.channels
        gates, candidate_input = self.input(x).split([2 * c, c], 1)
        if state is None:
            return torch.sigmoid(gates[:, :c]) * torch.tanh(candidate_input)
        h = state[0]
        mixed = self.hidden.spatial(h)
        update, reset = torch.sigmoid(gates + self.hidden.mix(mixed)).chunk(2, 1)
        candidate = torch.tanh(candidate_input + self.candidate(reset * mixed))
        return h + update * (candidate - h)

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        h = self._next(x, state)
        return h, (h,)


class ResidualGRUCell(GRUCell):
    """GRU with two scaled linear shortcuts: hidden to hidden, and input to output.

    ``h' = GRU(x, h) + 0.1 Wh h`` recurs, ``o = h' + 0.1 Wx x`` is passed on.
    """

    def __init__(
        self, inputs: int, channels: int, *, kernel: int, hidden_kernel: int, stride: int, separable: bool
    ) -> None:
        super().__init__(
            inputs, channels, kernel=kernel, hidden_kernel=hidden_kernel, stride=stride, separable=separable
        )
        self.shortcut_hidden = _Gates(
            channels, channels, kernel=hidden_kernel, stride=1, separable=separable, bias=False
        )
        self.shortcut_input = _Gates(inputs, channels, kernel=kernel, stride=stride, separable=separable, bias=False)

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        h = self._next(x, state)
        if state is not None:
            h = h + _RESIDUAL_SCALE * self.shortcut_hidden(state[0])
        return h + _RESIDUAL_SCALE * self.shortcut_input(x), (h,)


class LSTMCell(nn.Module):
    """Convolutional long short-term memory without peepholes.

    ``f, i, o = sigmoid(W x + U h + b)``, ``j = tanh(W x + U h + b)``, ``c' = f c + i j``, ``h' = o tanh(c')``.
    """

    def __init__(
        self, inputs: int, channels: int, *, kernel: int, hidden_kernel: int, stride: int, separable: bool
    ) -> None:
        super().__init__()
        self.input = _Gates(inputs, 4 * channels, kernel=kernel, stride=stride, separable=separable, bias=True)
        self.hidden = _Gates(channels, 4 * channels, kernel=hidden_kernel, stride=1, separable=separable, bias=False)
        assert self.input.mix.bias is not None
        with torch.no_grad():
            self.input.mix.bias[:channels] = 1.0  # remember by default

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        gates = self.input(x)
        if state is not None:
            gates = gates + self.hidden(state[0])
        forget, write, read, update = gates.chunk(4, 1)
        cell = torch.sigmoid(write) * torch.tanh(update)
        if state is not None:
            cell = cell + torch.sigmoid(forget) * state[1]
        h = torch.sigmoid(read) * torch.tanh(cell)
        return h, (h, cell)


def _bound(z: Tensor) -> Tensor:
    """Scale complex numbers (first half real, second half imaginary channels) into the unit disc."""
    real, imaginary = z.chunk(2, 1)
    modulus = torch.sqrt(real * real + imaginary * imaginary + 1e-12).clamp_min(1.0)
    return torch.cat([real / modulus, imaginary / modulus], 1)


def _complex_product(a: Tensor, b: Tensor) -> Tensor:
    a_real, a_imaginary = a.chunk(2, 1)
    b_real, b_imaginary = b.chunk(2, 1)
    return torch.cat([a_real * b_real - a_imaginary * b_imaginary, a_real * b_imaginary + a_imaginary * b_real], 1)


def _permutation(size: int, copy: int) -> Tensor:
    """Return permutation number ``copy`` of ``size`` channels: fixed by arithmetic, the same everywhere."""
    step = next(s for s in range(1 + 6 * copy, size + 7 * (copy + 1)) if math.gcd(s, size) == 1)
    return (torch.arange(size) * step + copy) % size


class AssociativeLSTMCell(nn.Module):
    """LSTM whose memory is a bank of complex key-value stores with permuted keys.

    Gates ``f, i, o`` are real with d/2 channels, ``j`` and the keys ``k_i, k_o`` complex with d/2 channels.
    For each copy n: ``c_n' = f c_n + P_n(k_i) (i j)``; ``h' = o bnd(mean_n P_n(k_o) c_n')``.
    """

    permutations: Tensor

    def __init__(
        self,
        inputs: int,
        channels: int,
        *,
        kernel: int,
        hidden_kernel: int,
        stride: int,
        separable: bool,
        copies: int = 3,
    ) -> None:
        super().__init__()
        if channels % 2:
            msg = f"associative LSTM: {channels} channels, must be even (real and imaginary halves)"
            raise ValueError(msg)
        self.width = channels // 2
        outputs = 3 * self.width + 3 * channels
        self.input = _Gates(inputs, outputs, kernel=kernel, stride=stride, separable=separable, bias=True)
        self.hidden = _Gates(channels, outputs, kernel=hidden_kernel, stride=1, separable=separable, bias=False)
        order = torch.stack([_permutation(self.width, copy) for copy in range(copies)])
        self.register_buffer("permutations", torch.cat([order, order + self.width], 1), persistent=False)
        assert self.input.mix.bias is not None
        with torch.no_grad():
            self.input.mix.bias[: self.width] = 1.0

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        gates = self.input(x)
        if state is not None:
            gates = gates + self.hidden(state[0])
        d = self.width
        forget, write, read = (torch.sigmoid(g).repeat(1, 2, 1, 1) for g in gates[:, : 3 * d].chunk(3, 1))
        update, write_key, read_key = (_bound(g) for g in gates[:, 3 * d :].chunk(3, 1))
        stored = write * update
        cells = []
        recalled = torch.zeros_like(stored)
        for copy, order in enumerate(self.permutations):
            cell = _complex_product(write_key[:, order], stored)
            if state is not None:
                cell = cell + forget * state[1 + copy]
            cells.append(cell)
            recalled = recalled + _complex_product(read_key[:, order], cell)
        h = read * _bound(recalled / len(cells))
        return h, (h, *cells)


_CELLS: dict[str, type[GRUCell | LSTMCell | AssociativeLSTMCell]] = {
    "gru": GRUCell,
    "residual_gru": ResidualGRUCell,
    "lstm": LSTMCell,
    "associative_lstm": AssociativeLSTMCell,
}


def make_cell(
    name: CellName,
    inputs: int,
    channels: int,
    *,
    kernel: int = 3,
    hidden_kernel: int = 3,
    stride: int = 1,
    separable: bool,
) -> nn.Module:
    """Return a new cell.

    Args:
        name: One of the four published cells.
        inputs: Channels of the input map.
        channels: Channels of the output map and of the state.
        kernel: Size of the input convolution, odd.
        hidden_kernel: Size of the hidden convolution, odd.
        stride: Stride of the input convolution.
        separable: Depthwise and 1x1 convolutions instead of full ones.

    Raises:
        ValueError: The name is unknown or the channels do not suit the cell.
    """
    if name not in _CELLS:
        msg = f"cell {name!r} is not one of {sorted(_CELLS)}"
        raise ValueError(msg)
    return _CELLS[name](
        inputs, channels, kernel=kernel, hidden_kernel=hidden_kernel, stride=stride, separable=separable
    )
