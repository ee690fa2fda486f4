"""Which tiles run through the network together: tiles of one kind, as many as memory allows, of one or more images."""

from __future__ import annotations

from itertools import groupby, islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_Kind = TypeVar("_Kind", tuple[int, int], tuple[int, int, bytes, int])


class TileRef(NamedTuple):
    """A tile, by the index of its image and its own index in the grid of that image."""

    image: int
    tile: int


def batches(kinds: Mapping[TileRef, _Kind], max_memory: int, pixel_bytes: int) -> Iterator[tuple[list[TileRef], _Kind]]:
    """Yield the tiles in batches of one kind; tiles of one kind and one image come in the order of the mapping.

    Args:
        kinds: Padded height and width of each tile in pixels, and what else the tiles of a batch have in common.
        max_memory: Bytes that a batch may take; a single tile may take more.
        pixel_bytes: Bytes that the network takes for each pixel of a tile.
    """
    first: dict[int, _Kind] = {}
    for ref, kind in kinds.items():
        first.setdefault(ref.image, kind)
    # Images with tiles of the same kind come one after the other.
    order = sorted(kinds, key=lambda ref: (first[ref.image], ref.image))
    for kind, alike in groupby(order, key=kinds.__getitem__):
        length = max(1, max_memory // (kind[0] * kind[1] * pixel_bytes))
        while batch := list(islice(alike, length)):
            yield batch, kind
