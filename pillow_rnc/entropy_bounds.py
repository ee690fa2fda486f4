"""The values that tensors of the entropy network may have, and the bounds that keep its sums exact.

Source: spec, section "Tensors" of "Entropy network".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pillow_rnc.errors import WeightsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pillow_rnc.entropy_reference import EntropyTensors

KNOWN_BIT = 127  # a one is +127, a zero is -127, an unknown bit is 0
FEATURE_MAX = 255
TALLY_MAX = 127
# float32 holds every integer up to here, so sums in any order are exact.
LARGEST_SUM = 2**24 - 1

_INT8_VALUES, _INT32_VALUES = (-127, 127), (-(2**31), 2**31 - 1)
_VALUES: dict[str, tuple[type[np.signedinteger[Any]], tuple[int, int]]] = {
    "tally_weight": (np.int16, (-32767, 32767)),
    "tally_scale": (np.int32, (1, 65535)),
}


def check_values(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Check type, shape and range of one tensor.

    Raises:
        WeightsError: One of them is another.
    """
    usual = (np.int8, _INT8_VALUES) if name.endswith("weight") else (np.int32, _INT32_VALUES)
    dtype, (lowest, highest) = _VALUES.get(name, usual)
    if array.dtype != dtype or array.shape != shape:
        msg = f"entropy {name} is {array.dtype} {array.shape}, expected {np.dtype(dtype)} {shape}"
        raise WeightsError(msg)
    if array.size and not lowest <= array.min() <= array.max() <= highest:
        msg = f"entropy {name} holds {array.min()} to {array.max()}, expected {lowest} to {highest}"
        raise WeightsError(msg)


def check_sums(tensors: EntropyTensors) -> None:
    """Check the largest sum that each output channel of each layer can make.

    Raises:
        WeightsError: One could leave its bound.
    """
    hidden = np.tile(_reach(tensors.feature_weight, 3), (*tensors.feature_bias.shape[:2], 1))
    hidden[:, 1:] += _reach(tensors.context_weight, 3)
    state = KNOWN_BIT * (_reach(tensors.state_in_weight, 3) + _reach(tensors.state_weight, 1))
    state += TALLY_MAX * _reach(tensors.tally_input_weight, 1)
    output = FEATURE_MAX * _reach(tensors.output_weight, 1)
    output[1:] += TALLY_MAX * _reach(tensors.tally_output_weight, 1)
    # After all iterations: in each, a tally moves by one table or the other.
    tally = _reach(tensors.tally_weight, 1).max(axis=1).sum(axis=0)
    for name, largest in (
        ("state", _reach(tensors.state_in_bias, 0) + state),
        ("hidden", _reach(tensors.feature_bias, 0) + KNOWN_BIT * hidden),
        ("output", _reach(tensors.output_bias, 0) + output),
        ("tally", tally),
    ):
        if largest.size and largest.max() > LARGEST_SUM:
            msg = f"entropy {name} sums reach {largest.max()}, allowed are {LARGEST_SUM}"
            raise WeightsError(msg)


def _reach(terms: NDArray[np.signedinteger[Any]], axes: int) -> NDArray[np.int64]:
    """Return the sums of absolute values over the last axes: the largest sum that inputs of 1 can make."""
    wider = np.abs(terms.astype(np.int16 if terms.dtype == np.int8 else np.int64))
    sums: NDArray[np.int64] = wider.sum(axis=tuple(range(-axes, 0)), dtype=np.int64)
    return sums
