"""No damage changes a picture in silence: python fuzz/damage.py [--files N] [--trials N] [FILE...]

Every single bit is flipped and every cut is made, of each file. Then files are damaged at random: bursts, swaps,
repeats, gaps, parts of two files in one. Then sound parts are moved, with the checksums of chunks and payloads made
right again (see `splices`). Whatever shows another picture than a file or a cut of it must be refused. Only where an
attacker made all checksums right, those of codes too, may it be another sound file, which must then be canonical.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import grammar
import model
from mutator import mutate, split
from splices import SilentChangeError, fate, picture, reorder_units, sample_pairs, splice_at_random

from pillow_rnc.container import reader, writer
from pillow_rnc.container.records import UNIT_TYPE
from pillow_rnc.errors import RncFileError, SignatureError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pillow_rnc.container.records import RncFile

    Tally = Counter[str]


def sample_files(count: int, seed: int = 0, largest: int = 6000) -> list[bytes]:
    """Return small extreme files."""
    source, files = random.Random(seed), list[bytes]()  # noqa: S311 -- repeatable, not secret
    while len(files) < count:
        data = grammar.generate_bytes(source, model.tiny())
        if len(data) <= largest:
            files.append(data)
    return files


def flip_every_bit(data: bytes) -> Tally:
    """Refuse every file of one flipped bit; tolerate none as anything but the first iterations."""
    tally: Tally = Counter()
    file = reader.parse(data)
    damaged = bytearray(data)
    for position in range(len(data)):
        for bit in range(8):
            damaged[position] ^= 1 << bit
            what = f"bit {bit} of byte {position}"
            tally[_refusal(bytes(damaged), what)] += 1
            tally["tolerated"] += _is_tolerated(bytes(damaged), file, what)
            damaged[position] ^= 1 << bit
    return tally


def cut_everywhere(data: bytes) -> Tally:
    """Refuse every cut; tolerate it as the whole iterations that are left, which are what they were."""
    tally: Tally = Counter()
    file = reader.parse(data)
    for length in range(len(data)):
        tally[_refusal(data[:length], f"cut at {length}")] += 1
        whole = 0
        try:
            reader.verify(data[:length])
        except TruncatedError as error:
            whole = error.decodable_iterations
        except SignatureError:
            pass
        if _is_tolerated(data[:length], file, f"cut at {length}") != bool(whole):
            raise SilentChangeError(f"cut at {length}: whole iterations are not what can be read")
        tally["tolerated"] += bool(whole)
    return tally


def _is_tolerated(damaged: bytes, file: RncFile, what: str) -> bool:
    """Whether a tolerant reader takes a file, which must then give it the first iterations of the sound one."""
    try:
        shown = reader.parse(damaged, allow_truncated=True)
    except RncFileError:
        return False
    if (shown.header, shown.alpha, shown.units) != (file.header, file.alpha, file.units[: len(shown.units)]):
        raise SilentChangeError(f"{what}: something else was tolerated")
    return True


def damage_at_random(files: Sequence[bytes], trials: int, seed: int = 0) -> Tally:
    """Refuse files with damage of several bytes, unless it only takes metadata away."""
    source = random.Random(seed)  # noqa: S311 -- repeatable, not secret
    pictures = [picture(data) for data in files]
    tally: Tally = Counter()
    for trial in range(trials):
        first, second = (source.randrange(len(files)) for _ in range(2))
        kind = source.choice(list(DAMAGES))
        damaged = DAMAGES[kind](files[first], files[second], source)
        if damaged in (files[first], files[second]):
            tally["no damage"] += 1
            continue
        found = fate(damaged, [pictures[first], pictures[second]], f"{kind}, trial {trial} of seed {seed}")
        tally[f"{kind}, {found}"] += 1
    return tally


def damage_with_right_checksums(files: Sequence[bytes], trials: int, seed: int = 0) -> Tally:
    """Refuse files that an attacker made, or find that they are sound and canonical."""
    source = random.Random(seed)  # noqa: S311 -- repeatable, not secret
    tally: Tally = Counter()
    known = {b"HEAD", b"iccp", b"exif", b"xmpp", b"comm", b"dens", b"ALPH", UNIT_TYPE}
    for trial in range(trials):
        damaged = mutate(source.choice(files), source)
        try:
            file = reader.parse(damaged)
        except RncFileError as error:
            tally[type(error).__name__] += 1
            continue
        if writer.build(file) != damaged and {kind for kind, _ in split(damaged)[0]} <= known:
            raise SilentChangeError(f"trial {trial} of seed {seed}: not canonical")
        tally["another sound file"] += 1
    return tally


def _refusal(damaged: bytes, what: str) -> str:
    """Return the name of the error that refuses a file."""
    try:
        reader.parse(damaged)
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
    parser.add_argument("--splices", type=int, default=100_000, help="trials with right checksums of chunks")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    pairs = sample_pairs(arguments.files, arguments.seed)
    files = sample_files(arguments.files, arguments.seed) + [path.read_bytes() for path in arguments.paths]
    print(f"{len(files)} files, {sum(map(len, files))} bytes")
    steps: tuple[tuple[str, Callable[[], Tally]], ...] = (
        ("flipped bits", lambda: sum((flip_every_bit(data) for data in files), Counter[str]())),
        ("cuts", lambda: sum((cut_everywhere(data) for data in files), Counter[str]())),
        ("reordered units", lambda: reorder_units(files)),
        ("splices", lambda: splice_at_random(pairs, arguments.splices, arguments.seed)),
        ("random damage", lambda: damage_at_random(files, arguments.trials, arguments.seed)),
        ("right checksums", lambda: damage_with_right_checksums(files, arguments.trials, arguments.seed)),
    )
    for name, step in steps:
        start = time.perf_counter()
        tally = step()
        seconds = time.perf_counter() - start
        done = tally.total() - tally["tolerated"]
        print(f"{name}: {done} in {seconds:.0f} s, none silent: {dict(tally.most_common())}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
