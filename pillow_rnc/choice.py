"""Which ones of a code plane are worth their bits: the binarizer, told by the entropy network what each one costs.

A one that lies just over its threshold improves the picture little; where the entropy network hardly expects it, as a
lone detail in a flat area, the same bits do more elsewhere. So an unlikely one must be more than just over. What is
left out is not lost: later iterations come back to it at a finer step, when it costs less.

A decoder is not concerned: it reads whatever was chosen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FREE_NATS = np.float32(2.4)  # log-odds against a one from which on more is asked of it
_PER_NAT = np.float32(0.168)  # of the binarizer's input, whose slope is 2 per quantiser step where training starts


def hurdles(probabilities: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Return what the binarizer's input must reach, at least 0, for probabilities of a one in 1/65536, 1 to 65535.

    A one that is wanted by x steps more than its threshold lowers the squared error by 2.4 x steps squared, and a bit
    is worth 0.14 steps squared where quantisers of its step are efficient.
    """
    against = np.log(np.float32(65536) / probabilities.astype(np.float32) - np.float32(1))
    hurdle: NDArray[np.float32] = np.maximum(against - _FREE_NATS, np.float32(0)) * _PER_NAT
    return hurdle


def chosen(inputs: NDArray[np.float32], probabilities: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """Return codes 0 or 1 for inputs of the binarizer and the probabilities of a one, all of one shape."""
    return (inputs >= hurdles(probabilities)).view(np.uint8)
