"""The progressive entropy coder of the paper: what a serial coder in floats would save; no file uses it.

One iteration, in raster order; every iteration has weights of its own, but for the recurrence over iterations::

      codes of this iteration ---> masked 7x7 ---+
                                                 +--> line LSTM, row by row --> 1x1 --> 1x1 --> P(bit = 1)
      codes before --> 3x3, 3x3 --> LSTM over ---+
                                  the iterations   3x3

The bits of one cell are independent of each other, given all cells above it and to its left and all iterations before.
It runs in floats and cell by cell, so two machines might disagree, and an image could not be decoded in parallel.
It computes ideal code lengths only.

Source: Toderici et al. 2017, on entropy coding, and the code that its authors published for it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pillow_rnc.models.layers.cells import make_cell

if TYPE_CHECKING:
    from pillow_rnc.models.layers.cells import State

_SIDE = 7  # of the masked convolution
_MOST = 0.999  # of 2 P - 1, so that no bit costs more than 11


def _causal_mask() -> Tensor:
    """Return the upper half of the masked convolution, [4, 7]: all rows above, and the left part of the own row."""
    mask = torch.ones(_SIDE // 2 + 1, _SIDE)
    mask[-1, _SIDE // 2 :] = 0.0
    return mask


class _MaskedConvolution(nn.Conv2d):
    """7x7 convolution that does not see its own cell and those after it in raster order."""

    mask: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, (_SIDE // 2 + 1, _SIDE))
        self.register_buffer("mask", _causal_mask(), persistent=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 -- the name of the base class
        """Return the map [N, outputs, h, w] of a map [N, inputs, h, w]."""
        half = _SIDE // 2
        return F.conv2d(F.pad(input, (half, half, half, 0)), self.weight * self.mask, self.bias)


class LineLSTM(nn.Module):
    """LSTM from row to row, all iterations side by side: [T, N, inputs, h, w] to [T, N, channels, h, w].

    A cell sees itself and its left neighbour in the input, and three cells of the row above in the state.
    """

    def __init__(self, iterations: int, inputs: int, channels: int) -> None:
        super().__init__()
        self.inputs = nn.ModuleList(nn.Conv2d(inputs, 4 * channels, (1, 2)) for _ in range(iterations))
        bound = 1 / math.sqrt(3 * channels)
        self.hidden = nn.Parameter((torch.rand(iterations, 3 * channels, 4 * channels) * 2 - 1) * bound)
        with torch.no_grad():
            for convolution in self.inputs:
                assert isinstance(convolution.bias, Tensor)
                convolution.bias[:channels] = 1.0  # remember by default

    def forward(self, x: Tensor) -> Tensor:
        maps = [one(F.pad(part, (1, 0))) for one, part in zip(self.inputs, x.unbind(), strict=True)]
        rows = torch.stack(maps).permute(3, 0, 1, 4, 2)  # [h, T, N, w, 4 K]
        out: list[Tensor] = []
        memory: Tensor | None = None
        for row in rows:
            gates = row
            if out:
                around = F.pad(out[-1], (0, 0, 1, 1))
                seen = torch.cat([around[..., :-2, :], around[..., 1:-1, :], around[..., 2:, :]], -1)
                gates = gates + torch.bmm(seen.flatten(1, 2), self.hidden).view_as(row)
            forget, write, read, update = gates.chunk(4, -1)
            stored = torch.sigmoid(write) * torch.tanh(update)
            memory = stored if memory is None else torch.sigmoid(forget) * memory + stored
            out.append(torch.sigmoid(read) * torch.tanh(memory))
        return torch.stack(out).permute(1, 2, 4, 0, 3)


def _two_layers(inputs: int, hidden: int, outputs: int, kernel: int) -> nn.Sequential:
    padding = kernel // 2
    return nn.Sequential(
        nn.Conv2d(inputs, hidden, kernel, padding=padding),
        nn.Tanh(),
        nn.Conv2d(hidden, outputs, kernel, padding=padding),
    )


class PublishedCoder(nn.Module):
    """Predicts the codes of all iterations.

    Args:
        iterations: How many there are, T.
        channels: Bits of each cell, C; the layers are twice as wide.
    """

    def __init__(self, iterations: int, channels: int) -> None:
        super().__init__()
        self.channels, wide = channels, 2 * channels
        self.current = nn.ModuleList(_MaskedConvolution(channels, wide) for _ in range(iterations))
        # Nothing comes before the first iteration.
        self.summary = nn.ModuleList(_two_layers(channels, wide, channels, 3) for _ in range(iterations - 1))
        self.recurrence = make_cell("lstm", channels, wide, kernel=1, hidden_kernel=1, separable=False)
        self.state = _two_layers(wide, wide, channels, 1)
        self.earlier = nn.ModuleList(nn.Conv2d(channels, wide, 3, padding=1) for _ in range(iterations - 1))
        self.lines = LineLSTM(iterations, 2 * wide, wide)
        self.output = nn.ModuleList(_two_layers(wide, wide, channels, 1) for _ in range(iterations))

    @torch.no_grad()
    def expect(self, ones: Tensor) -> None:
        """Start from how often each bit is one, [T, C], instead of from even odds."""
        for layers, share in zip(self.output, ones, strict=True):
            last = layers[-1]  # type: ignore[index]
            last.bias.copy_(torch.atanh((2 * share - 1).clamp(-_MOST, _MOST) * _MOST))

    def expectations(self, codes: Tensor) -> Tensor:
        """Return the expected bit, 2 P(bit = +1) - 1, within +-0.999, like codes.

        Args:
            codes: Bits +-1, and 0 where a bit is inferred and not coded, float32 [T, N, C, h, w].
        """
        earlier = [torch.zeros_like(part) for part in self._masked(codes[:1])]
        memory: State | None = None
        for plane, summary, lookup in zip(codes, self.summary, self.earlier, strict=False):
            features, memory = self.recurrence(torch.tanh(summary(plane)), memory)
            earlier.append(torch.tanh(lookup(torch.tanh(self.state(features)))))
        seen = torch.cat([torch.stack(self._masked(codes)), torch.stack(earlier)], 2)
        lines = self.lines(seen)
        return torch.stack([_MOST * torch.tanh(o(part)) for o, part in zip(self.output, lines, strict=True)])

    def _masked(self, codes: Tensor) -> list[Tensor]:
        return [torch.tanh(one(plane)) for one, plane in zip(self.current, codes, strict=False)]

    def code_lengths(self, codes: Tensor) -> Tensor:
        """Return the ideal code length in bits of every image in each iteration, float32 [T, N].

        Args:
            codes: As of `expectations`.
        """
        return ((1 - torch.log2(1 + codes * self.expectations(codes))) * codes.abs()).sum((2, 3, 4))
