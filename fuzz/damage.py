"""No damage changes a picture in silence: python fuzz/damage.py [--files N] [--trials N] [FILE...]

Every single bit is flipped and every cut is made, of each file. Then files are damaged at random: bursts, swaps,
repeats, gaps, splices of two files, segments and chunks repeated or reordered. Whatever differs from the file must be
refused; only where all checksums were made right again may it be another sound file, which must then be canonical.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import grammar
import model
from mutator import join, mutate, split

from pillow_rnc import container
from pillow_rnc.codestream import decode_tile
from pillow_rnc.errors import RncFileError, SignatureError, TruncatedError
from pillow_rnc.records import SIGNATURE, UNIT_TYPE, Coding

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Tally = Counter[str]


class SilentChangeError(AssertionError):
    """Damage was not noticed."""


def sample_files(count: int, seed: int = 0, largest: int = 6000) -> list[bytes]:
    """Return small extreme files."""
    source, files = random.Random(seed), list[bytes]()  # noqa: S311 -- repeatable, not secret
    while len(files) < count:
        data = grammar.generate_bytes(source, model.tiny())
        if len(data) <= largest:
            files.append(data)
    return files


def flip_every_bit(data: bytes) -> Tally:
    """Refuse every file of one flipped bit."""
    tally: Tally = Counter()
    damaged = bytearray(data)
    for position in range(len(data)):
        for bit in range(8):
            damaged[position] ^= 1 << bit
            tally[_refusal(bytes(damaged), f"bit {bit} of byte {position}")] += 1
            damaged[position] ^= 1 << bit
    return tally


def cut_everywhere(data: bytes) -> Tally:
    """Refuse every cut; tolerate it as the whole iterations that are left, which are what they were."""
    tally: Tally = Counter()
    file = container.parse(data)
    for length in range(len(data)):
        tally[_refusal(data[:length], f"cut at {length}")] += 1
        whole = 0
        try:
            container.verify(data[:length])
        except TruncatedError as error:
            whole = error.decodable_iterations
        except SignatureError:
            pass
        if whole:
            shown = container.parse(data[:length], allow_truncated=True)
            if shown.units != file.units[:whole]:
                raise SilentChangeError(f"cut at {length}: other units")
            tally["tolerated"] += 1
    return tally


def damage_at_random(files: Sequence[bytes], trials: int, seed: int = 0) -> Tally:
    """Refuse files with damage of several bytes."""
    source = random.Random(seed)  # noqa: S311 -- repeatable, not secret
    tally: Tally = Counter()
    for trial in range(trials):
        data, other = source.choice(files), source.choice(files)
        kind = source.choice(list(DAMAGES))
        damaged = DAMAGES[kind](data, other, source)
        if damaged in (data, other):
            tally["no damage"] += 1
            continue
        if _is_made_of_whole_chunks(damaged, data, other):
            # Such as the header of one file and the units of another: every checksum is right where it stands.
            tally["whole chunks, not counted"] += 1
            continue
        _refusal(damaged, f"{kind}, trial {trial} of seed {seed}")
        tally[kind] += 1
    return tally


def _is_made_of_whole_chunks(damaged: bytes, data: bytes, other: bytes) -> bool:
    chunks, rest = split(damaged)
    sound = damaged.startswith(SIGNATURE) and join(chunks) == damaged and not rest
    return sound and set(chunks) <= {*split(data)[0], *split(other)[0]}


def damage_with_right_checksums(files: Sequence[bytes], trials: int, seed: int = 0) -> Tally:
    """Refuse files that an attacker made, or find that they are sound and canonical."""
    source = random.Random(seed)  # noqa: S311 -- repeatable, not secret
    tally: Tally = Counter()
    known = {b"HEAD", b"iccp", b"exif", b"xmpp", b"comm", b"dens", b"ALPH", UNIT_TYPE}
    for trial in range(trials):
        damaged = mutate(source.choice(files), source)
        try:
            file = container.parse(damaged)
        except RncFileError as error:
            tally[type(error).__name__] += 1
            continue
        if container.build(file) != damaged and {kind for kind, _ in split(damaged)[0]} <= known:
            raise SilentChangeError(f"trial {trial} of seed {seed}: not canonical")
        tally["another sound file"] += 1
    return tally


def reorder_units(files: Sequence[bytes]) -> Tally:
    """Swap any two units, and put any in the place of another: each checksum is right where it stands.

    What is entropy-coded cannot be read in another place. Raw units can: such files are sound, and counted apart.
    """
    tally: Tally = Counter()
    for data in files:
        chunks, _ = split(data)
        places = [place for place, (kind, _) in enumerate(chunks) if kind == UNIT_TYPE]
        for first, second in itertools.permutations(places, 2):
            swapped, repeated = list(chunks), list(chunks)
            swapped[first], swapped[second] = chunks[second], chunks[first]
            repeated[first] = chunks[second]
            for damaged in (join(swapped), join(repeated)):
                tally[_fate_of_reordered(damaged, data)] += 1
    return tally


def _fate_of_reordered(damaged: bytes, data: bytes) -> str:
    if damaged == data:
        return "no damage"
    try:
        file, sound = container.parse(damaged), container.parse(data)
        for index, tile in enumerate(file.header.grid):
            shape = file.header.code_shape(tile)
            decode_tile((unit[index] for unit in file.units), model.tiny().entropy_model, shape[1:], tile=index)
    except RncFileError as error:
        return type(error).__name__
    moved = [new for new, old in zip(file.units, sound.units, strict=True) if new != old]
    if all(segment.coding is not Coding.ENTROPY for unit in moved for segment in unit):
        return "raw units in another order"
    return "codes that fit in another place"


def _refusal(damaged: bytes, what: str) -> str:
    """Return the name of the error that refuses a file."""
    try:
        container.parse(damaged)
    except RncFileError as error:
        return type(error).__name__
    raise SilentChangeError(f"{what} was not noticed")


def _burst(data: bytes, _other: bytes, source: random.Random) -> bytes:
    start, length = source.randrange(len(data)), source.choice((2, 4, 8, 32, 512))
    return data[:start] + source.randbytes(min(length, len(data) - start)) + data[start + length :]


def _zeros(data: bytes, _other: bytes, source: random.Random) -> bytes:
    start, length = source.randrange(len(data)), source.choice((2, 16, 512))
    return data[:start] + bytes(min(length, len(data) - start)) + data[start + length :]


def _swap(data: bytes, _other: bytes, source: random.Random) -> bytes:
    size = source.choice((1, 4, 16, 64))
    first, second = sorted(source.randrange(len(data)) for _ in range(2))
    if second < first + size:
        return data
    parts = data[:first], data[first : first + size], data[first + size : second], data[second : second + size]
    return parts[0] + parts[3] + parts[2] + parts[1] + data[second + size :]


def _repeat(data: bytes, _other: bytes, source: random.Random) -> bytes:
    start, stop = sorted(source.randrange(len(data) + 1) for _ in range(2))
    return data[:stop] + data[start:]


def _gap(data: bytes, _other: bytes, source: random.Random) -> bytes:
    start, stop = sorted(source.randrange(len(data) + 1) for _ in range(2))
    return data[:start] + data[stop:]


def _splice(data: bytes, other: bytes, source: random.Random) -> bytes:
    return data[: source.randrange(len(data))] + other[source.randrange(len(other)) :]


def _same_place(data: bytes, other: bytes, source: random.Random) -> bytes:
    start = source.randrange(min(len(data), len(other)))
    return data[:start] + other[start:]


def _spare(data: bytes, _other: bytes, source: random.Random) -> bytes:
    return data + source.randbytes(source.choice((1, 2, 100)))


def _text_mode(data: bytes, _other: bytes, source: random.Random) -> bytes:
    return source.choice(
        (
            data.replace(b"\r\n", b"\n"),
            data.replace(b"\n", b"\r\n"),
            bytes(byte & 0x7F for byte in data),
            data.replace(b"\x1a", b""),
        )
    )


DAMAGES: dict[str, Callable[[bytes, bytes, random.Random], bytes]] = {
    "burst": _burst,
    "zeros": _zeros,
    "swap": _swap,
    "repeat": _repeat,
    "gap": _gap,
    "splice": _splice,
    "same place": _same_place,
    "spare bytes": _spare,
    "text mode": _text_mode,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, help="further files")
    parser.add_argument("--files", type=int, default=24)
    parser.add_argument("--trials", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    files = sample_files(arguments.files, arguments.seed) + [path.read_bytes() for path in arguments.paths]
    print(f"{len(files)} files, {sum(map(len, files))} bytes")
    steps: tuple[tuple[str, Callable[[], Tally]], ...] = (
        ("flipped bits", lambda: sum((flip_every_bit(data) for data in files), Counter[str]())),
        ("cuts", lambda: sum((cut_everywhere(data) for data in files), Counter[str]())),
        ("reordered units", lambda: reorder_units(files)),
        ("random damage", lambda: damage_at_random(files, arguments.trials, arguments.seed)),
        ("right checksums", lambda: damage_with_right_checksums(files, arguments.trials, arguments.seed)),
    )
    for name, step in steps:
        start = time.perf_counter()
        tally = step()
        seconds = time.perf_counter() - start
        print(f"{name}: {tally.total()} in {seconds:.0f} s, none silent: {dict(tally.most_common())}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
