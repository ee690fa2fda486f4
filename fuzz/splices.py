"""Valid parts at wrong positions: units, segments, headers, alpha planes moved, repeated, dropped or of another file.

This models an attacker who can recompute the checksums of chunks and payloads but not the CRC of codes: `Codes_Crc`
stays with its segment wherever that is moved. What is accepted nevertheless must show the image of one of the files
that the parts came from, or of a truncation of it.
"""

from __future__ import annotations

import itertools
import random
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import grammar
import model
import numpy as np
from mutator import join, segments_of, split

from pillow_rnc.container import reader, writer
from pillow_rnc.container.chunks import HEAD_FIELDS, SEGMENT_ENTRY
from pillow_rnc.container.records import ALPHA_TYPE, MAX_ITERATIONS, UNIT_TYPE, Coding, Header
from pillow_rnc.entropy.tile_coder import decode_tile
from pillow_rnc.errors import RncFileError
from pillow_rnc.models import weights

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mutator import Chunk, Segment
    from numpy.typing import NDArray

    Counts = Counter[str]

ITERATIONS_FIELD = 5
"""Position of `Iterations` among the fields of the header."""


class SilentChangeError(AssertionError):
    """Damage was not detected."""


class Pair(NamedTuple):
    """Two files with the same header and other codes."""

    own: bytes
    other: bytes


class Image(NamedTuple):
    """Everything that determines an image: the header except for its counts, the alpha data, and the codes by tile."""

    header: Header
    alpha: bytes | None
    codes: list[NDArray[np.uint8]]
    iterations: int


def sample_pairs(count: int, seed: int = 0) -> list[Pair]:
    """Return small extreme files, each with another of the same size."""
    source, pairs = random.Random(seed), list[Pair]()  # noqa: S311 -- repeatable, not secret
    while len(pairs) < count:
        own = grammar.generate(source, model.tiny())
        other = grammar.generate(source, model.tiny(), header=own.header)
        pair = Pair(writer.build(own), writer.build(other))
        if pair.own != pair.other and max(map(len, pair)) <= 6000:
            pairs.append(pair)
    return pairs


def image(data: bytes) -> Image:
    """Return what a file shows.

    Raises:
        RncFileError: It is rejected.
    """
    file = reader.parse(data)
    header = file.header
    known = weights.weights_for(header)
    codes = []
    for index, tile in enumerate(header.grid):
        segments = [unit[index] for unit in file.units]
        codes.append(decode_tile(segments, known.entropy_model, header.code_shape(tile)[1:], tile=index))
    return Image(replace(header, iterations=0, version=(1, 0)), file.alpha, codes, header.iterations)


def is_cut_of(shown: Image, valid: Image) -> bool:
    """Return whether one is the other or a truncation of it; further iterations without codes may follow."""
    return (shown.header, shown.alpha) == (valid.header, valid.alpha) and all(
        np.array_equal(found, complete[: shown.iterations])
        for found, complete in zip(shown.codes, valid.codes, strict=True)
    )


def fate(damaged: bytes, images: Sequence[Image], what: str) -> str:
    """Return the name of the error that rejects a file, or that it shows one of `images` or a truncation of it.

    Raises:
        SilentChangeError: It shows another image.
    """
    try:
        shown = image(damaged)
    except RncFileError as error:
        return type(error).__name__
    if not any(is_cut_of(shown, valid) for valid in images):
        raise SilentChangeError(f"{what} was not detected")
    return "the same image"


@dataclass
class Parts:
    """The parts of a file. Segments are coding, `Codes_Crc` as stored in the file, and payload."""

    head: list[int]
    model_id: bytes
    optional: list[Chunk]
    units: list[list[Segment]]

    @classmethod
    def of(cls, data: bytes) -> Parts:
        """Return the parts of a valid file."""
        chunks, _ = split(data)
        *head, model_id = HEAD_FIELDS.unpack(chunks[0][1])
        tiles = len(reader.parse(data).header.grid)
        units = [segments_of(value, tiles) for kind, value in chunks if kind == UNIT_TYPE]
        return cls(head, model_id, [one for one in chunks[1:] if one[0] != UNIT_TYPE], units)

    def bytes(self) -> bytes:
        """Return a file of these parts, with correct checksums of chunks and payloads."""
        chunks = [(b"HEAD", HEAD_FIELDS.pack(*self.head, self.model_id)), *self.optional]
        for unit in self.units:
            table = [SEGMENT_ENTRY.pack(kind, len(part), zlib.crc32(part), crc) for kind, crc, part in unit]
            chunks.append((UNIT_TYPE, b"".join(table) + b"".join(part for _, _, part in unit)))
        return join(chunks)


def reorder_units(files: Sequence[bytes]) -> Counts:
    """Exchange any two units of each file, and replace any unit by another."""
    counts: Counts = Counter()
    for data in files:
        valid = image(data)
        parts = Parts.of(data)
        for first, second in itertools.permutations(range(len(parts.units)), 2):
            exchanged, repeated = list(parts.units), list(parts.units)
            exchanged[first], exchanged[second] = exchanged[second], exchanged[first]
            repeated[first] = repeated[second]
            for units in (exchanged, repeated):
                damaged = replace(parts, units=units).bytes()
                counts[fate(damaged, [valid], f"units {first} and {second}")] += 1
    return counts


