"""Types of command-line arguments that several commands share; loads the standard library only."""

from __future__ import annotations

import argparse

from pillow_rnc.container.records import MAX_ITERATIONS


def iteration_counts(text: str) -> tuple[int, ...]:
    """Return sorted iteration counts of a list such as ``1,2,4-8``; for argparse."""
    counts: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        try:
            counts.update(range(int(first), int(last or first) + 1))
        except ValueError as error:
            msg = f"{part!r} is not an iteration count"
            raise argparse.ArgumentTypeError(msg) from error
    if not counts or not 1 <= min(counts) <= max(counts) <= MAX_ITERATIONS:
        msg = f"{text!r} is not within 1 to {MAX_ITERATIONS}"
        raise argparse.ArgumentTypeError(msg)
    return tuple(sorted(counts))


def positive(text: str) -> int:
    """Return a number of at least 1 that was given as text."""
    if not text.isdecimal() or int(text) < 1:
        msg = f"{text!r} is not a number of at least 1"
        raise argparse.ArgumentTypeError(msg)
    return int(text)
