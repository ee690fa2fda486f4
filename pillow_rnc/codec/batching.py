"""Which tiles work together: those that are alike, as many as memory allows, also of several pictures."""

from __future__ import annotations

from itertools import groupby, islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_MEMORY = 128 << 20
"""Bytes that tiles at work may take together unless told otherwise."""

_BYTES_PER_PIXEL = 216  # of a tile at work: all its maps, in either runtime, and codes that wait for it

_Kind = TypeVar("_Kind", tuple[int, int], tuple[int, int, bytes, int])


class Place(NamedTuple):
    """Where a tile stands: in which of the pictures, and its number there."""

    picture: int
    tile: int


def groups(sizes: Mapping[Place, _Kind], max_memory: int) -> Iterator[tuple[list[Place], _Kind]]:
    """Yield tiles of one kind that can work together; those of one picture in their order.

    Args:
        sizes: Height and width of each tile, and what else must be the same.
        max_memory: Bytes that they may take.
    """
    first: dict[int, _Kind] = {}
    for at, size in sizes.items():
        first.setdefault(at.picture, size)
    # Pictures alike stand side by side.
    order = sorted(sizes, key=lambda at: (first[at.picture], at.picture))
    for size, alike in groupby(order, key=sizes.__getitem__):
        at_once = max(1, max_memory // (size[0] * size[1] * _BYTES_PER_PIXEL))
        while group := list(islice(alike, at_once)):
            yield group, size
