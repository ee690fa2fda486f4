"""No damage changes an image silently: python fuzz/damage.py [--files N] [--trials N] [--weights PATH] [FILE...]

Every single bit of each file is flipped, and each file is truncated at every byte. Then files are damaged at random:
bursts, swaps, repeats, gaps, parts of two files in one. Then valid parts are moved and the checksums of chunks and
payloads recomputed (see `splices`). Everything that shows an image other than that of a file or a truncation of it must
be rejected. Only if all checksums are recomputed, including those of codes, may the result be another valid file, which
must then be canonical.
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
from splices import SilentChangeError, fate, image, reorder_units, sample_pairs, splice_at_random

from pillow_rnc.container import reader, writer
from pillow_rnc.container.records import UNIT_TYPE
from pillow_rnc.errors import RncFileError, SignatureError, TruncatedError
from pillow_rnc.models import weights

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pillow_rnc.container.records import RncFile

    Counts = Counter[str]


def sample_files(count: int, seed: int = 0, largest: int = 6000) -> list[bytes]:
    """Return small extreme files."""
    source, files = random.Random(seed), list[bytes]()  # noqa: S311 -- repeatable, not secret
    while len(files) < count:
        data = grammar.generate_bytes(source, model.tiny())
        if len(data) <= largest:
            files.append(data)
    return files


def flip_every_bit(data: bytes) -> Counts:
    """Check that every file with one flipped bit is rejected, and tolerated only as its first iterations."""
    counts: Counts = Counter()
    file = reader.parse(data)
    damaged = bytearray(data)
    for position in range(len(data)):
        for bit in range(8):
            damaged[position] ^= 1 << bit
            what = f"bit {bit} of byte {position}"
            counts[_rejection(bytes(damaged), what)] += 1
            counts["tolerated"] += _is_tolerated(bytes(damaged), file, what)
            damaged[position] ^= 1 << bit
    return counts


def truncate_everywhere(data: bytes) -> Counts:
    """Check that every truncated file is rejected, and tolerated only as its complete iterations."""
    counts: Counts = Counter()
    file = reader.parse(data)
    for length in range(len(data)):
        counts[_rejection(data[:length], f"truncated at {length}")] += 1
        complete = 0
        try:
            reader.verify(data[:length])
        except TruncatedError as error:
            complete = error.decodable_iterations
        except SignatureError:
            pass
        if _is_tolerated(data[:length], file, f"truncated at {length}") != bool(complete):
            raise SilentChangeError(f"truncated at {length}: other iterations than the complete ones can be read")
        counts["tolerated"] += bool(complete)
    return counts


def _is_tolerated(damaged: bytes, file: RncFile, what: str) -> bool:
    """Return whether a tolerant reader accepts a file; it must then read the first iterations of the valid file."""
    try:
        shown = reader.parse(damaged, allow_truncated=True)
    except RncFileError:
        return False
    if (shown.header, shown.alpha, shown.units) != (file.header, file.alpha, file.units[: len(shown.units)]):
        raise SilentChangeError(f"{what}: other contents were tolerated")
    return True


def damage_at_random(files: Sequence[bytes], trials: int, seed: int = 0) -> Counts:
    """Check that files with several damaged bytes are rejected, unless only metadata are lost."""
    source = random.Random(seed)  # noqa: S311 -- repeatable, not secret
    images = [image(data) for data in files]
    counts: Counts = Counter()
    for trial in range(trials):
        first, second = (source.randrange(len(files)) for _ in range(2))
        kind = source.choice(list(DAMAGES))
        damaged = DAMAGES[kind](files[first], files[second], source)
        if damaged in (files[first], files[second]):
            counts["no damage"] += 1
            continue
        found = fate(damaged, [images[first], images[second]], f"{kind}, trial {trial} of seed {seed}")
        counts[f"{kind}, {found}"] += 1
    return counts


def damage_with_correct_checksums(files: Sequence[bytes], trials: int, seed: int = 0) -> Counts:
    """Check that files with recomputed checksums are rejected, or valid and canonical."""
    source = random.Random(seed)  # noqa: S311 -- repeatable, not secret
    counts: Counts = Counter()
    known = {b"HEAD", b"iccp", b"exif", b"xmpp", b"comm", b"dens", b"ALPH", UNIT_TYPE}
    for trial in range(trials):
        damaged = mutate(source.choice(files), source)
        try:
            file = reader.parse(damaged)
        except RncFileError as error:
            counts[type(error).__name__] += 1
            continue
        if writer.build(file) != damaged and {kind for kind, _ in split(damaged)[0]} <= known:
            raise SilentChangeError(f"trial {trial} of seed {seed}: not canonical")
        counts["another valid file"] += 1
    return counts


def _rejection(damaged: bytes, what: str) -> str:
    """Return the name of the error that rejects a file."""
    try:
        reader.parse(damaged)
    except RncFileError as error:
        return type(error).__name__
    raise SilentChangeError(f"{what} was not detected")


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


def _trailing(data: bytes, _other: bytes, source: random.Random) -> bytes:
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
    "trailing bytes": _trailing,
    "text mode": _text_mode,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", type=Path, help="further files")
    parser.add_argument("--weights", type=Path, action="append", default=[], help="of further files")
    parser.add_argument("--files", type=int, default=24)
    parser.add_argument("--trials", type=int, default=1_000_000)
    parser.add_argument("--splices", type=int, default=100_000, help="trials with correct checksums of chunks")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for path in arguments.weights:
        weights.register(path)
    pairs = sample_pairs(arguments.files, arguments.seed)
    files = sample_files(arguments.files, arguments.seed) + [path.read_bytes() for path in arguments.paths]
    print(f"{len(files)} files, {sum(map(len, files))} bytes")
    steps: tuple[tuple[str, Callable[[], Counts]], ...] = (
        ("flipped bits", lambda: sum((flip_every_bit(data) for data in files), Counter[str]())),
        ("truncations", lambda: sum((truncate_everywhere(data) for data in files), Counter[str]())),
        ("reordered units", lambda: reorder_units(files)),
        ("splices", lambda: splice_at_random(pairs, arguments.splices, arguments.seed)),
        ("random damage", lambda: damage_at_random(files, arguments.trials, arguments.seed)),
        ("correct checksums", lambda: damage_with_correct_checksums(files, arguments.trials, arguments.seed)),
    )
    for name, step in steps:
        start = time.perf_counter()
        counts = step()
        seconds = time.perf_counter() - start
        done = counts.total() - counts["tolerated"]
        print(f"{name}: {done} in {seconds:.0f} s, none silent: {dict(counts.most_common())}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
