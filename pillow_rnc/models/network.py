"""The interface of the codec networks of both families: what coding, training and export ask of them.

A network turns pixels into a target, codes the target iteration by iteration as bits +-1, and reconstructs it from the
bits. What it remembers between iterations is opaque to its callers: they pass states on as they got them::

    pixels --transform--> target --encode_step--> pre-activations --binarizer--> bits
                                                                                  |
    pixels <--inverse-- target <--reconstruct-- state <-------decode_step---------+
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from torch import Tensor, nn

if TYPE_CHECKING:
    from pillow_rnc.models.config import ModelConfig

StateT = TypeVar("StateT")
WeightsT = TypeVar("WeightsT")
MemoryT = TypeVar("MemoryT")


class Transform(nn.Module, ABC):
    """RGB pixels in 0..255 <-> the target that a network codes."""

    @abstractmethod
    def forward(self, pixels: Tensor) -> Tensor:
        """Return the target [N, C, h, w] of pixels [N, 3, H, W] in 0..255."""

    @abstractmethod
    def inverse(self, target: Tensor) -> Tensor:
        """Return pixels [N, 3, H, W], neither clipped nor rounded, of a target or its reconstruction."""


class CodedValues(NamedTuple):
    """Which bits of an iteration are coded, where some are inferred, and what they mean to the entropy network.

    Attributes:
        values: [N, M, h, w], 1, 0 or -1 for each context-coded channel.
        magnitudes: Which context-coded bits are coded, bool [N, M, h, w].
        signs: Which bypass-coded bits are coded, bool [N, C - M, h, w].
    """

    values: Tensor
    magnitudes: Tensor
    signs: Tensor


class CodecNetwork(nn.Module, ABC, Generic[StateT, WeightsT, MemoryT]):
    """A codec without its entropy coding.

    Type variables: what encoder and decoder both know after some iterations; what belongs to one iteration alone; what
    the encoder alone remembers.
    """

    config: ModelConfig
    transform: Transform
    binarizer: nn.Module

    @abstractmethod
    def initial_state(self, batch: int, height: int, width: int) -> StateT:
        """Return the state before the first iteration; ``height`` and ``width`` count 8x8 blocks, both even."""

    @abstractmethod
    def weights_of(self, iteration: int) -> WeightsT:
        """Return what belongs to one iteration alone; index from 0."""

    @abstractmethod
    def encode_step(
        self, target: Tensor, weights: WeightsT, state: StateT, memory: MemoryT | None
    ) -> tuple[Tensor, MemoryT | None]:
        """Return the binarizer's input for the next iteration, [N, C, h, w], and the encoder's next memory.

        Args:
            target: Output of ``transform``.
            weights: Those of the iteration.
            state: State before it.
            memory: The encoder's own memory, None before the first iteration.
        """

    @abstractmethod
    def decode_step(self, bits: Tensor, weights: WeightsT, state: StateT) -> StateT:
        """Return the state after one more iteration, from its bits +-1, [N, C, h, w]."""

    @abstractmethod
    def reconstruct(self, state: StateT, iteration: Tensor) -> Tensor:
        """Return the reconstruction of the target.

        Args:
            state: State after at least one iteration.
            iteration: Index of the last iteration of each image, int64 [N].
        """

    def coded_values(self, bits: Tensor, weights: WeightsT, state: StateT) -> CodedValues | None:
        """Return which bits of an iteration are coded, given the state before it; None if all of them are."""
        del bits, weights, state
        return None
