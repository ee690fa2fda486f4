"""The paper's network on pixels, at its full size or narrower.

Encoder: 3x3/2 to 64, then recurrent layers of 256, 512, 512 channels, each of stride 2; 32 bits per 16x16 pixels.
Decoder: 1x1 to 512, then recurrent layers of 512, 512, 256, 128 channels, each followed by depth-to-space; 1x1 to 3.
About 0.72 million multiply-accumulates per pixel and iteration with LSTM cells.

Its target is the pixels in -0.5..0.5, and all iterations share all parameters.
Source: Toderici et al. 2017, section 2 and figure 1; residual scaling: section 3.2.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pillow_rnc.errors import WeightsError
from pillow_rnc.models.basis import BLOCK
from pillow_rnc.models.layers.activations import Binarizer
from pillow_rnc.models.layers.cells import State, make_cell
from pillow_rnc.models.network import CodecNetwork, Transform

if TYPE_CHECKING:
    from pillow_rnc.models.config import RecurrentConfig

CODE_CHANNELS = 32
CODE_STRIDE = 16
_ENCODER = ((64, 256), (256, 512), (512, 512))  # input and output channels of the recurrent layers
_DECODER = ((512, 512, 1), (128, 512, 1), (128, 256, 3), (64, 128, 3))  # the last is the hidden kernel
_GAIN_PATCH = 32  # pixels along each side that share a gain

Memories = tuple[State | None, ...]


class PaperState(NamedTuple):
    """State of a batch of images: reconstruction [N, 3, H, W], and the memory of each layer of the decoder."""

    reconstruction: Tensor
    decoder: Memories


class PixelTransform(Transform):
    """Pixels in 0..255 <-> -0.5..0.5, [N, 3, H, W] both."""

    def forward(self, pixels: Tensor) -> Tensor:
        return pixels / 255 - 0.5

    def inverse(self, target: Tensor) -> Tensor:
        return 255 * (target + 0.5)


class GainNetwork(nn.Module):
    """Reconstruction [N, 3, H, W] -> one gain above 1 for each 32x32 patch, spread over it, [N, 1, H, W]."""

    def __init__(self) -> None:
        super().__init__()
        channels = (3, 32, 32, 32, 32)
        self.layers = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(channels))
        self.last = nn.Conv2d(32, 1, 2, 2)

    def forward(self, reconstruction: Tensor) -> Tensor:
        height, width = reconstruction.shape[2:]
        x = F.pad(reconstruction, (0, -width % _GAIN_PATCH, 0, -height % _GAIN_PATCH), mode="replicate")
        for layer in self.layers:
            x = F.elu(layer(x))
        gain = F.interpolate(F.elu(self.last(x)) + 2.0, scale_factor=_GAIN_PATCH, mode="nearest")
        return gain[..., :height, :width]


class PaperNetwork(CodecNetwork[PaperState, None, Memories]):
    """Encoder, binarizer and decoder of the paper; height and width are multiples of 16.

    Args:
        config: Its cell is that of the decoder; the encoder has the same, but LSTM in place of associative LSTM.

    Raises:
        WeightsError: The configuration does not have the paper's 32 bits for each 16x16 pixels.
    """

    config: RecurrentConfig

    def __init__(self, config: RecurrentConfig) -> None:
        super().__init__()
        if (config.code_channels, config.code_stride) != (CODE_CHANNELS, CODE_STRIDE):
            raise WeightsError(
                f"model configuration: {config.code_channels} code channels at stride {config.code_stride}, "
                f"the paper's network has {CODE_CHANNELS} at {CODE_STRIDE}"
            )
        self.config = config
        self.transform = PixelTransform()
        divisor = config.paper_divisor
        stem = _ENCODER[0][0] // divisor
        encoder = [(a // divisor, b // divisor) for a, b in _ENCODER]
        decoder = [(a // divisor, b // divisor, kernel) for a, b, kernel in _DECODER]
        cell = config.encoder_cell
        self.stem = nn.Conv2d(3, stem, 3, 2, 1)
        self.encoder = nn.ModuleList(
            make_cell(cell, a, b, kernel=3, hidden_kernel=1, stride=2, separable=False) for a, b in encoder
        )
        self.head = nn.Conv2d(encoder[-1][1], CODE_CHANNELS, 1)
        self.binarizer = Binarizer()
        self.root = nn.Conv2d(CODE_CHANNELS, decoder[0][0], 1)
        self.decoder = nn.ModuleList(
            make_cell(config.cell, a, b, kernel=3, hidden_kernel=k, stride=1, separable=False) for a, b, k in decoder
        )
        self.output = nn.Conv2d(decoder[-1][1] // 4, 3, 1)
        self._one_shot = config.framework == "one_shot"
        self._scaled = config.framework == "residual_scaling"
        if self._scaled:
            self.gain = GainNetwork()

    def initial_state(self, batch: int, height: int, width: int) -> PaperState:
        zeros = self.head.weight.new_zeros((batch, 3, BLOCK * height, BLOCK * width))
        return PaperState(zeros.contiguous(memory_format=torch.channels_last), (None,) * len(_DECODER))

    def weights_of(self, iteration: int) -> None:
        del iteration

    def _gain(self, state: PaperState) -> Tensor | float:
        first = all(memory is None for memory in state.decoder)
        gain: Tensor | float = 1.0
        if self._scaled and not first:
            gain = self.gain(state.reconstruction)
        return gain

    def encode_step(
        self, target: Tensor, weights: None, state: PaperState, memory: Memories | None
    ) -> tuple[Tensor, Memories]:
        del weights
        x = self.stem((target - state.reconstruction) * self._gain(state))
        memories = []
        for layer, before in zip(self.encoder, memory or (None,) * len(_ENCODER), strict=True):
            x, after = layer(x, before)
            memories.append(after)
        return torch.tanh(self.head(x)), tuple(memories)

    def decode_step(self, bits: Tensor, weights: None, state: PaperState) -> PaperState:
        del weights
        gain = self._gain(state)
        x = self.root(bits)
        memories = []
        for layer, before in zip(self.decoder, state.decoder, strict=True):
            x, after = layer(x, before)
            x = F.pixel_shuffle(x, 2)
            memories.append(after)
        update = torch.tanh(self.output(x)) / 2
        reconstruction = update if self._one_shot else state.reconstruction + update / gain
        return PaperState(reconstruction, tuple(memories))

    def reconstruct(self, state: PaperState, iteration: Tensor) -> Tensor:
        del iteration
        return state.reconstruction
