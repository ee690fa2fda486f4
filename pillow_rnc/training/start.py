"""What a greedy start of training, by `embedded.start` or `recurrent.start`, reports of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Start(NamedTuple):
    """Quality of the start on its sample.

    Attributes:
        errors: Squared error per pixel after each iteration.
        ones: How often each context-coded bit is one, float32 [iterations, M].
    """

    errors: list[float]
    ones: Tensor
