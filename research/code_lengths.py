"""The code length of each bit of an image by the entropy network of a model, also with some of its inputs withheld.

All codes are known here, so an image is evaluated an iteration at a time, by the network that training simulates; its
values are the integers of the weights file, and the probabilities are the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from pillow_rnc.entropy.significance import coded_mask
from pillow_rnc.entropy.tables import PROBABILITY
from pillow_rnc.entropy.tensors import TABLE_CENTRE
from pillow_rnc.models.weights import find
from pillow_rnc.training.accumulators import AccumulatorWeights
from pillow_rnc.training.entropy_network import EntropyNetwork, Hidden, IterationIntegers, SharedIntegers

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from pillow_rnc.entropy.model import EntropyModel
    from pillow_rnc.models.weights import Weights

Input = Literal["passes", "memory", "accumulators", "earlier iterations"]
"""What can be withheld: earlier passes of the iteration; the recurrent state, which then starts again from the bits of
the previous iteration; the accumulators; or everything from earlier iterations."""

ENTRIES = len(PROBABILITY)
BIT_LENGTHS = -np.log2(np.stack([65536 - PROBABILITY.astype(np.float64), PROBABILITY]) / 65536)
"""Ideal code length of bits 0 and 1 by entry of the table of probabilities, float64 [2, 256]."""


def coded_bits(model: EntropyModel, codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which bits are coded, bool [T, C, h, w]; all others are inferred to be 0.

    Args:
        model: Of the codes.
        codes: Of one tile, uint8 [T, C, h, w], values 0 or 1.
    """
    tracker, found = model.coded_bits(*codes.shape[2:]), []
    for plane in codes:
        found.append(coded_mask(tracker, plane))
        tracker.finish(plane)
    return np.stack(found)


class CodeLengths:
    """Code lengths of known codes by the entropy network of a model.

    Args:
        weights: The model.
    """

    def __init__(self, weights: Weights) -> None:
        with torch.device("meta"):  # its parameters are not used, those of the file are
            self._network = EntropyNetwork(weights.config)
        path = find(weights.model_id).path
        own = {name.removeprefix("entropy."): one.float() for name, one in load_file(path).items()}
        self._shared = SharedIntegers(own["state.weight"], own["feature.weight"], own["accumulator_input.weight"])
        self._iterations = [
            IterationIntegers(
                own["state_in.weight"][t - 1] if t else None,
                own["state_in.bias"][t - 1] if t else None,
                own["feature.bias"][t],
                own["context.weight"][t],
                own["output.weight"][t],
                own["output.bias"][t],
                own["accumulator_output.weight"][t - 1] if t else None,
                AccumulatorWeights(own["accumulator.weight"][t - 1], own["accumulator.scale"][t - 1]) if t else None,
            )
            for t in range(weights.config.iterations)
        ]
        self._model = weights.entropy_model

    @torch.inference_mode()
    def entries(self, codes: NDArray[np.uint8], withheld: Collection[Input] = ()) -> NDArray[np.uint8]:
        """Return the entry of the table of probabilities for each context-coded bit, uint8 [T, M, h, w].

        There is one for each bit but signs, coded or inferred.

        Args:
            codes: Of one tile, uint8 [T, C, h, w], values 0 or 1.
            withheld: Inputs that the network does not see, although it was trained with them.
        """
        shared = self._shared
        if "accumulators" in withheld:
            shared = shared._replace(accumulator_input=torch.zeros_like(shared.accumulator_input))
        coded_bits = self._model.coded_bits(*codes.shape[2:])
        # What the network sees of bits once they are known.
        known = torch.from_numpy(np.stack([coded_bits.finish(plane) for plane in codes]).astype(np.float32))
        before: Hidden | None = None
        found = []
        for t, values in enumerate(self._iterations[: len(codes)]):
            if t and "earlier iterations" not in withheld:
                if before is not None and "memory" in withheld:
                    before = before._replace(state=torch.zeros_like(before.state))
                before = self._network.advance(shared, values, known[t - 1 : t], before)
            logits = self._network.logits(shared, _without(values, withheld), known[t : t + 1], before)
            found.append((16 * logits[0]).to(torch.int16) + TABLE_CENTRE)
        return torch.stack(found).to(torch.uint8).numpy()

    def lengths(self, codes: NDArray[np.uint8], withheld: Collection[Input] = ()) -> NDArray[np.float32]:
        """Return the ideal code length of each bit in bits, float32 [T, C, h, w]; arguments as for `entries`.

        It is 1 for a sign, and 0 for an inferred bit.
        """
        entries = self.entries(codes, withheld)
        lengths = coded_bits(self._model, codes).astype(np.float32)
        modelled = entries.shape[1]
        lengths[:, :modelled] *= BIT_LENGTHS.astype(np.float32)[codes[:, :modelled], entries]
        return lengths


def _without(values: IterationIntegers, withheld: Collection[Input]) -> IterationIntegers:
    if "passes" in withheld:
        values = values._replace(context_weight=torch.zeros_like(values.context_weight))
    if "accumulators" in withheld:
        values = values._replace(accumulator_output=None)
    return values


def refitted_bits(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the ideal code lengths in bits after the log-odds of each group were scaled and shifted to fit best.

    A network that lacks an input is overconfident; this corrects it, as far as two parameters can. They are fitted by
    Newton's method to the very bits whose length is returned.

    Args:
        counts: How often bits of each value met each entry of the table, [..., 2, 256].

    Returns:
        float64 [...].
    """
    x = torch.linspace(-8, 8 - 1 / 16, ENTRIES, dtype=torch.float64)  # log-odds of the entries
    flat = counts.reshape(-1, 2, ENTRIES)
    used = flat.any((1, 2))
    n = torch.from_numpy(flat[used]).double()
    total = n.sum(1)
    best = _lengths(n, x.expand(len(n), -1))
    # From even odds, where Newton's steps do not overshoot.
    stretch, shift = torch.zeros(len(n), 1, dtype=torch.float64), torch.zeros(len(n), 1, dtype=torch.float64)
    for _ in range(_NEWTON_STEPS):
        p = torch.sigmoid(stretch * x + shift)
        error, curvature = total * p - n[:, 1], total * p * (1 - p)
        a, b, d = ((curvature * x**power).sum(1, keepdim=True) for power in (2, 1, 0))
        a, d = a + _RIDGE, d + _RIDGE
        u, v = (error * x).sum(1, keepdim=True) + _RIDGE * stretch, error.sum(1, keepdim=True) + _RIDGE * shift
        determinant = a * d - b * b
        stretch = stretch - (d * u - b * v) / determinant
        shift = shift - (a * v - b * u) / determinant
        best = torch.minimum(best, _lengths(n, stretch * x + shift))
    bits = np.zeros(len(flat))
    bits[used] = best.numpy()
    return bits.reshape(counts.shape[:-2])


_NEWTON_STEPS = 15
_RIDGE = 1e-3  # keeps groups of equal bits, which any scale fits, from diverging


def _lengths(n: Tensor, logits: Tensor) -> Tensor:
    """Return code lengths in bits [groups] of counts [groups, 2, entries] by log-odds [groups, entries]."""
    softplus = torch.nn.functional.softplus
    nats: Tensor = (n[:, 0] * softplus(logits) + n[:, 1] * softplus(-logits)).sum(1)
    return nats / float(np.log(2))
