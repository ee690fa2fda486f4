"""The interface of a model that a run can train: a codec network, its entropy model, and its loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import torch

    from pillow_rnc.models.network import CodecNetwork
    from pillow_rnc.training.recipe import Recipe

CurvePoint = tuple[float, float, float]
"""bpp, PSNR-HVS with a chroma share in dB, MS-SSIM: after an iteration, means over images."""


class StepInputs(NamedTuple):
    """What a step needs beside the parameters.

    Attributes:
        pixels: float32 [N, 3, H, W] in 0..255; H and W multiples of 16.
        supervised: Iterations that MS-SSIM supervises: indices on the host, or int64 on the device where a captured
            graph must read them there. In the embedded family no others are reconstructed.
    """

    pixels: Tensor
    supervised: Sequence[int] | Tensor


class StepLoss(NamedTuple):
    """Loss to minimize, and means over the batch after each iteration, float32 [iterations], for the log.

    The error is NaN after iterations that were not reconstructed.
    """

    loss: Tensor
    bpp: Tensor
    hvs_db: Tensor


class TrainableModel(nn.Module, ABC):
    """Calling it gives the loss of a batch.

    Args:
        recipe: The choices of the run.
        network: The codec.

    Attributes:
        entropy: Learns to predict the codes; may have no parameters.
        codec_learns: False while ``entropy`` learns alone.
        autocast: Precision of the codec's convolutions and matrix products; None for float32.
        draws_codes: Whether codes are drawn at random in training, so that a step needs a seed of its own.
    """

    network: CodecNetwork[Any, Any, Any]
    entropy: nn.Module
    draws_codes = False

    def __init__(self, recipe: Recipe, network: CodecNetwork[Any, Any, Any]) -> None:
        super().__init__()
        self.recipe = recipe
        self.network = network
        self.codec_learns = True
        self.autocast: torch.dtype | None = None

    @abstractmethod
    def forward(self, inputs: StepInputs) -> StepLoss:
        """Return the loss of a batch."""

    @abstractmethod
    def curve(self, pixels: Tensor) -> list[CurvePoint]:
        """Return the rate-distortion curve over images of one size, float32 [N, 3, H, W] in 0..255."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Return the tensors of the weights file.

        Raises:
            ValueError: There is no weights file for such a model.
        """

    def start(self, pixels: Tensor) -> None:
        """Initialise the parameters from training images, float32 [N, 3, H, W] in 0..255."""

    def compile_parts(self, compiler: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Replace the functions that do the arithmetic by those that ``compiler`` returns for them."""

    def macs_per_pixel(self) -> float | None:
        """Return multiply-accumulates per pixel of a forward pass; None if they are not counted."""
        return None
