"""``python -m research.state_width DIR``: what a narrower state of the entropy network would cost, without training.

Channels of the state are left out one by one, the one that costs the fewest bits first, by the cost of each alone:
their weights are set to 0 wherever the state is read. A network that was trained with fewer channels could be better,
so these are upper bounds.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

import pillow_rnc
from pillow_rnc.codec import encoder
from pillow_rnc.entropy.model import EntropyModel
from pillow_rnc.evaluation.arguments import iteration_counts, positive
from pillow_rnc.evaluation.markdown_table import table
from research.model_arguments import chosen_images, chosen_weights, model_parser

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from pillow_rnc.models.weights import Weights

    Pixels = NDArray[np.uint8]


def without(weights: Weights, channels: Collection[int]) -> Weights:
    """Return the model with these channels of the state left out."""
    model = weights.entropy_model
    feature, state = model.tensors.feature_weight.copy(), model.tensors.state_weight.copy()
    feature[:, list(channels)] = 0
    state[:, list(channels)] = 0
    tensors = replace(model.tensors, feature_weight=feature, state_weight=state)
    return replace(weights, entropy_model=EntropyModel(tensors, model.schedule))


def code_bytes(images: Sequence[Pixels], weights: Weights, iterations: Sequence[int]) -> NDArray[np.int64]:
    """Return the bytes of all payloads of the images, uint8 [H, W, 3] each, up to each of the iterations."""
    total = np.zeros(max(iterations), np.int64)
    for pixels in images:
        _, units = encoder.encode(pixels, weights, iterations=len(total))
        total += np.cumsum([sum(len(segment.payload) for segment in unit) for unit in units])
    return np.array([total[k - 1] for k in iterations])


def measure(
    images: Sequence[Pixels], weights: Weights, iterations: Sequence[int], every: int
) -> list[tuple[int, NDArray[np.float64]]]:
    """Return how many channels are left out and how much larger the codes are, as a share, for each of the iterations.

    Args:
        images: uint8 [H, W, 3] each.
        weights: The model.
        iterations: At which the codes are compared.
        every: Leave out so many channels more from one row to the next.
    """
    width = weights.entropy_model.tensors.feature_weight.shape[1]
    complete = code_bytes(images, weights, iterations)
    alone = [code_bytes(images, without(weights, [channel]), iterations)[-1] for channel in range(width)]
    order = np.argsort(alone, kind="stable")
    return [
        (count, code_bytes(images, without(weights, order[:count].tolist()), iterations) / complete - 1)
        for count in (1, *range(every, width + 1, every))
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 2 bad usage."""
    parser = model_parser("research.state_width", "What a narrower state of the entropy network would cost.")
    parser.add_argument("--iterations", type=iteration_counts, default=(8, 16), metavar="1,2,...")
    parser.add_argument("--every", type=positive, default=4, metavar="N", help="channels from row to row (4)")
    options = parser.parse_args(arguments)
    try:
        weights = chosen_weights(options)
        images = [np.asarray(image) for image in chosen_images(options)]
        rows = measure(images, weights, options.iterations, options.every)
    except (OSError, ValueError, pillow_rnc.RncError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    width = weights.entropy_model.tensors.feature_weight.shape[1]
    print(
        table(
            ["Channels", *(f"{k} iterations" for k in options.iterations)],
            [[str(width - count), *(f"{100 * share:+.2f} %" for share in more)] for count, more in rows],
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
