"""The paper's network at its full size or narrower, on pixels: to compare speed and pictures of the light one with.

Encoder: 3x3/2 to 64, then recurrent layers of 256, 512, 512 channels, each of stride 2; 32 bits per 16x16 pixels.
Decoder: 1x1 to 512, then recurrent layers of 512, 512, 256, 128 channels, each followed by depth-to-space; 1x1 to 3.
About 0.72 million multiply-accumulates per pixel and iteration with LSTM cells.

It takes the cells and frameworks of the light network, but no coefficients: pixels lie in -0.5..0.5.
Source: Toderici et al. 2017, section 2 and figure 1; residual scaling: section 3.2.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pillow_rnc.models.recurrent.activations import Binarizer
from pillow_rnc.models.recurrent.cells import State, make_cell

if TYPE_CHECKING:
    from pillow_rnc.models.config import CellName, Framework

FRAMEWORKS: tuple[Framework, ...] = ("one_shot", "additive", "residual_scaling")
"""Those of the paper; the light network may have others."""
CODE_CHANNELS = 32
CODE_STRIDE = 16
_ENCODER = ((64, 256), (256, 512), (512, 512))  # input and output channels of the recurrent layers
_DECODER = ((512, 512, 1), (128, 512, 1), (128, 256, 3), (64, 128, 3))  # the last is the hidden kernel
_GAIN_PATCH = 32  # pixels along each side that share a gain


class PaperState(NamedTuple):
    """State of one picture: reconstruction [N, 3, H, W], and the memory of each recurrent layer."""

    reconstruction: Tensor
    encoder: tuple[State | None, ...]
    decoder: tuple[State | None, ...]


class GainNetwork(nn.Module):
    """Reconstruction [N, 3, H, W] -> one gain above 1 for each 32x32 patch, spread over it, [N, 1, H, W]."""

    def __init__(self) -> None:
        super().__init__()
        channels = (3, 32, 32, 32, 32)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(channels))
        self.last = nn.Conv2d(32, 1, 2, 2)

    def forward(self, reconstruction: Tensor) -> Tensor:
        x = reconstruction
        for layer in self.layers:
            x = F.elu(layer(x))
        return F.interpolate(F.elu(self.last(x)) + 2.0, scale_factor=_GAIN_PATCH, mode="nearest")


class PaperNetwork(nn.Module):
    """Encoder, binarizer and decoder of the paper; height and width are multiples of 32.

    Args:
        cell: Cell of the decoder; the encoder has the same, but LSTM in place of associative LSTM.
        framework: How the iterations add up.
        divisor: Every width but that of the code is divided by it; 1, 2, 4, 8 or 16.

    Raises:
        ValueError: The framework is none of the paper's.
    """

    def __init__(self, cell: CellName = "lstm", framework: Framework = "additive", divisor: int = 1) -> None:
        super().__init__()
        if framework not in FRAMEWORKS:
            msg = f"framework {framework!r} is not one of the paper's {FRAMEWORKS}"
            raise ValueError(msg)
        self.framework = framework
        stem = _ENCODER[0][0] // divisor
        encoder = [(a // divisor, b // divisor) for a, b in _ENCODER]
        decoder = [(a // divisor, b // divisor, kernel) for a, b, kernel in _DECODER]
        encoder_cell: CellName = "lstm" if cell == "associative_lstm" else cell
        self.stem = nn.Conv2d(3, stem, 3, 2, 1)
        self.encoder = nn.ModuleList(
            make_cell(encoder_cell, a, b, kernel=3, hidden_kernel=1, stride=2, separable=False) for a, b in encoder
        )
        self.head = nn.Conv2d(encoder[-1][1], CODE_CHANNELS, 1)
        self.binarizer: nn.Module = Binarizer()
        self.root = nn.Conv2d(CODE_CHANNELS, decoder[0][0], 1)
        self.decoder = nn.ModuleList(
            make_cell(cell, a, b, kernel=3, hidden_kernel=k, stride=1, separable=False) for a, b, k in decoder
        )
        self.output = nn.Conv2d(decoder[-1][1] // 4, 3, 1)
        if framework == "residual_scaling":
            self.gain = GainNetwork()

    def initial_state(self, target: Tensor) -> PaperState:
        """Return the state before the first iteration of pictures like ``target``, [N, 3, H, W]."""
        return PaperState(torch.zeros_like(target), (None,) * len(_ENCODER), (None,) * len(_DECODER))

    def _gain(self, state: PaperState) -> Tensor | float:
        first = all(memory is None for memory in state.decoder)
        gain: Tensor | float = 1.0
        if self.framework == "residual_scaling" and not first:
            gain = self.gain(state.reconstruction)
        return gain

    def encode_step(self, target: Tensor, state: PaperState) -> tuple[Tensor, PaperState]:
        """Return the bits +-1 of the next iteration, [N, 32, H / 16, W / 16], and the state with a newer encoder."""
        x = self.stem((target - state.reconstruction) * self._gain(state))
        memories = []
        for layer, memory in zip(self.encoder, state.encoder, strict=True):
            x, newer = layer(x, memory)
            memories.append(newer)
        bits: Tensor = self.binarizer(torch.tanh(self.head(x)))
        return bits, state._replace(encoder=tuple(memories))

    def decode_step(self, bits: Tensor, state: PaperState) -> PaperState:
        """Return the state after one more iteration, from its bits +-1, [N, 32, H / 16, W / 16]."""
        gain = self._gain(state)
        x = self.root(bits)
        memories = []
        for layer, memory in zip(self.decoder, state.decoder, strict=True):
            x, newer = layer(x, memory)
            x = F.pixel_shuffle(x, 2)
            memories.append(newer)
        update = torch.tanh(self.output(x)) / 2
        reconstruction = update if self.framework == "one_shot" else state.reconstruction + update / gain
        return PaperState(reconstruction, state.encoder, tuple(memories))