def splice_at_random(pairs: Sequence[Pair], trials: int, seed: int = 0) -> Counts:
    """Apply one or two splices to a file, with parts of another file with the same header."""
    source = random.Random(seed)  # noqa: S311 -- repeatable, not secret
    images = [[image(data) for data in pair] for pair in pairs]
    counts: Counts = Counter()
    for trial in range(trials):
        place = source.randrange(len(pairs))
        own, other = (Parts.of(data) for data in pairs[place])
        names = source.choices(list(SPLICES), k=source.choice((1, 1, 2)))
        for name in names:
            SPLICES[name](own, other, source)
        found = fate(own.bytes(), images[place], f"{names}, trial {trial} of seed {seed}")
        counts[f"{names[0]}, {found}" if len(names) == 1 else f"two of these, {found}"] += 1
    return counts


def _exchange_units(own: Parts, _other: Parts, source: random.Random) -> None:
    first, second = (source.randrange(len(own.units)) for _ in range(2))
    own.units[first], own.units[second] = own.units[second], own.units[first]


def _repeat_unit(own: Parts, _other: Parts, source: random.Random) -> None:
    own.units[source.randrange(len(own.units))] = list(source.choice(own.units))


def _foreign_unit(own: Parts, other: Parts, source: random.Random) -> None:
    place = source.randrange(len(own.units))
    own.units[place] = list(source.choice((other.units[place % len(other.units)], source.choice(other.units))))


def _insert_unit(own: Parts, other: Parts, source: random.Random) -> None:
    if len(own.units) < MAX_ITERATIONS:
        own.units.insert(source.randrange(len(own.units) + 1), list(source.choice(own.units + other.units)))
        own.head[ITERATIONS_FIELD] = len(own.units)


def _drop_unit(own: Parts, _other: Parts, source: random.Random) -> None:
    if len(own.units) > 1:
        del own.units[source.randrange(len(own.units))]
        own.head[ITERATIONS_FIELD] = len(own.units)


def _exchange_segments(own: Parts, _other: Parts, source: random.Random) -> None:
    (unit, tile), (other_unit, other_tile) = (_place(own, source) for _ in range(2))
    segment = own.units[unit][tile]
    own.units[unit][tile] = own.units[other_unit][other_tile]
    own.units[other_unit][other_tile] = segment


def _repeat_segment(own: Parts, _other: Parts, source: random.Random) -> None:
    unit, tile = _place(own, source)
    own.units[unit][tile] = source.choice(source.choice(own.units))


def _foreign_segment(own: Parts, other: Parts, source: random.Random) -> None:
    unit, tile = _place(own, source)
    anywhere = source.choice(source.choice(other.units))
    own.units[unit][tile] = source.choice((other.units[unit % len(other.units)][tile % len(other.units[0])], anywhere))


def _foreign_tile(own: Parts, other: Parts, source: random.Random) -> None:
    _, tile = _place(own, source)
    for unit, foreign in zip(own.units, other.units, strict=False):
        unit[tile] = foreign[tile % len(foreign)]


def _header_field(own: Parts, _other: Parts, source: random.Random) -> None:
    place = source.randrange(2, len(own.head))
    value = own.head[place] + source.choice((-16, -8, -1, 1, 8, 16))
    own.head[place] = value % (65_536 if place in (2, 3, 8) else 256)


def _alpha(own: Parts, other: Parts, source: random.Random) -> None:
    foreign = [one for one in other.optional if one[0] == ALPHA_TYPE]
    mine = [one for one in own.optional if one[0] == ALPHA_TYPE]
    altered = [(kind, source.randbytes(1) + value[1:]) for kind, value in mine]
    own.optional = [one for one in own.optional if one[0] != ALPHA_TYPE] + source.choice((foreign, [], altered))


def _metadata(own: Parts, other: Parts, source: random.Random) -> None:
    alpha = [one for one in own.optional if one[0] == ALPHA_TYPE]
    own.optional = source.choice(([], [one for one in other.optional if one[0] != ALPHA_TYPE])) + alpha


def _payload(own: Parts, _other: Parts, source: random.Random) -> None:
    unit, tile = _place(own, source)
    coding, codes_crc, payload = own.units[unit][tile]
    if payload:
        altered = bytearray(payload)
        altered[source.randrange(len(altered))] ^= 1 << source.randrange(8)
        own.units[unit][tile] = coding, codes_crc, bytes(altered)


def _coding(own: Parts, _other: Parts, source: random.Random) -> None:
    unit, tile = _place(own, source)
    _, codes_crc, payload = own.units[unit][tile]
    coding = source.choice(tuple(Coding))
    own.units[unit][tile] = coding, codes_crc, b"" if coding is Coding.STOPPED else payload


def _place(own: Parts, source: random.Random) -> tuple[int, int]:
    unit = source.randrange(len(own.units))
    return unit, source.randrange(len(own.units[unit]))


SPLICES: dict[str, Callable[[Parts, Parts, random.Random], None]] = {
    "units exchanged": _exchange_units,
    "a unit replaced by a copy of another": _repeat_unit,
    "a unit of the other file": _foreign_unit,
    "a unit inserted": _insert_unit,
    "a unit dropped": _drop_unit,
    "segments exchanged": _exchange_segments,
    "a segment replaced by a copy of another": _repeat_segment,
    "a segment of the other file": _foreign_segment,
    "a tile of the other file": _foreign_tile,
    "a field of the header": _header_field,
    "alpha": _alpha,
    "metadata": _metadata,
    "a payload": _payload,
    "a coding": _coding,
}
