"""``python -m research.bits DIR``: where the bytes of files go, and what each input of the entropy network saves."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pillow_rnc
from research.bit_counts import measure
from research.bits_page import markdown
from research.model_arguments import chosen_images, chosen_weights, model_parser

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0 done, 2 bad usage."""
    options = _parser().parse_args(arguments)
    try:
        weights = chosen_weights(options)
        bits = measure(chosen_images(options), weights, ablate=not options.plain)
    except (OSError, ValueError, pillow_rnc.RncError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(markdown(bits, weights.name))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = model_parser(
        "research.bits",
        "Show what the bits of files mean, how many the entropy network saves, and what each input contributes.",
    )
    parser.add_argument("--plain", action="store_true", help="withhold no input: a sixth of the time")
    return parser


if __name__ == "__main__":
    sys.exit(main())
